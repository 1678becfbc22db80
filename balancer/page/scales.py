"""Axes of a chart: linear or logarithmic, with ticks at round numbers, and figures as people write them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from balancer.reading.series import Floats

TICKS: Final = 5
DECADES: Final = 8  # a logarithmic axis spans at most so many
# A linear axis hides what lies below a twentieth of it: half of the values there ask for a logarithmic one.
NEAR_ZERO: Final = 20.0
OUTSIDE: Final = 0.1
_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Scale:
    """From `low` to `high`, low < high; with `log`, both are above 0."""

    low: float
    high: float
    log: bool = False

    def place(self, values: Floats | Sequence[float]) -> Floats:
        """Where values lie: 0 at the low end, 1 at the high one; what is far outside is drawn just outside."""
        array = np.asarray(values, dtype=float)
        low, high = self.low, self.high
        if self.log:
            array = np.log(np.maximum(array, low * 1e-3))
            low, high = math.log(low), math.log(high)
        placed: Floats = np.clip((array - low) / (high - low), -0.2, 1.2)
        return placed

    def ticks(self) -> list[tuple[float, str]]:
        """Round values on the axis with their labels, at least two where the axis has room for them."""
        values = log_ticks(self.low, self.high) if self.log else linear_ticks(self.low, self.high)
        if self.log:
            return [(value, number(value)) for value in values]
        return list(zip(values, tick_labels(values), strict=True))


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


def scale_for(lines: Iterable[Floats], around: Iterable[Floats] = (), show: Sequence[float] = ()) -> Scale:
    """An axis on which these lines can be read, logarithmic where a linear one would hide one of them near 0.

    Args:
        lines: values that must be visible.
        around: their extremes, of which the outermost tenth may lie outside, lest a few spikes flatten the lines.
        show: levels that must lie on the axis.
    """
    drawn = [line for line in lines if len(line)]
    if not drawn:
        return Scale(0.0, 1.0)
    extremes = [part for part in around if len(part)]
    every = np.concatenate([*drawn, np.asarray(show, dtype=float)])
    low = min(float(every.min()), *(float(np.quantile(part, OUTSIDE)) for part in extremes), math.inf)
    high = max(float(every.max()), *(float(np.quantile(part, 1 - OUTSIDE)) for part in extremes), -math.inf)
    values = np.concatenate(drawn)
    near = min(float(np.median(line)) for line in drawn)
    # An exact 0 now and then is what rounding leaves of a loss; a signal that is 0 for long is better drawn at 0.
    if 0 < near < high / NEAR_ZERO and values.min() >= 0 and (values > 0).mean() > 0.95:
        bottom = float(np.quantile(values[values > 0], 0.01))
        bottom = min([bottom, *(level for level in show if level > 0)])
        bottom = max(bottom / 1.5, high * 10.0**-DECADES)
        return Scale(bottom, high * (high / bottom) ** 0.07, log=True)
    if 0 <= low < 0.5 * high:
        low = 0.0
    elif high <= 0 and high > 0.5 * low:
        high = 0.0
    room = (high - low) * 0.05
    if room <= max(abs(low), abs(high)) * 1e-9:
        room = abs(high) * 0.1 or 1.0
    return Scale(low if low == 0 else low - room, high + room)


def ticks(scale: Scale, *, upward: bool = False, percent: bool = False) -> list[Tick]:
    """A scale's ticks in percent, from the left, or from the top where they go `upward`."""
    found = []
    for value, label in scale.ticks():
        at = 100 * float(scale.place([value])[0])
        edge = "start" if at < 4 else "end" if at > 96 else ""
        text = f"{value:.0%}" if percent else label
        found.append(Tick(round(100 - at if upward else at, 2), text, edge))
    return found


def zone(scale: Scale, low: float, high: float, label: str) -> Zone | None:
    """A band from one value to another, or None where it lies outside the scale."""
    bottom, top = (float(at) for at in scale.place([low, high]))
    bottom, top = max(bottom, 0.0), min(top, 1.0)
    if bottom > 1 or top < 0 or bottom > top:
        return None
    return Zone(100 - 100 * top, 100 * (top - bottom), label)


def linear_ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`: 2 to `count` + 1 of them."""
    least = (high - low) / count
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # By the tick's number, not by adding up, so that 0.3 is 0.3; and 0.0 is not -0.0.
    return [float(f"{index * step:.12g}") + 0.0 for index in range(first, last + 1)]


def log_ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """Powers of ten from `low` to `high`; their double and fivefold too where there are few of them."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / (count + 1)))
    factors = (1, 2, 5) if math.log10(high / low) < 2 else (1,)
    values = [
        float(f"{factor}e{power}") for power in range(first, last + 1) if power % every == 0 for factor in factors
    ]
    found = [value for value in values if low <= value <= high]
    return found if len(found) >= 2 else linear_ticks(low, high, count)


def tick_labels(values: Sequence[float]) -> list[str]:
    """Labels of evenly spaced ticks, all with as many digits as their distance asks for."""
    if len(values) < 2:
        return [number(value) for value in values]
    step, largest = values[1] - values[0], max(abs(value) for value in values)
    for unit, suffix in ((1e6, "M"), (1e3, "k")):
        if (largest >= 10 * unit and step >= 0.1 * unit) or (unit == 1e6 and largest >= unit and step >= 0.1 * unit):
            return ["0" if value == 0 else f"{value / unit:g}{suffix}" for value in values]
    if largest < 1e-3:
        return [number(value) for value in values]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{value:,.{decimals}f}".replace("-", "−") for value in values]


def number(value: float) -> str:
    """A figure with four digits that matter; very small and very large ones as powers of ten."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}".replace("-", "−") if value else "0"
    size = abs(value)
    if 1e-3 <= size < 1e7:
        text = f"{value:,.0f}" if size >= 10_000 else f"{value:.4g}"
        return text.replace("-", "−")
    digits, _, power = f"{value:.3e}".partition("e")
    digits = digits.rstrip("0").rstrip(".").replace("-", "−")
    tens = "10" + str(int(power)).translate(_SUPERSCRIPTS)
    return tens if digits == "1" else f"{digits}·{tens}"
