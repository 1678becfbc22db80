"""Differences of a few pairs of runs: their mean, and an interval for it that small numbers do not make too narrow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

CONFIDENCE: Final = 0.95
# From so many pairs on the studentised bootstrap, at its worst, covers more often than Student's interval at its worst,
# and where that is exact it is less than a tenth wider: python benchmarks/interval_coverage.py
BOOTSTRAP_FROM: Final = 8
_RESAMPLES: Final = 2000
_GRID: Final = 200_001


class Estimate(NamedTuple):
    """The mean of paired differences with its interval, which is infinite where they do not show what they vary by."""

    mean: float
    low: float
    high: float
    deviation: float
    pairs: int

    @property
    def sign(self) -> int:
        """On which side of 0 the whole interval lies: 1 or −1; 0 where it holds 0, so that nothing is said."""
        return int(self.low > 0) - int(self.high < 0)

    @property
    def bounded(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low)


def estimate(differences: Sequence[float]) -> Estimate | None:
    """The mean of paired differences with a 95 % interval, in whatever order they come; None of none.

    Student's below 8 pairs, from there on the bootstrap's.
    """
    if not differences:
        return None
    count, ordered = len(differences), sorted(differences)
    interval = None
    if count >= BOOTSTRAP_FROM:
        interval = bootstrap_interval(ordered, CONFIDENCE)
    low, high = interval or paired_interval(ordered, CONFIDENCE) or (-math.inf, math.inf)
    deviation = float(np.std(ordered, ddof=1)) if count > 1 else 0.0
    return Estimate(float(np.mean(ordered)), low, high, deviation, count)


def paired_interval(differences: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Lower and upper end of the mean of paired differences, taken as normally distributed: Student's t interval.

    None of fewer than two, and of equal ones: they do not show what differences vary by.
    """
    count = len(differences)
    if len({*differences}) < 2:
        return None
    half = t_quantile((1 + confidence) / 2, count - 1) * float(np.std(differences, ddof=1)) / math.sqrt(count)
    mean = float(np.mean(differences))
    return mean - half, mean + half


def bootstrap_interval(differences: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Lower and upper end of the mean by the studentised bootstrap over pairs (Efron 1981, bootstrap-t).

    The same each time, in whatever order the differences come. None where resamples show no spread, as of few or of
    mostly equal differences.
    """
    values = np.sort(np.asarray(differences, dtype=float))
    count = len(values)
    if count < 2:
        return None
    drawn = values[np.random.default_rng(0).integers(0, count, (_RESAMPLES, count))]
    error, mean = drawn.std(1, ddof=1) / math.sqrt(count), float(values.mean())
    spread = error > 1e-9 * float(np.abs(values).max())
    if np.mean(~spread) > (1 - confidence) / 4:
        return None
    students = (drawn.mean(1)[spread] - mean) / error[spread]
    low, high = np.quantile(students, [(1 - confidence) / 2, (1 + confidence) / 2])
    own = float(values.std(ddof=1)) / math.sqrt(count)
    return mean - float(high) * own, mean - float(low) * own


@lru_cache(256)
def t_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t distribution, to about 1e-4 of itself; `probability` in [0.5, 1).

    With x = √ν tan θ the density is proportional to cos^(ν−1) θ, which is summed from the far end.
    """
    angle = np.linspace(math.pi / 2, 0.0, _GRID)
    density = np.cos(angle) ** (freedom - 1)
    tail = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    reached = np.interp(1 - probability, tail / (2 * tail[-1]), angle)
    return math.sqrt(freedom) * math.tan(float(reached))
