"""Print formats of public training codes: every loss is read under its signal, every row at its step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support.written_logs import reading

ROWS = range(60)
PER_EPOCH = 20


class Form(NamedTuple):
    """How a code prints, the figure of each signal, and the step of a row (None where its rows name none)."""

    line: str
    signals: dict[str, str]
    step: Callable[[int], float] | None


def figures(n: int) -> dict[str, float]:
    """D's loss and its halves, G's and its adversarial one, and two other terms, of a row."""
    return {
        "d": round(1.25 + n % 11 / 16, 4), "r": round(0.75 - n % 7 / 32, 4), "f": round(0.5 + n % 5 / 32, 4),
        "g": round(2.5 + n % 13 / 8, 4), "a": round(0.875 + n % 3 / 16, 4), "x": 0.25, "y": 4.125,
    }  # fmt: skip


def counted(every: float, first: float = 0) -> Callable[[int], float]:
    return lambda n: every * n + first


FORMS = {
    "WassersteinGAN": Form(
        "[{e}/25][{b1}/20][{n}] Loss_D: {d:f} Loss_G: {g:f} Loss_D_real: {r:f} Loss_D_fake {f:f}",
        {"d_loss": "d", "g_loss": "g", "d_loss_real": "r", "d_loss_fake": "f"}, counted(1, 1),
    ),
    "BigGAN-PyTorch": Form(
        "\r{n1}/390 (  0.26%) itr: {n1}, G_loss : {g:+f}, D_loss_real : {r:+f}, D_loss_fake : {f:+f} ",
        {"g_loss": "g", "d_loss_real": "r", "d_loss_fake": "f"}, counted(1, 1),
    ),
    "SimSwap": Form(
        "( step: {n100}, ) G_Loss: {g} G_ID: 0.4 G_Rec: {x} G_feat_match: {y} D_fake: {f} D_real: {r} D_loss: {d} ",
        {"g_loss": "g", "rec": "x", "fm": "y", "d_loss": "d", "d_loss_real": "r", "d_loss_fake": "f"}, counted(100),
    ),
    "FastGAN": Form(
        "  0%|   | {n100}/50000 [00:01<1:02:03, 12.1it/s]GAN: loss d: {d:.5f}    loss g: {g:.5f}",
        {"d_loss": "d", "g_loss": "g"}, counted(100),
    ),
    "CUT": Form(
        "(epoch: {e1}, iters: {b1}00, time: 0.321, data: 0.201) G_GAN: {a} D_real: {r} D_fake: {f} G: {g} NCE: 2.150 ",
        {"adv": "a", "d_loss_real": "r", "d_loss_fake": "f", "g_loss": "g"}, counted(100, 100),
    ),
    "U-GAT-IT": Form(
        "[{n1:5d}/100000] time: 1.2345 d_loss: {d:.8f}, g_loss: {g:.8f}", {"d_loss": "d", "g_loss": "g"}, counted(1, 1)
    ),
    "UnivNet": Form(
        "g {g:.4f} d {d:.4f} | step {n100}: : {n}it [00:12, 8.1it/s]", {"g_loss": "g", "d_loss": "d"}, counted(100)
    ),
    "VQGAN": Form(
        "\rEpoch {e}:  45%|####5   | {b}/20 [00:10<00:12, 4.1it/s, loss=0.52, v_num=0, train/aeloss_step={g}, "
        "train/discloss_step={d}, train/aeloss_epoch=0.5]",
        {"g_loss": "g", "d_loss": "d"}, counted(1),
    ),
    "Keras": Form(
        "Epoch {n1}/60\n938/938 ━━━━━━━━━━━━━━━━━━━━ 12s 13ms/step - d_loss: {d} - g_loss: {g}",
        {"d_loss": "d", "g_loss": "g"}, counted(938, 938),
    ),
    "PaddleGAN": Form(
        "[10/29 05:39:40] ppgan.engine.trainer INFO: Epoch: {e1}/200, iter: {b}/20 lr: 2.000e-04 D_A_loss: {d} "
        "G_A_adv_loss: {a} G_B_adv_loss: 0.312 G_A_cycle_loss: {y} G_idt_A_loss: {x} batch_cost: 0.31 sec eta: 1:22:44",
        {"d_loss": "d", "adv": "a", "cycle": "y", "idt": "x"}, counted(1),
    ),
    "PaddleDetection": Form(
        "[10/29 05:39:40] INFO: Epoch: [{e}] [{b:2d}/20] learning_rate: 0.0002 loss_d: {d} loss_g: {g} eta: 1:01",
        {"d_loss": "d", "g_loss": "g"}, counted(1),
    ),
    "MMGeneration": Form(
        "2021-09-07 07:30:20,226 - mmgen - INFO - Iter [{n100}/200000]\tlr_generator: 2.000e-04, eta: 3 days, 9:18:23, "
        "time: 2.034, memory: 14763, loss_disc_fake: {f}, loss_disc_real: {r}, loss_disc_fake_g: {a}, loss: 2.1",
        {"d_loss_fake": "f", "d_loss_real": "r", "adv": "a"}, counted(100),
    ),
    "MMagic": Form(
        "09/{day} 07:30:20 - mmengine - INFO - Iter(train) [ {n100}/200000]  lr: 2.0000e-04  eta: 1 day, 9:18:23  "
        "time: 0.4034  loss_gan: {a}  loss_d_real: {r}  loss_d_fake: {f}  loss_perceptual: {y}",
        {"adv": "a", "d_loss_real": "r", "d_loss_fake": "f", "perceptual": "y"}, counted(100),
    ),
    "AnimeGANv2": Form(
        "Epoch: {e:3d} Step: {b:5d} / 20  time: 0.412 s D_loss: {d}, G_loss: {g} -- mean_D_loss: 9.2, mean_G_loss: 9.9",
        {"d_loss": "d", "g_loss": "g"}, counted(1),
    ),
    "the first order model": Form(
        "{n:08d}) perceptual - {y:.5f}; gen_gan - {a:.5f}; disc_gan - {d:.5f}; equivariance_value - 0.21300",
        {"perceptual": "y", "adv": "a", "d_loss": "d"}, counted(1),
    ),
    "CTGAN": Form(
        "\rGen. ({g:.4f}) | Discrim. ({d:.4f}):  12%|#   | {n}/300 [00:12<01:00, 8.1it/s]",
        {"g_loss": "g", "d_loss": "d"}, counted(1),
    ),
    "ESPnet": Form(
        "[host] 2022-01-01 10:00:00,123 (trainer:732) INFO: 12epoch:train:{n1}-{n100}batch: iter_time=1.2e-04, "
        "generator_loss={g}, generator_g_adv_loss={a}, discriminator_loss={d}, discriminator_real_loss={r}, "
        "discriminator_fake_loss={f}, optim0_lr0=2.0e-04, train_time=2.123",
        {"g_loss": "g", "adv": "a", "d_loss": "d", "d_loss_real": "r", "d_loss_fake": "f"}, None,
    ),
    "SRGAN-PyTorch": Form(
        "Epoch: [{e1}][{b:4d}/20]\tTime  0.201 ( 0.222)\tPixel loss {x} (0.3)\tAdversarial loss {a} (0.8)\tD(SR)  0.1",
        {"pixel": "x", "adv": "a"}, counted(1),
    ),
    "pi-GAN": Form(
        "[Experiment: out] [GPU: 0] [Epoch: {e}/3000] [D loss: {d}] [G loss: {g}] [Step: {n}] [Alpha: 0.12]",
        {"d_loss": "d", "g_loss": "g"}, counted(1),
    ),
}  # fmt: skip


def written(form: Form) -> str:
    """The log of a code, whose epochs have 20 batches."""
    lines = (
        form.line.format(
            n=n, n1=n + 1, n100=100 * n, e=n // PER_EPOCH, e1=n // PER_EPOCH + 1, b=n % PER_EPOCH, b1=n % PER_EPOCH + 1,
            day=28 + n // 30, **figures(n),
        )
        for n in ROWS
    )  # fmt: skip
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", FORMS)
def test_the_log_of_a_public_code(tmp_path: Path, name: str) -> None:
    form = FORMS[name]
    history, source = reading(tmp_path / "train.log", written(form))
    assert source.tags.keys() - {"lr", "lr_g"} == form.signals.keys()
    assert (source.kept, source.numbered, source.restarts) == (60, form.step is None, [])
    assert ("epoch" in history) == ("{e" in form.line or "Epoch" in form.line)
    for signal, key in form.signals.items():
        assert history[signal].values.tolist() == [figures(n)[key] for n in ROWS], signal
        assert history[signal].steps.tolist() == [float(n if form.step is None else form.step(n)) for n in ROWS]
