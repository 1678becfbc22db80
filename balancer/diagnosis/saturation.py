"""Where D is saturated: the stretches that several rules ask about, and the levels they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.contract.levels import RECOVERED_ABOVE, SATURATED_BELOW
from balancer.diagnosis.finding import Case
from balancer.diagnosis.noise import apart, climb, needed
from balancer.diagnosis.trends import Curve, curve, logs, stretches

if TYPE_CHECKING:
    from balancer.reading.series import Floats

ROWS: Final = 20  # fewer rows do not make a trend
CHOSEN: Final = 1.5  # times the usual evidence, for a stretch that was chosen for lying low
LASTING: Final = 0.3  # a stretch of that share of the log is not a passing swing


@dataclass(frozen=True)
class Stretch:
    """A stretch of steps in which D is saturated."""

    first: float
    last: float
    share: float
    median: float
    at_end: bool

    @property
    def lasting(self) -> bool:
        """Whether it still goes on and is not a passing swing."""
        return self.at_end and self.share >= LASTING


def saturated_below(case: Case) -> float:
    """Below which `d_adv` D has won."""
    return min(SATURATED_BELOW, case.units.healthy_range[0] if case.units.healthy_range else SATURATED_BELOW)


def saturated(case: Case) -> list[Stretch]:
    """Where `d_adv`, smoothed, lies below 0.05 (or below what its code's authors call healthy, where that is lower),
    until it is back at twice that; short dips left out.

    Stretches that noise makes of one level are none: the whole log is saturated then, or it is not.
    """
    if "d_adv" not in case.history:
        return []
    raw = curve(case.history["d_adv"])
    whole = raw.smooth()
    found = []
    below = saturated_below(case)
    for first, last in stretches(whole, below, below * RECOVERED_ABOVE / SATURATED_BELOW):
        at_end = last == len(whole) - 1
        share = (last - first + 1) / len(whole)
        if share < 0.05 or last - first + 1 < min(5, len(whole)):
            continue
        if share < 1 and not _stands_out(logs(raw.values), first, last):
            continue
        end = whole.end if at_end else float(whole.steps[last + 1]) - 1
        median = float(np.median(whole.values[first : last + 1]))
        found.append(Stretch(float(whole.steps[first]), end, share, median, at_end))
    level = float(np.median(whole.values)) if len(whole) else 1.0
    if not found and level < below:
        found.append(Stretch(float(whole.steps[0]), whole.end, 1.0, level, True))
    return found


def _stands_out(values: Floats, first: int, last: int) -> bool:
    """Whether a stretch is more than noise: it lies lower than the rest, or the curve falls into it or climbs out."""
    middle = (first + last + 1) // 2
    into, out = values[:middle], values[middle:]
    evidence = (
        apart(values, first, last) / needed(len(values)),
        climb(-into) / needed(len(into)),
        climb(out) / needed(len(out)),
    )
    return max(evidence) >= CHOSEN


def span(of: Curve) -> tuple[float, float]:
    """The steps that a curve covers."""
    return float(of.steps[0]), of.end


def above_since(of: Curve, level: float) -> float:
    """The step from which on a curve stays above a level."""
    below = np.flatnonzero(of.values < level)
    if len(below) == 0:
        return float(of.steps[0])
    return float(of.steps[min(int(below[-1]) + 1, len(of) - 1)])
