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
