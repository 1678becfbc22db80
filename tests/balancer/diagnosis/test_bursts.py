"""A D that breaks down in some rows and not between them is no run without a problem, in whichever order they stand."""

from __future__ import annotations

import numpy as np
import pytest
from support.histories import found, judged, words

HEALTHY = 0.3


def rows(share: float, high: float, count: int = 400, seed: int = 0) -> list[tuple[float, dict[str, float]]]:
    random = np.random.default_rng(seed)
    levels = HEALTHY * np.exp(0.5 * random.standard_normal(count))
    levels[random.random(count) < share] = high
    return [(100.0 * n, {"d_adv": level, "adv": 1.5 + random.normal() / 9}) for n, level in enumerate(levels)]


@pytest.mark.parametrize("seed", range(5))
def test_a_tenth_of_the_rows_far_above_chance_is_found(seed: int) -> None:
    made = judged(rows(0.1, 40.0, seed=seed))
    assert words(made) == ["bursts"] and made.verdict.words == "verdict.watch"
    assert 20 <= found(made, "bursts")["count"] <= 60


def test_it_is_found_in_a_log_that_is_kept_in_spans() -> None:
    made = judged(rows(0.1, 40.0, count=20_000))
    assert 1500 <= found(made, "bursts")["count"] <= 2500


@pytest.mark.parametrize(("share", "high"), [(0.005, 40.0), (0.1, 2.0), (0.0, 1.0)])
def test_rare_or_low_peaks_are_none(share: float, high: float) -> None:
    assert "bursts" not in words(judged(rows(share, high)))


def test_a_breakdown_that_lasts_to_the_end_is_a_blow_up_however_it_swings() -> None:
    """From row 250 of 400 on D's loss swings between 1.4 and 240, and falls again: what is later is no better."""
    random = np.random.default_rng(3)
    after = np.clip(40.0 * np.exp(1.2 * random.standard_normal(150) - np.linspace(0, 1.5, 150)), 1.4, 240.0)
    levels = np.concatenate([0.6 * np.exp(0.05 * random.standard_normal(250)), after])
    made = judged([(50.0 * n, {"d_adv": level, "adv": 1.1 if n < 250 else 90.0}) for n, level in enumerate(levels)])
    assert "blow_up" in words(made) and "bursts" not in words(made)
    assert made.verdict.words == "verdict.back" and 12_000 <= made.verdict.evidence["step"] <= 12_500


def test_a_breakdown_that_passes_is_one() -> None:
    random = np.random.default_rng(3)
    levels = HEALTHY * np.exp(0.3 * random.standard_normal(400))
    levels[150:200] = 30.0
    made = judged([(100.0 * n, {"d_adv": level, "adv": 1.5}) for n, level in enumerate(levels)])
    assert "bursts.once" in words(made) and found(made, "bursts.once")["count"] == 50
