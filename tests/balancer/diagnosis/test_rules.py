"""Rules find what is wrong in runs whose trouble is known, and nothing in healthy ones."""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.histories import document_signals, found, healthy_signals, judged, remarks, run_of, words

from balancer.contract.levels import CHANCE
from balancer.diagnosis import rules
from balancer.diagnosis.finding import NamedRule
from balancer.diagnosis.infer_units import stated_units


def test_no_rule_is_forgotten() -> None:
    folder = Path(rules.__file__).parent
    files = [import_module(f"balancer.diagnosis.{path.stem}") for path in sorted(folder.glob("*_rules.py"))]
    written = {found.name for file in files for found in vars(file).values() if isinstance(found, NamedRule)}
    assert sorted(named.name for named in rules.RULES) == sorted(written)


def test_the_source_documents_case_has_its_diagnosis() -> None:
    made = judged(run_of(document_signals, first=64010), steps_per_epoch=416.0)
    assert words(made) == [
        "saturated.lasting",
        "starved",
        "adv_share.rises",
        "cheat_rising",
        "g_loss_rising.adv",
        "compromise.share",
    ]
    assert made.findings[0].steps == (64010, 64010 + 399 * 100)
    assert made.findings[0].confidence == "medium"  # nothing says that the loss is BCE
    share = found(made, "adv_share.rises")
    assert share["first"] == pytest.approx(0.16, abs=0.03) and share["last"] == pytest.approx(0.32, abs=0.03)
    assert found(made, "g_loss_rising.adv")["part"] > 0.8
    assert made.verdict.words == "verdict.rescue_held"
    assert made.case.units.weights == {"adv": 1.0, "l1": 90.0, "const": 5.0, "category": 1.0} or (
        made.case.units.weights["l1"] == pytest.approx(90, rel=0.01)
    )


@pytest.mark.parametrize("seed", range(40))
def test_a_healthy_run_has_no_finding(seed: int) -> None:
    for rows in (30, 100, 400, 5000):
        made = judged(run_of(healthy_signals, rows=rows, seed=seed), steps_per_epoch=416.0)
        assert words(made) == [], rows
        assert made.verdict.words == "verdict.healthy"


@pytest.mark.parametrize("seed", range(10))
def test_a_slow_walk_around_the_healthy_band_has_no_finding(seed: int) -> None:
    """Noise that wanders is no trend and no saturation, as long as it stays in the band."""
    random = np.random.default_rng(seed)
    walk = np.zeros(2000)
    for index in range(1, 2000):
        walk[index] = 0.99 * walk[index - 1] + random.normal(0, 0.01)
    level = np.clip(0.25 + walk, 0.1, 0.4)
    rows = [(float(i), {"d_loss": float(d), "adv": -math.log(-math.expm1(-d))}) for i, d in enumerate(level)]
    assert words(judged(rows)) == []


def test_too_short_a_log_says_what_it_lacks_and_finds_no_trend() -> None:
    made = judged(run_of(document_signals, rows=6, first=64010))
    assert set(words(made)) <= {"saturated.lasting", "starved"}
    assert {left.rule for left in made.not_judged} >= {"g_loss_rising", "cheat_rising", "compromise"}
    assert made.verdict.words == "verdict.unknown"
    assert all(finding.confidence != "high" for finding in made.findings)
    assert words(judged(run_of(document_signals, rows=2))) == []


def test_a_passing_saturation_is_told_from_a_lasting_one() -> None:
    def dips(t: float, random: np.random.Generator) -> dict[str, float]:
        level = 0.01 if 0.3 < t < 0.5 else 0.25
        return {"d_loss": level * math.exp(random.normal(0, 0.2))}

    made = judged(run_of(dips))
    assert words(made) == ["saturated.passed"]
    first, last = made.findings[0].steps or (0, 0)
    assert 11_500 < first < 12_500 and 19_000 < last < 20_500
    assert made.verdict.words == "verdict.minor"


def test_a_saturation_that_has_just_begun_is_left_open() -> None:
    def falls(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"d_loss": (0.004 if t > 0.85 else 0.25) * math.exp(random.normal(0, 0.2))}

    assert words(judged(run_of(falls))) == ["saturated.open"]


def test_a_blown_up_d_is_worse_than_one_at_chance() -> None:
    def blown(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"d_loss": 0.2 * math.exp(max(0.0, t - 0.6) * 10 + random.normal(0, 0.2))}

    def guesses(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"d_loss": CHANCE + random.normal(0, 0.01)}

    assert words(judged(run_of(blown)))[0] == "blow_up"
    assert judged(run_of(blown)).verdict.words == "verdict.back"
    assert words(judged(run_of(guesses))) == ["collapse"]


def test_swings_between_extremes_are_an_oscillation() -> None:
    def swings(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"d_loss": math.exp(-2.2 + 2.2 * math.sin(t * 2 * math.pi * 10))}

    assert "oscillation" in words(judged(run_of(swings)))


def test_the_floor_of_smoothed_labels_is_no_health() -> None:
    def smoothed(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"d_loss": 0.3251 + abs(random.normal(0, 0.006)), "adv": 2.2 + random.normal(0, 0.2)}

    made = judged(run_of(smoothed))
    assert "smoothing_floor" in words(made)
    assert found(made, "smoothing_floor")["labels"] == "0.9 / 0.1"


