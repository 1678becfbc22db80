"""What a series does over the steps: its level, where it rises, the stretches it spends below a level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.diagnosis.noise import climb, needed

if TYPE_CHECKING:
    from balancer.reading.series import Floats, Series

BINS: Final = 200  # a curve is judged on so many points at most
TREND_BINS: Final = 10  # so many parts of a curve, in their order, say whether it goes steadily
PART: Final = 5  # a trend compares the first fifth with the last


@dataclass(frozen=True)
class Curve:
    """A series as rules look at it: at most 200 points, each the mean of a stretch of steps.

    Attributes:
        steps: the first step of each point's stretch, float64 of shape (points,), rising.
        values: the means, float64 of shape (points,), in the units of the series.
        end: the last step of the last stretch; -1 for a curve of an empty series.
    """

    steps: Floats
    values: Floats
    end: float

    def __len__(self) -> int:
        return len(self.values)

    def since(self, step: float) -> Curve:
        """The part from `step` on."""
        keep = self.steps >= step
        return Curve(self.steps[keep], self.values[keep], self.end)

    def until(self, step: float) -> Curve:
        """The part before `step`."""
        keep = self.steps < step
        end = float(self.steps[~keep][0]) - 1 if (~keep).any() else self.end
        return Curve(self.steps[keep], self.values[keep], end)

    def tail(self, part: int = 5, least: int = 3) -> Floats:
        """The values of the last fifth, or of another part; at least so many of them."""
        return self.values[-max(least, len(self) // part) :]

    def smooth(self) -> Curve:
        """A running mean over five points, where there are points enough that a few make no difference."""
        if len(self) < 50:
            return self
        padded = np.concatenate([np.repeat(self.values[0], 2), self.values, np.repeat(self.values[-1], 2)])
        return Curve(self.steps, np.convolve(padded, np.full(5, 0.2), mode="valid"), self.end)


def curve(series: Series, bins: int = BINS) -> Curve:
    """The means of at most `bins` equal stretches of the series."""
    steps, values, last = series.steps, series.values, series.last_steps
    if len(values) == 0:
        return Curve(steps, values, -1.0)
    if len(values) > bins:
        edges = np.linspace(0, len(values), bins + 1).astype(int)[:-1]
        counts = np.diff([*edges, len(values)])
        steps, values = steps[edges], np.add.reduceat(values, edges) / counts
    return Curve(steps, values, float(last[-1]))


@dataclass(frozen=True)
class Trend:
    """How a curve gets from its first fifth to its last.

    `first` and `last` are their medians, `rank` Spearman's correlation of (binned) values with time; `up` and `down`
    are the evidence that it rises and that it falls, in parts of what noise stays below (`noise.needed`).
    """

    first: float
    last: float
    rank: float
    up: float
    down: float

    @property
    def change(self) -> float:
        """The relative change; infinite from 0."""
        if self.first == 0:
            return 0.0 if self.last == 0 else float("inf")
        return (self.last - self.first) / abs(self.first)

    def rises(self, by: float = 0.1, rank: float = 0.7) -> bool:
        """Whether it rises by that share at least, steadily, and as noise does not."""
        return self.up >= 1 and self.rank >= rank and self.change >= by

    def falls(self, by: float = 0.1, rank: float = 0.7) -> bool:
        """Whether it falls by that share at least, steadily, and as noise does not."""
        return self.down >= 1 and self.rank <= -rank and self.change <= -by


def trend(of: Curve) -> Trend:
    """The trend of a curve of at least two points."""
    values = of.values
    bins = min(TREND_BINS, len(values))
    edges = np.linspace(0, len(values), bins + 1).astype(int)[:-1]
    means = np.add.reduceat(values, edges) / np.diff([*edges, len(values)])
    part = max(1, bins // PART)
    first, last = float(np.median(means[:part])), float(np.median(means[-part:]))
    least = needed(len(values))
    return Trend(first, last, _spearman(means), climb(values) / least, climb(-values) / least)


def logs(values: Floats) -> Floats:
    """Logarithms, on which the spread of a loss is even; what is printed as 0 is taken for 1e-6."""
    logarithms: Floats = np.log(np.maximum(values, 1e-6))
    return logarithms


def stretches(of: Curve, below: float, leave: float) -> list[tuple[int, int]]:
    """Where a curve lies below a level: (first, last) indices; a stretch ends where it exceeds `leave`."""
    found = []
    begun: int | None = None
    for index, value in enumerate(of.values):
        if begun is None and value < below:
            begun = index
        elif begun is not None and value > leave:
            found.append((begun, index - 1))
            begun = None
    if begun is not None:
        found.append((begun, len(of) - 1))
    return found


def crossings(of: Curve, low: float, high: float) -> int:
    """How often a curve goes all the way from below `low` to above `high`, or back."""
    side, count = 0, 0
    for value in of.values:
        now = -1 if value < low else 1 if value > high else 0
        if now and now != side:
            count += side != 0
            side = now
    return count


def _spearman(values: Floats) -> float:
    if len(values) < 3 or np.ptp(values) == 0:
        return 0.0
    # Equal values share their mean rank.
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    return float(np.corrcoef(mean_ranks[inverse], np.arange(len(values)))[0, 1])
