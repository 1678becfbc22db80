"""Logs of real GANs of four losses in other codes' print formats: which loss it is, and nothing false of a good run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.small_gans import Row, small_gan

import balancer

FORMATS: dict[str, Callable[[int, Row], str]] = {
    "the DCGAN example": lambda n, r: (
        f"[{n // 40}/25][{n % 40}/40]\tLoss_D: {r.real + r.fake + r.penalty:.4f}\tLoss_G: {r.g:.4f}\t"
        f"D(x): {r.d_x:.4f}\tD(G(z)): {r.d_g_z1:.4f} / {r.d_g_z2:.4f}"
    ),
    "pix2pix": lambda n, r: (
        f"(epoch: {1 + n // 40}, iters: {100 * (1 + n % 40)}, time: 0.081, data: 0.002) "
        f"G_GAN: {r.g:.3f} G_L1: {17.5 + n % 7 / 20:.3f} D_real: {r.real:.3f} D_fake: {r.fake:.3f} "
    ),
    "PyTorch-GAN": lambda n, r: (
        f"[Epoch {n // 20}/200] [Batch {n % 20}/20] [D loss: {(r.real + r.fake) / 2 + r.penalty:f}] [G loss: {r.g:f}]"
    ),
    "BigGAN": lambda n, r: (
        f"{n}/1000 (  1.20%) TE/ET1k: {n // 60}:{n % 60:02d} / 8:05 itr: {r.step}, G_loss : {r.g:+4.3f}, "
        f"D_loss_real : {r.real:+4.3f}, D_loss_fake : {r.fake:+4.3f}"
    ),
    "a script": lambda n, r: f"step {r.step}: d_loss: {r.real + r.fake + r.penalty:.4f} g_loss: {r.g:.4f}",
}
NAMED = {"bce": "bce", "lsgan": "lsgan", "hinge": "hinge", "wgan": "wasserstein"}
# Without D's outputs or a code that is known, G's loss may be a sum, in which BCE weighs as little as it likes.
UNTOLD = {("lsgan", "BigGAN"), ("lsgan", "a script")}


def log_of(path: Path, form: str, rows: tuple[Row, ...]) -> balancer.Diagnosis:
    path.write_text("".join(FORMATS[form](n, row) + "\n" for n, row in enumerate(rows)))
    return balancer.diagnose(path)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("loss", NAMED)
def test_the_loss_of_a_good_run_is_told_and_nothing_is_called_sick(loss: str, form: str, tmp_path: Path) -> None:
    made = log_of(tmp_path / "train.log", form, small_gan(loss))
    if (loss, form) in UNTOLD:
        assert made.case.units.adversarial_basis == "assumed"
        assert "d_units.assumed" in {remark.words for remark in made.remarks}
    else:
        assert made.case.units.adversarial == NAMED[loss]
    assert {finding.words for finding in made.findings} <= {"collapse.even", "saturated.passed"}
    assert made.verdict.variant in {"healthy", "minor", "trends", "no_levels"}


@pytest.mark.parametrize(("loss", "form"), [("lsgan", "the DCGAN example"), ("hinge", "pix2pix"), ("wgan", "pix2pix")])
def test_a_known_code_is_not_claimed_where_its_losses_cannot_give_the_figures(
    loss: str, form: str, tmp_path: Path
) -> None:
    made = log_of(tmp_path / "train.log", form, small_gan(loss))
    assert made.case.source.code is None
    assert "known_code.altered" in {remark.words for remark in made.remarks}
    text = balancer.as_text(made, width=300)
    assert "the figures are not" in text and "--gan_mode" not in text


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("loss", ["bce", "hinge"])
def test_a_d_that_does_not_learn_blows_up_before_a_g_that_does(loss: str, form: str, tmp_path: Path) -> None:
    made = log_of(tmp_path / "train.log", form, small_gan(loss, lr_d=0.0, steps=1500))
    assert made.keys & {"blow_up", "collapse"} and made.verdict.variant in {"back", "watch"}