def test_nan_sends_back_to_an_earlier_checkpoint() -> None:
    rows = run_of(healthy_signals)
    for index in range(300, 400):
        rows[index][1]["g_loss"] = math.nan
    made = judged(rows)
    assert words(made)[0] == "divergence.nan"
    assert found(made, "divergence.nan")["step"] == 30_000
    assert (made.verdict.words, made.verdict.evidence["step"]) == ("verdict.back", 30_000)


def test_a_loss_that_explodes_is_a_divergence() -> None:
    def explodes(t: float, random: np.random.Generator) -> dict[str, float]:
        return {**healthy_signals(t, random), "g_loss": 25 * math.exp(max(0.0, t - 0.8) * 40)}

    assert "divergence.grows" in words(judged(run_of(explodes)))


def test_a_generator_that_fools_d_and_forgets_its_input_hints_at_mode_collapse() -> None:
    def fools(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"d_loss": 0.75 + random.normal(0, 0.02), "adv": 0.3, "l1": 0.2 + 0.1 * t + random.normal(0, 0.003)}

    made = judged(run_of(fools), stated=stated_units(None, "mean", {}))
    assert "mode_collapse" in words(made)
    assert made.verdict.words in ("verdict.doubtful", "verdict.watch")


def test_equal_learning_rates_matter_where_d_has_won() -> None:
    rows = run_of(document_signals, first=64010)
    for _, row in rows:
        row |= {"lr_d": 2e-4, "lr_g": 2e-4}
    made = judged(rows)
    assert "learning_rate.equal" in words(made)
    for _, row in rows:
        row["lr_d"] = 5e-5
    made = judged(rows)
    assert "learning_rate.equal" not in words(made)
    assert "learning_rate.still" in [remark.words for remark in made.remarks]


def test_a_structure_that_is_being_lost_makes_the_verdict_doubtful() -> None:
    def lost(t: float, random: np.random.Generator) -> dict[str, float]:
        return {**document_signals(t, random), "l1": 0.2 + 0.3 * max(0.0, t - 0.5) + random.normal(0, 0.003)}

    made = judged(run_of(lost))
    assert made.verdict.words == "verdict.doubtful"
    assert made.verdict.evidence["term"] == "l1"
    assert 15_000 <= float(made.verdict.evidence["step"]) <= 22_000


def test_columns_that_contradict_bce_are_another_loss_unless_bce_was_told() -> None:
    def strange(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"d_loss": 0.05 * math.exp(random.normal(0, 0.1)), "adv": 0.3 + random.normal(0, 0.02)}

    made = judged(run_of(strange, first=50_000))
    assert words(made) == [] and not made.case.units.levels
    assert "d_units.not_bce" in remarks(made)
    assert made.verdict.words == "verdict.trends"
    assert "inconsistent_columns.floor" in words(
        judged(run_of(strange, first=50_000), stated=stated_units("bce", None, {}))
    )


def test_a_d_loss_printed_as_zero_contradicts_nothing() -> None:
    def rounded(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"d_loss": round(random.uniform(0, 0.012), 2), "adv": 6 + random.normal(0, 0.3)}

    made = judged(run_of(rounded, first=50_000))
    assert "saturated.lasting" in words(made) and "d_units.not_bce" not in remarks(made)


def test_a_wasserstein_loss_is_judged_by_trends_alone() -> None:
    def critic(t: float, random: np.random.Generator) -> dict[str, float]:
        return {"d_loss": -5 + random.normal(0, 0.3), "adv": -2 + random.normal(0, 0.3)}

    made = judged(run_of(critic))
    assert words(made) == []
    assert remarks(made) == ["d_units.negative"]
    assert "saturated" in [left.rule for left in made.not_judged]
    assert made.verdict.words == "verdict.no_levels"


@settings(max_examples=60)
@given(
    rows=st.integers(0, 60),
    columns=st.sets(st.sampled_from(["d_loss", "adv", "g_loss", "l1", "const", "lr_d", "lr_g", "d_acc", "lambda_adv"])),
    seed=st.integers(0, 2**31),
    scale=st.sampled_from([0.0, 1e-300, 1e-3, 1.0, 1e6, 1e300]),
)
def test_any_numbers_are_judged_without_an_error(rows: int, columns: set[str], seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    table = [
        (
            float(step),
            {name: float(random.choice([random.normal(0, 1) * scale, 0.0, math.nan, math.inf])) for name in columns},
        )
        for step in range(rows)
    ]
    made = judged(table)
    assert made.verdict.rule == "verdict"


def test_one_goes_back_before_a_loss_left_its_level_on_its_way_to_nan() -> None:
    random = np.random.default_rng(6)
    levels = [0.6 * random.lognormal(0, 0.1) for _ in range(100)] + [1.6 * 2**n for n in range(10)] + [math.nan] * 10
    made = judged([(10.0 * n, {"d_adv": level, "d_loss": level, "g_loss": 1.0}) for n, level in enumerate(levels)])
    assert made.verdict.words == "verdict.back" and made.verdict.evidence["step"] == 1000
