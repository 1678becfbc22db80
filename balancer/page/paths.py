"""Series as SVG paths: thinned to what a page can show, smoothed, and placed between 0 and 1 on both axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.page.scales import Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from balancer.reading.series import Floats, Series

POINTS: Final = 600
SIZE: Final = 1000  # units of a plot's view box, both ways; y grows downwards


@dataclass(frozen=True)
class Points:
    """A signal as it is drawn: its mean, lowest and highest value at each of some steps."""

    steps: Floats
    values: Floats
    low: Floats
    high: Floats

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class PlottedCurve:
    """One line in steps and in the units of its axis, before it is placed; `title` says what it shows.

    `values` run along it, `around` are the lower and the upper bound of what is filled. With `end` it is a staircase
    whose last value holds up to that step. `style` picks colour and dashes; `kind` is "main", "thin" (a plugin's
    contribution) or "share".
    """

    name: str
    title: str
    style: int
    steps: Floats
    values: Floats | None = None
    around: tuple[Floats, Floats] | None = None
    kind: str = "main"
    end: float | None = None

    def placed(self, x: Scale, y: Scale) -> Line:
        """The line on two scales."""
        at, path, area = x.place(self.steps), "", ""
        if self.around is not None:
            area = area_path(at, *(y.place(bound) for bound in self.around))
        if self.values is not None and self.end is None:
            path = line_path(at, y.place(self.values))
        elif self.values is not None:
            up = np.where(np.isfinite(self.values), y.place(np.nan_to_num(self.values)), np.nan)
            path = step_path(at, up, float(x.place([self.end or 0.0])[0]))
        return Line(self.name, path, area, self.style, self.kind, self.title)


@dataclass(frozen=True)
class Line:
    """One line as SVG paths with its legend entry; `area` is its envelope, or what a share fills."""

    name: str
    path: str
    area: str
    style: int
    kind: str
    title: str


def thinned(series: Series, first: float, last: float, points: int = POINTS) -> Points:
    """A series on at most so many points between two steps: of each stretch its mean, lowest and highest value."""
    steps, values, low, high = (series.steps + series.last_steps) / 2, series.values, series.low, series.high
    if len(values) <= points:
        return Points(steps, values, low, high)
    width = (last - first) / points or 1.0
    into = np.clip(((steps - first) / width).astype(int), 0, points - 1)
    # Steps do not fall, so the members of a stretch stand side by side.
    starts = np.flatnonzero(np.diff(into, prepend=-1))
    counts = np.diff(starts, append=len(values))
    return Points(
        np.add.reduceat(steps, starts) / counts,
        np.add.reduceat(values, starts) / counts,
        np.minimum.reduceat(low, starts),
        np.maximum.reduceat(high, starts),
    )


def smoothed(steps: Floats, values: Floats, window: float) -> Floats:
    """The mean of the values within half a window on either side; as far on both, so that the ends do not lean."""
    if len(values) < 3:
        return values
    begin, end = _reach(steps, window)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means: Floats = np.clip((sums[end] - sums[begin]) / (end - begin), values.min(), values.max())
    return means


def extremes(points: Points, window: float) -> tuple[Floats, Floats]:
    """The lowest and the highest value within half a window on either side."""
    if len(points) < 3:
        return points.low, points.high
    pairs = list(zip(*_reach(points.steps, window), strict=True))
    low = np.array([points.low[begin:end].min() for begin, end in pairs])
    high = np.array([points.high[begin:end].max() for begin, end in pairs])
    return low, high


def line_path(x: Floats, y: Floats) -> str:
    """A path through points, of which 0 and 1 are the ends of the axes; a single one becomes a short dash."""
    if len(x) == 1:
        x, y = np.array([x[0] - 0.004, x[0] + 0.004]), np.array([y[0], y[0]])
    return "M" + "L".join(_pairs(x, y))


def area_path(x: Floats, low: Floats, high: Floats) -> str:
    """What lies between two lines: along the upper one, and back along the lower one."""
    pairs = [*_pairs(x, high), *reversed(_pairs(x, low))]
    return "M" + "L".join(pairs) + "Z"


def step_path(x: Floats, y: Floats, end: float) -> str:
    """A staircase: each value holds from its point to the next, the last one to `end`; NaN makes a gap."""
    parts = []
    for at, value, until in zip(x, y, [*x[1:], end], strict=True):
        if np.isnan(value):
            parts.append("")
            continue
        here, there = _pairs(np.array([at, until]), np.array([value, value]))
        joined = parts and parts[-1]
        parts.append(f"{'L' if joined else 'M'}{here}L{there}")
    return "".join(parts)


def _reach(steps: Floats, window: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each step the index of the first one in its window and that after the last one."""
    reach = np.minimum(window / 2, np.minimum(steps - steps[0], steps[-1] - steps))
    begin = np.searchsorted(steps, steps - reach, side="left")
    end = np.searchsorted(steps, steps + reach, side="right")
    # Rounding must not leave a step out of its own window.
    own = np.arange(len(steps))
    return np.minimum(begin, own), np.maximum(end, own + 1)


def _pairs(x: Floats, y: Floats) -> list[str]:
    across, down = np.round(x * SIZE, 1), np.round((1 - y) * SIZE, 1)
    return [f"{a:g},{b:g}" for a, b in zip(across, down, strict=True)]
