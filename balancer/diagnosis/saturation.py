"""Where D is saturated: the stretches that several rules ask about, and the levels they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from balancer.contract.levels import RECOVERED_ABOVE, SATURATED_BELOW
from balancer.diagnosis.finding import Case
from balancer.diagnosis.trends import Curve, curve, stretches

ROWS: Final = 20  # fewer rows do not make a trend
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


def saturated(case: Case) -> list[Stretch]:
    """Where `d_adv`, smoothed, lies below 0.05, until it is back at 0.1; short dips left out."""
    if "d_adv" not in case.history:
        return []
    whole = curve(case.history["d_adv"]).smooth()
    found = []
    for first, last in stretches(whole, SATURATED_BELOW, RECOVERED_ABOVE):
        at_end = last == len(whole) - 1
        end = whole.end if at_end else float(whole.steps[last + 1]) - 1
        share = (last - first + 1) / len(whole)
        if share >= 0.05 and last - first + 1 >= min(5, len(whole)):
            median = float(np.median(whole.values[first : last + 1]))
            found.append(Stretch(float(whole.steps[first]), end, share, median, at_end))
    return found


def span(of: Curve) -> tuple[float, float]:
    """The steps that a curve covers."""
    return float(of.steps[0]), of.end


def above_since(of: Curve, level: float) -> float:
    """The step from which on a curve stays above a level."""
    below = np.flatnonzero(of.values < level)
    if len(below) == 0:
        return float(of.steps[0])
    return float(of.steps[min(int(below[-1]) + 1, len(of) - 1)])
