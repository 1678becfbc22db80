"""Lines, areas and steps of a chart as SVG paths: series thinned to what a page can show, smoothed, and placed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.page.scales import Axis
from balancer.reading.history import Series

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

POINTS: Final = 600
WINDOW: Final = 1 / 40  # of the axis: over so much of it a line is averaged
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
class Line:
    """One line of a chart with its legend entry; `area` is its envelope, or what a share fills.

    `style` picks colour and dashes; `kind` is "main", "thin" (a plugin's contribution) or "share".
    """

    name: str
    path: str
    area: str = ""
    style: int = 0
    kind: str = "main"
    title: str = ""
    # Which view it belongs to.
    view: int = 0


@dataclass(frozen=True)
class Tick:
    """A label beside an axis, or in a plot, in percent of it."""

    at: float
    label: str
    # Labels at either end are drawn inwards, so that they do not stick out.
    edge: str = ""
    across: float = 0.0


@dataclass(frozen=True)
class Zone:
    """A band across the plot, in percent from the top; without height, a level."""

    top: float
    height: float
    label: str


@dataclass(frozen=True)
class Strip:
    """Where decisions were taken: (x, opacity) of each mark, in units of the view box."""

    name: str
    marks: Sequence[tuple[float, float]]
    width: float
    style: int


@dataclass(frozen=True)
class Chart:
    """All that the template needs to draw one chart."""

    title: str
    described: str
    lines: Sequence[Line]
    x: Axis
    y: Axis
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    notes: Sequence[str] = ()
    zones: Sequence[Zone] = ()
    verticals: Sequence[tuple[float, str]] = ()
    labels: Sequence[Tick] = ()
    strips: Sequence[Strip] = ()
    size: str = ""
    percent: bool = False


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


def zone(axis: Axis, low: float, high: float, label: str) -> Zone | None:
    """A band from one value to another, or None where it lies outside the axis."""
    bottom, top = (float(at) for at in axis.place([low, high]))
    bottom, top = max(bottom, 0.0), min(top, 1.0)
    if bottom > 1 or top < 0 or bottom > top:
        return None
    return Zone(100 - 100 * top, 100 * (top - bottom), label)


def ticks(axis: Axis, *, upward: bool = False, percent: bool = False) -> list[Tick]:
    """The axis's ticks in percent, from the left, or from the top where they go `upward`."""
    found = []
    for value, label in axis.ticks():
        at = 100 * float(axis.place([value])[0])
        edge = "start" if at < 4 else "end" if at > 96 else ""
        text = f"{value:.0%}" if percent else label
        found.append(Tick(round(100 - at if upward else at, 2), text, edge))
    return found


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
