"""Logs of other codes: what healthy ones were once accused of, and what only they show."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from support.histories import document_signals, found, healthy_signals, judged, remarks, run_of, words

import balancer
from balancer.diagnosis.infer_units import stated_units


def test_a_level_that_no_single_d_keeps_is_a_matter_of_units() -> None:
    """Eight discriminators of least squares add up to 3.2; a sum of halves late in a run lies near 1.2."""

    def vocoder(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"d_loss": 3.2 + random.normal(0, 0.1), "adv": 3.5 + random.normal(0, 0.1), "mel": 0.3 - 0.1 * t}

    def late_sum(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"d_loss": 1.15 + random.normal(0, 0.05), "adv": 0.9 + random.normal(0, 0.05)}

    made = judged(run_of(vocoder))
    assert words(made) == [] and "d_units.too_high" in remarks(made)
    told = judged(run_of(vocoder), stated=stated_units("lsgan", "sum", {}, discriminators=8))
    assert words(told) == [] and told.verdict.words == "verdict.healthy"
    made = judged(run_of(late_sum, first=50_000))
    assert words(made) == [] and made.case.units.d_loss_kind == "sum"


def test_a_d_that_tells_apart_is_not_at_chance_whatever_its_loss() -> None:
    def few_bad_cases(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"d_loss": 0.7 + random.normal(0, 0.02), "d_acc": 0.85}

    assert words(judged(run_of(few_bad_cases))) == []
    assert "collapse" in words(
        judged(run_of(lambda t, random: {"d_loss": 0.7 + random.normal(0, 0.02), "d_acc": 0.52}))
    )


def test_a_d_at_chance_beside_a_g_that_improves_is_perhaps_the_balance_one_hopes_for() -> None:
    def caught_up(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"d_loss": 0.66 + random.normal(0, 0.02), "adv": 0.75, "l1": 0.1 - 0.06 * t + random.normal(0, 0.002)}

    made = judged(run_of(caught_up), stated=stated_units(None, "mean", {}))
    assert words(made) == ["collapse.improving"] and made.verdict.words == "verdict.minor"


def test_numbers_that_are_none_for_a_while_are_no_divergence() -> None:
    """Mixed precision skips a step now and then; some logs print NaN for what they did not measure."""
    rows = run_of(healthy_signals)
    for index in (0, 3, 250):
        rows[index][1]["g_loss"] = math.nan
    made = judged(rows)
    assert words(made) == [] and "divergence.passed" in remarks(made)
    assert made.verdict.words == "verdict.healthy"


def test_a_d_that_begins_late_is_judged_from_there_on() -> None:
    def late(t: float, random: np.random.Generator) -> dict[str, float]:
        if t < 0.5:
            return {"d_loss": 0.0, "adv": -0.02 + random.normal(0, 0.01), "rec": 0.3}
        level = max(0.55, 1 - 2 * (t - 0.5))
        return {"d_loss": level + random.normal(0, 0.03), "adv": 0.2 + random.normal(0, 0.1), "rec": 0.25}

    made = judged(run_of(late))
    assert words(made) == []
    assert {"d_units.began", "d_units.hinge"} <= set(remarks(made))
    assert made.case.history["d_adv"].steps[0] == pytest.approx(20_000, abs=200)


def test_a_cheat_loss_may_rise_at_first_and_drift_in_balance() -> None:
    def at_first(t: float, random: np.random.Generator) -> dict[str, float]:
        return {**healthy_signals(t, random), "adv": 2.2 - 1.4 * math.exp(-t * 20) + random.normal(0, 0.05)}

    def drifts(t: float, random: np.random.Generator) -> dict[str, float]:
        return {**healthy_signals(t, random), "adv": 1.3 + 1.2 * t + random.normal(0, 0.1)}

    assert words(judged(run_of(at_first))) == []
    assert words(judged(run_of(drifts))) == []


def test_least_squares_near_the_floor_of_smoothed_labels_is_no_smoothing() -> None:
    def lsgan(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"d_loss": 0.2 + abs(random.normal(0, 0.006)), "adv": 0.3 + random.normal(0, 0.03)}

    assert "smoothing_floor" not in words(judged(run_of(lsgan, first=50_000)))


def test_a_second_pair_of_networks_is_pointed_out() -> None:
    tags = {"d_loss": "loss/D_A", "adv": "loss/G_A"}
    made = judged(run_of(healthy_signals), tags=tags, other_tags=["loss/D_B", "loss/G_B", "loss/cycle_B"])
    (remark,) = [remark for remark in made.remarks if remark.rule == "second_pair"]
    assert remark.evidence["tags"] == "--tag d_loss=loss/D_B --tag adv=loss/G_B"


def test_what_no_term_shows_is_not_claimed() -> None:
    def only_d(t: float, random: np.random.Generator) -> dict[str, float]:
        row = document_signals(t, random)
        return {"d_loss": row["d_loss"], "adv": row["adv"]}

    assert judged(run_of(only_d, first=64010)).verdict.words == "verdict.rescue"
    dead = judged(run_of(lambda t, random: {"d_loss": 0.0002, "adv": 38 + random.normal(0, 1)}, first=1000))
    assert dead.verdict.words == "verdict.out_of_reach"


def test_a_term_that_explodes_is_a_divergence_too() -> None:
    def explodes(t: float, random: np.random.Generator) -> dict[str, float]:
        return {**healthy_signals(t, random), "g_loss": 20.0, "l1": 0.1 * math.exp(max(0.0, t - 0.7) * 30)}

    made = judged(run_of(explodes))
    assert found(made, "divergence.grows")["signal"] == "l1"


@pytest.mark.parametrize("level", [0.5, 1.15])
def test_a_cheat_loss_that_is_printed_weighed_is_no_evidence_of_another_loss(level: float, tmp_path: Path) -> None:
    """SRGANs print their adversarial term times 0.001."""
    random = np.random.default_rng(4)
    lines = [
        f"Epoch: [{n // 20:2d}/100] step: [{n % 20:2d}/20] time: 0.31s, "
        f"d_loss: {level * random.lognormal(0, 0.1):.3f}, adv_loss: {0.001 * random.lognormal(0, 0.2):.6f}, "
        f"mse_loss: 0.02{n % 9}1"
        for n in range(200)
    ]
    (tmp_path / "train.log").write_text("\n".join(lines) + "\n")
    made = balancer.diagnose(tmp_path / "train.log")
    assert made.case.units.adversarial == "bce"
    assert words(made) == ["inconsistent_columns.weighted"] and made.verdict.words == "verdict.minor"


def test_a_sum_in_which_the_cheat_loss_weighs_little_is_no_evidence_of_another_loss(tmp_path: Path) -> None:
    """Super-resolution: G's loss is 0.2 of pixels and 0.005 of an adversarial term of 2.5, D's a BCE of 0.2."""
    random = np.random.default_rng(9)
    lines = [
        f"Epoch [{n // 50}/9] Batch {n % 50} | Loss D: {0.2 * random.lognormal(0, 0.3):.4f}, "
        f"Loss G: {0.2 * random.lognormal(0, 0.05) + 0.0125:.4f}"
        for n in range(200)
    ]
    (tmp_path / "train.log").write_text("\n".join(lines) + "\n")
    made = balancer.diagnose(tmp_path / "train.log")
    assert (made.case.units.adversarial, made.case.units.adversarial_basis) == ("bce", "assumed")
