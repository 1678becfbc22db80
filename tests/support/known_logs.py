"""Logs of known training codes, in the print formats of these codes, with figures of our own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from balancer.reading.codes import our_codes

# A line of each code's log by the number of the row and what D's loss on real and on generated images and G's loss are.
Line = Callable[[int, float, float, float], str]
LINES: dict[str, Line] = {
    "pix2pix": lambda n, r, f, g: (
        f"(epoch: {1 + n // 40}, iters: {100 * (1 + n % 40)}, time: 0.081, data: 0.002) "
        f"G_GAN: {g:.3f} G_L1: {17.5 + n % 3:.3f} D_real: {r:.3f} D_fake: {f:.3f} "
    ),
    "cyclegan": lambda n, r, f, g: (
        f"(epoch: 3, iters: {100 * (n + 1)}, time: 0.411, data: 0.003) D_A: {(r + f) / 2:.3f} G_A: {g:.3f} "
        f"cycle_A: {1.2 + n % 2 / 10:.3f} idt_A: 0.5{n % 9}7 D_B: 0.190 G_B: 0.402 cycle_B: 1.330 idt_B: 0.588 "
    ),
    "pix2pixhd": lambda n, r, f, g: (
        f"(epoch: 20, iters: {100 * (n + 1)}, time: 0.602) G_GAN: {2 * g:.3f} G_GAN_Feat: 4.3{n % 9}0 G_VGG: 3.215 "
        f"D_real: {2 * r:.3f} D_fake: {2 * f:.3f} "
    ),
    "spade": lambda n, r, f, g: (
        f"(epoch: 8, iters: {100 * (n + 1)}, time: 0.934) GAN: {g:.3f} GAN_Feat: 6.2{n % 9}0 VGG: 8.4{n % 7}0 "
        f"D_Fake: {f:.3f} D_real: {r:.3f} "
    ),
    "stylegan": lambda n, r, f, g: json.dumps(
        {
            name: {"num": 16000, "mean": value, "std": 0.9}
            for name, value in {
                "Loss/scores/fake": math.log(math.expm1(f)), "Loss/signs/fake": 0.01, "Loss/G/loss": g,
                "Loss/scores/real": -math.log(math.expm1(r)),
                "Loss/signs/real": 0.02, "Loss/D/loss": r + f, "Loss/r1_penalty": 0.04, "Loss/D/reg": 0.016,
                "Progress/kimg": 4.0 * n,
            }.items()
        }
        | {"timestamp": 1.7e9 + n}
    ),
    "projected-gan": lambda n, r, f, g: json.dumps(
        {
            name: {"num": 16000, "mean": value, "std": 0.9}
            for name, value in {
                "Loss/scores/fake": f - 1, "Loss/signs/fake": 0.01, "Loss/G/loss": g, "Loss/scores/real": 1 - r,
                "Loss/signs/real": 0.02, "Loss/D/loss": r + f, "Progress/kimg": 4.0 * n,
            }.items()
        }
    ),
    "rosinality": lambda n, r, f, g: (
        f"d: {r + f:.4f}; g: {g:.4f}; r1: 0.0{n % 9}11; path: 0.0032; mean path: 0.512:  12%|#  | {n}/800 [01:12<2:05]"
    ),
    "lucidrains-stylegan2": lambda n, r, f, g: f"G: {g:.2f} | D: {r + f:.2f} | GP: 0.1{n % 9} | PL: 0.42 | Q: 0.00",
    "bmsg-gan": lambda n, r, f, g: (
        f"Elapsed [{n // 60}:{n % 60:02d}:20.807550] batch: {252 + 10 * n}  d_loss: {r + f:.6f}  g_loss: {2 * g:.6f}"
    ),
    "dcgan": lambda n, r, f, g: (
        f"[{n // 20}/25][{n % 20}/20] Loss_D: {r + f:.4f} Loss_G: {g:.4f} "
        f"D(x): {math.exp(-r):.4f} D(G(z)): {1 - math.exp(-f):.4f} / 0.1522"
    ),
    "dcgan-tensorflow": lambda n, r, f, g: (
        f"Epoch: [{n // 20:2d}/25] [{n % 20:4d}/  20] time: {4.1 * n:.4f}, d_loss: {r + f:.8f}, g_loss: {g:.8f}"
    ),
    "pytorch-gan": lambda n, r, f, g: (
        f"[Epoch {n // 20}/200] [Batch {n % 20}/20] [D loss: {(r + f) / 2:.6f}] [G loss: {g:.6f}]"
    ),
    "pytorch-gan-pix2pix": lambda n, r, f, g: (
        f"\r[Epoch {n // 20}/200] [Batch {n % 20}/20] [D loss: {(r + f) / 2:.6f}] "
        f"[G loss: {g + 24 + n % 5 / 10:.6f}, pixel: {0.24 + n % 5 / 1000:.6f}, adv: {g:.6f}] ETA: 5:12:44.120311"
    ),
    "keras-gan": lambda n, r, f, g: f"{n} [D loss: {(r + f) / 2:.6f}, acc.: 67.19%] [G loss: {g:.6f}]",
    "keras-d1-d2": lambda n, r, f, g: f">{n // 20 + 1}, {n % 20 + 1}/20, d1={r:.3f}, d2={f:.3f} g={g:.3f}",
    "keras-pix2pix": lambda n, r, f, g: f">{n + 1}, d1[{r / 2:.3f}] d2[{f / 2:.3f}] g[{g + 21 + n % 5:.3f}]",
    "chainer": lambda n, r, f, g: json.dumps(
        {"loss_gen": g, "loss_dis": r + f, "epoch": 0, "iteration": 100 * (n + 1), "elapsed_time": 12.3 * n}
    ),
    "basicsr": lambda n, r, f, g: (
        f"2024-03-02 10:12:45,120 INFO: [train..][epoch:  4, iter:{100 * n:8,d}, lr:(1.000e-04,)] [eta: 3:14:11, "
        f"time (data): 0.482 (0.003)] l_g_pix: 1.9{n % 9}10e-03 l_g_percep: 9.8{n % 7}20e-01 l_g_gan: {0.005 * g:.4e} "
        f"l_d_real: {r:.4e} l_d_fake: {f:.4e} out_d_real: -1.2210e+00 out_d_fake: -2.3340e+00 "
    ),
    "mmsr": lambda n, r, f, g: (
        f"19-08-09 08:25:25.996 - INFO: <epoch: 86, iter: {100 * n:7,d}, lr:2.500e-05> l_g_pix: 1.4{n % 9}19e-03 "
        f"l_g_fea: 1.0389e+00 l_g_gan: {0.005 * g:.4e} l_d_real: {r:.4e} l_d_fake: {f:.4e} "
        f"D_real: -1.4680e+01 D_fake: -1.6036e+01 "
    ),
    "kair": lambda n, r, f, g: (
        f"21-08-06 14:22:45.120 : <epoch: 12, iter:{100 * n:8,d}, lr:1.000e-04> G_loss: 1.2{n % 9}0e-02 "
        f"F_loss: 1.1{n % 7}0e+00 D_loss: {0.1 * g:.3e} D_real: {-math.log(math.expm1(r)):.3e} "
        f"D_fake: {math.log(math.expm1(f)):.3e} "
    ),
    "llamagen": lambda n, r, f, g: (
        f"(Generator) rec_loss: 0.04{n % 9}1, perceptual_loss: 0.2432, vq_loss: 0.0107, commit_loss: 0.0027, "
        f"entropy_loss: -0.0000, codebook_usage: 0.9761, generator_adv_loss: {g / 2:.4f}, disc_adaptive_weight: 1.0, "
        f"disc_weight: 0.5000\n(Discriminator) discriminator_adv_loss: {(r + f) / 4:.4f}, disc_weight: 0.5000, "
        f"logits_real: {1 - r:.4f}, logits_fake: {f - 1:.4f}\n"
        f"(step={100 * n:07d}) Train Loss: 0.8123, Train Steps/Sec: 2.31"
    ),
    "rvc": lambda n, r, f, g: (
        f"INFO:myvoice:Train Epoch: {1 + n} [2%]\nINFO:myvoice:[{200 * (n + 1)}, 9.99e-05]\nINFO:myvoice:loss_disc="
        f"{9 * (r + f):.3f}, loss_gen={9 * g:.3f}, loss_fm=8.7{n % 9}5,loss_mel=19.3{n % 7}7, loss_kl=1.520"
    ),
    "vits-log": lambda n, r, f, g: (
        "INFO:ljs:{'train': {'log_interval': 200}, 'data': {'text_cleaners': ['english_cleaners2']}}\n" * (n == 0)
        + f"INFO:ljs:Train Epoch: {1 + n // 9} [34%]\n"
        f"INFO:ljs:[{6 * (r + f):.4f}, {6 * g:.4f}, 4.8821, 19.{n % 9}210, 1.3344, 1.4120, {200 * n}, 0.00019876]"
    ),
    "vits-kin-log": lambda n, r, f, g: (
        f"2023-08-02 10:00:00,120\tours\tINFO\t[{6 * (r + f):.4f}, {6 * g:.4f}, 4.8821, 19.{n % 9}210, 1.3344, 1.4120, "
        f"{200 * n}, 0.00019876]"
    ),
    "gpt-sovits-log": lambda n, r, f, g: (
        "INFO:me:{'train': {'log_interval': 100, 'text_low_lr_rate': 0.4}, 'version': 'v2'}\n" * (n == 0)
        + f"INFO:me:Train Epoch: {1 + n // 9} [34%]\n"
        f"INFO:me:[{6 * (r + f):.4f}, {6 * g:.4f}, 4.8821, 19.{n % 9}210, 0.0312, 1.4120, {100 * n}, 9.99875e-05]"
    ),
    "gpt-sovits": lambda n, r, f, g: json.dumps(
        {
            "step": 100 * n, "loss/g/total": 6 * g + 28, "loss/d/total": 6 * (r + f), "loss/g/fm": 4.9,
            "loss/g/mel": 19.2, "loss/g/kl_ssl": 0.03, "loss/g/kl": 1.4,
        }
    ),
    "so-vits-svc": lambda n, r, f, g: (
        f"Train Epoch: {1 + n // 9} [92%]\nLosses: [{6 * (r + f)}, {6 * g}, 7.91, 19.4{n % 9}, 1.02], "
        f"step: {200 * n}, lr: 9.9e-05, reference_loss: 33.06"
    ),
    "stargan-v2": lambda n, r, f, g: (
        f"Elapsed time [0:10:12], Iteration [{10 * n}/100000], D/latent_real: [{r:.4f}] D/latent_fake: [{f:.4f}] "
        f"D/latent_reg: [0.0212] D/ref_real: [0.4990] D/ref_fake: [0.4611] D/ref_reg: [0.0203] "
        f"G/latent_adv: [{g:.4f}] G/latent_sty: [0.1502] G/latent_ds: [0.3801] G/latent_cyc: [0.3{n % 9}20]"
    ),
    "advgan": lambda n, r, f, g: (
        f"epoch {n}: loss_D: {r + f:.3f}, loss_G_fake: {g:.3f}, loss_perturb: 2.7{n % 9}1, loss_adv: 1.2{n % 7}4, "
    ),
    "dmd2": lambda n, r, f, g: json.dumps(
        {"step": 100 * n, "loss_dm": 0.3, "loss_fake_mean": 0.02, "gen_cls_loss": g, "guidance_cls_loss": r + f}
    ),
    "dac": lambda n, r, f, g: json.dumps(
        {"step": n, "adv/disc_loss": 8 * (r + f), "adv/gen_loss": 8 * g, "adv/feat_loss": 3.1, "mel/loss": 1.2}
    ),
    "audiocraft": lambda n, r, f, g: (
        f"Train | Epoch 3 | {n}/2000 | 4.10 it/sec | d_loss {r + f:.3f} | d_msstftd {r + f:.3f} | penalty 0.012 | "
        f"adv_msstftd {g:.3f} | feat_msstftd 0.9{n % 9} | l1 0.02 | g_loss 1.2 | adv {g:.3f} | feat 0.90"
    ),
    "wav2lip": lambda n, r, f, g: (
        f"L1: 0.03{n % 9}1, Sync: 0.0, Percep: {g} | Fake: {f}, Real: {r}:  12%|#   | {n}it [00:12, 8.1it/s]"
    ),
    "melgan": lambda n, r, f, g: (
        f"Epoch {1 + n // 20} | Iters {100 * (n % 20)} / 2000 | ms/batch 123.45 | "
        f"loss [{3 * (r + f):.8f} {3 * g:.8f} 0.31{n % 9}00000 0.90121000]"
    ),
    "vqgan-dome272": lambda n, r, f, g: f"step {n}: GAN_Loss={(r + f) / 2:.3f}, VQ_Loss=0.41{n % 9}37",
    "vqgan-diffusers": lambda n, r, f, g: json.dumps(
        {"step": n, "step_discr_loss": r + f, "step_gen_loss": 0.4 + n % 9 / 100, "lr": 1e-4}
    ),
    "parallel-wavegan": lambda n, r, f, g: "\n".join(
        f"2021-08-06 14:22:45,120 (train:312) INFO: (Steps: {205000 + 100 * n}) train/{name} = {value:.4f}."
        for name, value in {
            "adversarial_loss": g, "generator_loss": 4 * g + 1, "real_loss": r, "fake_loss": f,
            "discriminator_loss": r + f,
        }.items()
    ),
}  # fmt: skip
# D's halves and G's loss at chance, in units of one discriminator.
AT_CHANCE = {
    "bce": (math.log(2), math.log(2), math.log(2)),
    "lsgan": (0.25, 0.25, 0.25),
    "hinge": (1.0, 1.0, 0.0),
    "relativistic_average": (math.log(2), math.log(2), math.log(2)),
    "relativistic_hinge": (1.0, 1.0, 1.0),
}


def logged(path: Path, code: str, rows: int = 60, *, halves: tuple[float, float, float] | None = None) -> Path:
    """A log of a code whose D is at chance, or has other losses, with 4 % of noise."""
    real, fake, adv = AT_CHANCE[our_codes()[code].losses[0]] if halves is None else halves
    random = np.random.default_rng(3)
    noise = np.exp(0.04 * random.standard_normal((rows, 3)))
    lines = [LINES[code](n, real * noise[n, 0], fake * noise[n, 1], adv * noise[n, 2]) for n in range(rows)]
    path.write_text("\n".join(lines) + "\n")
    return path
