"""Arms and the curve of fixed values, drawn in the plane of the two axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from balancer.errors import one_line
from balancer.lab.curve import Point
from balancer.lab.labels import Box, Label, labels
from balancer.lab.tables import Arm, Task
from balancer.lab.text_tables import signed
from balancer.page.scales import Scale, Tick, linear_ticks, tick_labels

# Pixels beside the frame: above for the name of the upward axis, left and below for ticks and the other's name.
_LEFT, _TOP, _RIGHT, _BOTTOM = 56, 26, 14, 46
# What lies further from the curve than so many of its ranges would make all else small: it is drawn at the frame.
_FURTHEST: Final = 1.0


@dataclass(frozen=True)
class Mark:
    """An arm in pixels: its point, the bars of its deviations, and the way to the curve; `kind` is its class."""

    kind: str
    title: str
    x: float
    y: float
    bars: str
    way: str


@dataclass(frozen=True)
class Plane:
    """All that the template needs: SVG paths, marks and names in pixels.

    Attributes:
        unnamed: arms for whose name there was no room.
        outside: arms that lie further off than is drawn.
    """

    width: float
    height: float
    frame: Box
    described: str
    titles: tuple[str, str]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    region: str
    line: str
    marks: Sequence[Mark]
    labels: Sequence[Label]
    unnamed: Sequence[str]
    outside: Sequence[str]


@dataclass(frozen=True)
class _Axes:
    x: Scale
    y: Scale
    frame: Box

    def place(self, point: Point) -> Point:
        """Where a point is in pixels; at the frame if it lies outside."""
        across, up = (
            min(1.0, max(0.0, float(scale.place([value])[0])))
            for scale, value in zip((self.x, self.y), point, strict=True)
        )
        left, top, right, bottom = self.frame
        return round(left + across * (right - left), 1), round(bottom - up * (bottom - top), 1)

    def path(self, points: Sequence[Point]) -> str:
        """An SVG path through points."""
        return svg_path([self.place(point) for point in points])


def plane(task: Task, width: float, height: float) -> Plane | None:
    """The plane in so many pixels; None where no arm has both figures."""
    # Those that all others are seen against are named first, where there is most room.
    ordered = sorted(task.arms, key=lambda arm: (not arm.is_null, arm.name != task.reference, arm.place is None))
    arms = {arm: arm.at for arm in ordered if arm.at is not None}
    if not arms:
        return None
    frame = Box(_LEFT, _TOP, width - _RIGHT, height - _BOTTOM)
    axes = _Axes(_scale(task, arms, 0), _scale(task, arms, 1), frame)
    marks = [_mark(arm, at, task, axes) for arm, at in arms.items()]
    named, unnamed = labels([(_name(arm, task), mark.x, mark.y) for arm, mark in zip(arms, marks, strict=True)], frame)
    within = {arm: all(s.low <= v <= s.high for s, v in zip((axes.x, axes.y), arms[arm], strict=True)) for arm in arms}
    return Plane(
        width=width,
        height=height,
        frame=frame,
        described=f"{len(arms)} arms in the plane of {' and '.join(task.axes)}: {', '.join(arm.name for arm in arms)}",
        titles=(_title(task, 0), _title(task, 1)),
        x_ticks=[Tick(axes.place((value, axes.y.low))[0], text) for value, text in _ticks(axes.x)],
        y_ticks=[Tick(axes.place((axes.x.low, value))[1], text) for value, text in _ticks(axes.y)],
        region=_region(task, axes),
        line="" if task.curve is None else axes.path(task.curve.points),
        marks=marks,
        labels=named,
        unnamed=unnamed,
        outside=[arm.name for arm in arms if not within[arm]],
    )


def svg_path(points: Sequence[Point]) -> str:
    """An SVG path through points in pixels."""
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in points)


def _name(arm: Arm, task: Task) -> tuple[str, str]:
    """An arm's name, and how far it is from the curve."""
    shown = arm.from_curve is not None and arm.name not in task.curve_arms
    return arm.name, signed(float(f"{arm.from_curve.mean:.2g}")) if shown and arm.from_curve else ""


def _title(task: Task, axis: int) -> str:
    name = task.axes[axis]
    best = task.specs[name].best
    return name if best == 0 else f"{name}: distance to {best:g}"


def _ticks(scale: Scale) -> list[tuple[float, str]]:
    values = linear_ticks(scale.low, scale.high, 4)
    return list(zip(values, tick_labels(values), strict=True))


def _scale(task: Task, arms: dict[Arm, Point], axis: int) -> Scale:
    """An axis that holds the curve and the null pair, and other arms with their bars unless they are far from these."""
    core = [at[axis] for arm, at in arms.items() if task.curve is None or arm.is_null or arm.name == task.reference]
    core += [point[axis] for point in task.curve.points] if task.curve else []
    room = max(core) - min(core) or abs(max(core)) or 1.0
    least, most = min(core) - _FURTHEST * room, max(core) + _FURTHEST * room
    near = {arm: at[axis] for arm, at in arms.items() if least <= at[axis] <= most}
    ends = [value + side * _bar(arm, axis) for arm, value in near.items() for side in (-1, 1)]
    low, high = max(least, min(*core, *ends)), min(most, max(*core, *ends))
    margin = 0.06 * (high - low) or 0.06 * room
    return Scale(low - margin, high + margin)


def _bar(arm: Arm, axis: int) -> float:
    return arm.spread[axis] if math.isfinite(arm.spread[axis]) else 0.0


def _mark(arm: Arm, at: Point, task: Task, axes: _Axes) -> Mark:
    on_curve = arm.name in task.curve_arms
    kind = "fixed" if on_curve else "null" if arm.is_null else "arm"
    title = f"{one_line(arm.name)}: {task.axes[0]} {at[0]:.4g} and {task.axes[1]} {at[1]:.4g} from the best"
    if arm.from_curve is not None and not on_curve:
        title += f", {signed(arm.from_curve.mean)} from the curve"
    return Mark(
        kind=f"{kind} reference" if arm.name == task.reference else kind,
        title=title,
        x=axes.place(at)[0],
        y=axes.place(at)[1],
        bars=axes.path([(at[0] - _bar(arm, 0), at[1]), (at[0] + _bar(arm, 0), at[1])])
        + axes.path([(at[0], at[1] - _bar(arm, 1)), (at[0], at[1] + _bar(arm, 1))]),
        way="" if task.curve is None or on_curve else axes.path([at, task.curve.nearest(at)]),
    )


def _region(task: Task, axes: _Axes) -> str:
    """What fixed values equal or better, as far as the frame reaches."""
    if task.curve is None:
        return ""
    border = task.curve.border
    right, top = axes.x.high, axes.y.high
    return axes.path([(border[0][0], top), *border, (right, border[-1][1]), (right, top)]) + "Z"
