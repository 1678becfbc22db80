"""Common names of losses are known, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.errors import ConfigError, DataError
from balancer.reading.codes import meanings, our_codes, recognised
from balancer.reading.opening import open_source, read
from balancer.reading.source import Source
from balancer.reading.step_axis import StepAxis
from balancer.reading.tags import guess


def dialect(names: list[str]) -> dict[str, str | None]:
    code = recognised(names, (), our_codes().values())
    return {} if code is None else meanings(code, names)


MEANT = {
    "d_loss": "d_loss D_loss Loss_D loss_D lossD errD train/d_loss Loss/D/loss.mean train/disc_loss discloss loss/disc "
    "discriminator_loss critic_loss loss_disc_all loss/d/total D_A d_adv_loss loss/d_adv losses.d_hinge L_D",
    "g_loss": "g_loss G_loss Loss_G errG loss/g/total Loss/G/loss.mean generator_loss loss_gen_all gen_loss_total",
    "adv": "adv adv_loss cheat_loss loss_G_GAN G_GAN gen_adv_loss g_adv gan_loss loss/adv G_A loss_adv "
    "generator_gan_loss losses.g_hinge l_g_gan G_A_adv_loss loss_disc_fake_g",
    "d_loss_real": "D_real loss_D_real d_loss_real errD_real real_loss D_real_loss l_d_real",
    "d_loss_fake": "D_fake loss_D_fake d_loss_fake fake_loss l_d_fake",
    "d_adv": "d_adv signal/d_adv",
    "critic_gap": "critic_gap signal/critic_gap",
    "d_category": "d_category loss/d_category",
    "l1": "l1 L1_loss G_L1 loss_l1 loss_G_L1 loss/l1 l_g_pix",
    "const": "const const_loss",
    "category": "category category_loss loss/category",
    "tv": "tv_loss",
    "perceptual": "p_loss G_VGG per_loss perceptual_loss lpips_loss l_g_percep",
    "ssim": "ssim_loss loss/ssim MS_SSIM_loss",
    "rec": "rec_loss reconstruction_loss",
    "mel": "mel mel_spec_error loss/g/mel",
    "fm": "fm loss/g/fm G_GAN_Feat feature_matching_loss",
    "nll": "nll_loss",
    "cycle": "cycle_A cycle_loss G_A_cycle_loss",
    "lambda_adv": "lambda_adv knob/lambda_adv adv_weight lambda_gan",
    "lambda_l1": "lambda_l1 l1_weight",
    "lr": "lr learning_rate",
    "lr_d": "lr_d lr/d d_lr",
    "lr_g": "lr_g lr/g learning_rate_g",
    "d_acc": "d_acc disc_accuracy",
    "d_acc_real": "d_acc_real real_acc",
    "d_logit_real": "d_logit_real logits_real train/logits_real Loss/scores/real.mean out_d_real",
    "d_logit_fake": "out_d_fake Loss/scores/fake.mean",
    "d_prob_real": "D(x) train/D_x",
    "d_prob_fake": "D(G(z)) D_G_z1",
    "adv_share": "share/adv adv_share",
    "adv_effective": "signal/adv_effective",
}
NONE = [
    *("loss", "time", "data", "epoch", "step", "iters", "s/b"),
    *("D_G_z2", "acc", "val/d_loss", "valid_g_loss", "test/adv_loss", "Validation/d_loss", "d_time", "grad_norm_d"),
    *(
        "grad/d",
        "Loss/signs/real.mean",
        "Loss/D/loss.num",
        "d_loss__MAX",
        "D_B",
        "G_B_adv_loss",
        "opt/d",
        "fid_d",
        "style_id",
    ),
    *("class", "real", "fake", "score", "band/d_adv_low", "train/total_loss", "weight"),
    *("ssim", "SSIM", "val_psnr", "psnr", "metrics/lpips", "fid", "accuracy", "mIoU", "g_ssim", "G/lpips", "iou"),
]


@pytest.mark.parametrize(
    ("name", "signal"), [(name, signal) for signal, names in MEANT.items() for name in names.split()]
)
def test_common_names(name: str, signal: str) -> None:
    found = guess(name)
    assert found is not None and found.signal == signal


@pytest.mark.parametrize("name", ["Gen Loss Total", "INFO train: g_loss", "exp 1/train/G_loss", "run-3 - g_loss"])
def test_names_with_other_text(name: str) -> None:
    found = guess(name)
    assert found is not None and found.signal == "g_loss"


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_loss(name: str) -> None:
    assert guess(name) is None


@pytest.mark.parametrize("end", ["", "_step", "_epoch"])
@pytest.mark.parametrize(
    ("names", "meant"),
    [
        ("total_loss g_loss disc_loss d_weight", "g_loss adv None lambda_adv"),
        ("total_loss nll_loss g_loss disc_loss", "g_loss None adv None"),
        ("aeloss discloss g_loss rec_loss", "g_loss None adv None"),
        ("aeloss total_loss disc_loss g_loss p_loss", "None g_loss None adv None"),
    ],
)
def test_the_names_of_latent_diffusion(names: str, meant: str, end: str) -> None:
    written = [f"train/{name}{end}" for name in names.split()]
    found = dialect([*written, "val/g_loss", "lr"])
    assert [str(found.get(name)) for name in written] == meant.split() and "val/g_loss" not in found


def test_other_names_are_no_dialect() -> None:
    assert not dialect(["g_loss", "d_loss", "total_loss", "rec_loss"])
    assert not dialect(["g_loss", "disc_loss", "total_loss"])


@given(st.text(max_size=300))
def test_any_text_may_be_a_name(name: str) -> None:
    found = guess(name)
    assert found is None or found.signal.isidentifier()


@given(
    st.lists(
        st.tuples(st.none() | st.floats(-1e9, 1e9), st.none() | st.floats(0, 1e6), st.none() | st.floats(0.1, 1e4)),
        max_size=60,
    ),
    st.booleans(),
    st.booleans(),
)
def test_any_steps_and_epochs_find_a_place(
    rows: list[tuple[float | None, float | None, float | None]], log: bool, goes_on: bool
) -> None:
    axis = StepAxis(Source("", "log"), goes_on=(lambda: goes_on) if log else None)
    for step, epoch, per_epoch in rows:
        if step is not None and step > 9e8:
            axis.resumed(step)
        assert axis.place(step, epoch, per_epoch) == axis.step
        assert abs(axis.step) < 1e16
    assert axis.steps_per_epoch is None or axis.steps_per_epoch >= 0


@pytest.mark.parametrize(
    ("names", "is_d"),
    [
        ("critic_loss gen_loss", True),
        ("critic_loss wasserstein_distance", True),
        ("critic_loss gradient_penalty", True),
        ("critic_real critic_fake", True),
        ("critic_loss", False),
        ("critic_loss actor_loss", False),
        ("train/critic_loss train/actor_loss train/g_loss", False),
        ("critic_loss q_value alpha_loss", False),
        ("critic_loss episode_reward", False),
    ],
)
def test_a_critic_is_a_d_only_where_the_log_is_a_gans(names: str, is_d: bool, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    given = names.split()
    rows = [",".join(["step", *given])] + [",".join([f"{n}", *["0.5"] * len(given)]) for n in range(30)]
    path.write_text("\n".join(rows) + "\n")
    if not is_d and "g_loss" not in names:
        with pytest.raises((ConfigError, DataError), match="critic_loss"):
            read(open_source(str(path)))
        return
    reader = open_source(str(path))
    read(reader)
    assert any("critic" in name for name in reader.source.tags.values()) == is_d


@pytest.mark.parametrize("name", ["gradient_penalty", "D/Gradient Penalty", "train/grad_penalty", "loss_gradPenalty"])
def test_a_gradient_penalty_is_no_norm_of_a_gradient(name: str) -> None:
    found = guess(name)
    assert found is not None and found.signal == "d_gp"
    assert guess("grad_norm") is None
