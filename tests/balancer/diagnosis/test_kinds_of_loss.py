"""Logs whose print format or figures say which loss they are of, and those that leave it open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import balancer


def diagnosed(path: Path, lines: list[str]) -> balancer.Diagnosis:
    path.write_text("\n".join(lines) + "\n")
    return balancer.diagnose(path)


def keys(made: balancer.Diagnosis) -> set[str]:
    return {finding.words for finding in made.findings}


def remarks(made: balancer.Diagnosis) -> set[str]:
    return {finding.words for finding in made.remarks}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "train.log"


def test_a_half_below_zero_is_a_critics(log: Path) -> None:
    random = np.random.default_rng(1)
    lines = [
        f"Elapsed [0:{step:02d}:00], Iteration [{step}00/200000], D/loss_real: {-9 + 4 * random.normal():.4f}, "
        f"D/loss_fake: {7 + 4 * random.normal():.4f}, D/loss_gp: 0.{random.integers(300, 900)}, G/loss_rec: 0.4{step}"
        for step in range(10, 60)
    ]
    made = diagnosed(log, lines)
    assert made.case.units.adversarial == "wasserstein" and not made.case.units.levels
    assert keys(made) == set() and made.verdict.words == "verdict.no_levels"


def test_a_d_that_calls_everything_real_is_broken_and_no_matter_of_units(log: Path) -> None:
    lines = [
        f"[{epoch}/25][{step}/938]\tLoss_D: 100.0000\tLoss_G: 0.0000\tD(x): 1.0000\tD(G(z)): 1.0000 / 1.0000"
        for epoch in range(3, 6)
        for step in range(0, 938, 50)
    ]
    made = diagnosed(log, [line.replace("100.0000", f"100.00{n % 3}0") for n, line in enumerate(lines)])
    assert "blow_up.always" in keys(made) and made.verdict.words == "verdict.lost"
    assert not {word for word in remarks(made) if word == "d_units.too_high"}


def test_d_at_the_floor_of_every_loss_has_won_whichever_it_is(log: Path) -> None:
    random = np.random.default_rng(2)
    lines = [
        f"(epoch: {epoch}, iters: {at}, time: 0.148) G_GAN: {2 + 0.05 * random.normal():.3f} "
        f"G_X: {5 + random.normal():.3f} D_real: 0.00{random.integers(0, 4)} D_fake: 0.00{random.integers(0, 4)}"
        for epoch in range(50, 70)
        for at in (100, 200, 300)
    ]
    made = diagnosed(log, lines)
    assert made.case.units.adversarial == "lsgan" and made.case.units.discriminators == 2
    assert "saturated.lasting" in keys(made) and "d_units.won_lsgan" in remarks(made)


@pytest.mark.parametrize(("rest", "loss"), [(1.0, "hinge"), (0.25, "lsgan")])
def test_a_d_at_rest_at_another_losss_chance_cannot_tell(rest: float, loss: str, log: Path) -> None:
    lines = [
        f"step {10 * n} d_loss {max(rest, 3 * rest - rest * n / 25):.3f} rec_loss {0.3 + n % 5 / 100}"
        for n in range(200)
    ]
    made = diagnosed(log, [line.replace("d_loss ", "d_loss: ").replace("rec_loss ", "rec_loss: ") for line in lines])
    assert made.case.units.adversarial == loss
    assert "collapse" in keys(made) and "d_units.rest" in remarks(made)


def test_bce_at_rest_is_bce(log: Path) -> None:
    lines = [f"step {10 * n}: d_loss: {0.69 + n % 3 / 1000:.3f} adv: 0.7{n % 4} l1: 0.3{n % 5}" for n in range(100)]
    assert diagnosed(log, lines).case.units.adversarial == "bce"


def test_nothing_is_called_sick_at_high_confidence_where_the_loss_was_assumed(log: Path) -> None:
    """A relativistic hinge D rests at 0 in good runs; where nothing gives the code away its log is like others'."""
    random = np.random.default_rng(3)
    lines = [
        f"Time [{n // 60}:{n % 60:02d}:09.5] batch: {6000 + 498 * n}  d_loss: {0.28 if n == 7 else 0:.6f}  "
        f"g_loss: {17 * float(np.exp(0.6 * random.normal())):.6f}"
        for n in range(60)
    ]
    made = diagnosed(log, lines)
    assert all(finding.confidence != "high" for finding in made.findings)
    assert "d_units.assumed" in remarks(made)


def test_weighing_the_only_term_is_no_remedy(log: Path) -> None:
    lines = [f"iteration {n}: dis/loss: {0.01 + n % 3 / 1000:.4f} gen/loss: {6 + n % 7 / 10:.2f}" for n in range(200)]
    log.write_text("\n".join(lines) + "\n")
    made = balancer.diagnose(log, tags={"d_loss": "dis/loss", "g_loss": "gen/loss"})
    text = balancer.as_text(made)
    assert "saturated.lasting" in keys(made)
    assert "d_lr_ratio" in text and "lambda_adv" not in text


def test_a_d_that_wins_and_then_blows_up_has_not_recovered(log: Path) -> None:
    random = np.random.default_rng(4)
    levels = [0.3] * 100 + [0.004] * 60 + [40.0] * 40
    lines = [
        f"step {100 * n}: d_adv: {level * np.exp(0.2 * random.normal()):.4f} g_loss: {2 + random.normal() / 9:.3f}"
        for n, level in enumerate(levels)
    ]
    made = diagnosed(log, lines)
    assert "saturated.led" in keys(made) and "saturated.passed" not in keys(made)
    assert (
        made.verdict.words == "verdict.back" and made.verdict.evidence["step"] <= 10_300
    )  # a mean over five rows finds it


@pytest.mark.parametrize("names", ["D(x) D(G(z))", "logits_real logits_fake"])
@pytest.mark.parametrize("won", [True, False])
def test_d_is_judged_by_its_outputs_where_no_loss_of_it_is_logged(names: str, won: bool, log: Path) -> None:
    real, fake = names.split()
    random = np.random.default_rng(5)
    lines = []
    for n in range(120):
        high, low = (4.0 if won else 0.3) + random.normal() / 5, (-4.5 if won else -0.3) + random.normal() / 5
        if "(" in names:
            high, low = 1 / (1 + np.exp(-high)), 1 / (1 + np.exp(-low))
        g = (5 if won else 1) + random.normal() / 9
        lines.append(f"step {10 * n}: g_loss: {g:.4f} {real}: {high:.4f} {fake}: {low:.4f}")
    made = diagnosed(log, lines)
    assert ("saturated.lasting" in keys(made)) == won
    assert remarks(made) & {"d_units.probs_alone", "d_units.logits_alone"}
    assert np.median(made.case.history["d_adv"].values) == pytest.approx(0.0147 if won else 0.554, rel=0.05)


def test_a_d_that_reconstructs_images_has_no_level(log: Path) -> None:
    lines = [
        f"[Epoch {n // 20}/200] [Batch {n % 20}/20] [D loss: {0.02 + n % 7 / 1000:f}] [G loss: 0.09{n % 5}] "
        f"-- M: {0.15 + n % 3 / 1000:f}, k: {n / 1000:f}"
        for n in range(120)
    ]
    made = diagnosed(log, lines)
    assert keys(made) == set() and made.verdict.words == "verdict.trends"
    assert "d_units.code_no_levels" in remarks(made)
