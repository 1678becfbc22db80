"""Charts of the knobs: each one's value in force, and beside it what every plugin contributed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from balancer.contract.knobs import STANDARD_KNOBS
from balancer.page.charts import SMALL, Chart, Charts, is_knob
from balancer.page.paths import PlottedCurve, Points, thinned
from balancer.page.scales import number, scale_for
from balancer.page.view import FoldedContribution, RunView

if TYPE_CHECKING:
    from balancer.reading.series import Floats

STRETCHES: Final = 20  # of d_update
STEPS: Final = 300  # corners of a contribution's staircase at most


@dataclass(frozen=True)
class Constant:
    """A knob that nothing moved: its value in each view, with the contributions behind it."""

    knob: str
    values: Sequence[str]


def knob_charts(charts: Charts) -> tuple[list[Chart], list[Constant]]:
    """A chart for each knob that moved in some view, or that a plugin moved in vain; and the other knobs."""
    names = {name for view in charts.views for name in view.history if is_knob(name)}
    known = list(STANDARD_KNOBS)
    moving, constants = [], []
    for knob in sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name)):
        if any(_moved(view, knob) for view in charts.views):
            moving.append(_chart(charts, knob))
        else:
            constants.append(Constant(knob, [_constant(view, knob) for view in charts.views]))
    return moving, constants


def shown(value: Any) -> str:
    """A contribution's value as text."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "∅"
    return number(value) if isinstance(value, int | float) else str(value)


def _moved(view: RunView, knob: str) -> bool:
    if knob in view.history and float(view.history[knob].high.max()) > float(view.history[knob].low.min()):
        return True
    return any(contribution.count > 1 for contribution in _contributions(view, knob))


def _contributions(view: RunView, knob: str) -> list[FoldedContribution]:
    if view.decisions is None:
        return []
    return [contribution for contribution in view.decisions.contributions if contribution.knob == knob]


def _constant(view: RunView, knob: str) -> str:
    if knob not in view.history:
        return "—"
    value = number(float(view.history[knob].values[-1]))
    behind = [f"{c.plugin}: {c.op} {shown(c.values[-1][1])}" for c in _contributions(view, knob)]
    return f"{value} ({'; '.join(behind)})" if behind else value


def _chart(charts: Charts, knob: str) -> Chart:
    lines = [line for index in range(len(charts.views)) for line in _lines(charts, knob, index)]
    # A contribution without a level, such as a factor, has a place in the legend only.
    levels = [line.values[np.isfinite(line.values)] for line in lines if line.values is not None]
    y = scale_for(levels, show=(0.0, 1.0) if knob == "d_update" else ())
    notes = [charts.words("page.log_axis")] if y.log else []
    if knob == "d_update":
        notes.append(charts.words("page.d_update"))
    return charts.chart(charts.title(knob), lines, y, notes=notes, strips=charts.strips(knob), size="half")


def _lines(charts: Charts, knob: str, index: int) -> Iterator[PlottedCurve]:
    view = charts.views[index]
    if knob not in view.history:
        return
    # 0 and 1 by turns say nothing as a line; the mean of a stretch is the share of its steps with an update.
    points = thinned(view.history[knob], charts.x.low, charts.x.high, STRETCHES if knob == "d_update" else SMALL * 2)
    name = view.name if charts.several else charts.words("page.in_force")
    first, last = number(float(points.values[0])), number(float(points.values[-1]))
    title = charts.words("page.knob_line", run=view.name, first=first, last=last)
    steps, end = points.steps, view.history.last_step
    if knob == "d_update" and len(steps) == STRETCHES:
        steps = steps - (steps[1] - steps[0]) / 2
    yield PlottedCurve(name, title, index, steps, points.values, end=end)
    for count, contribution in enumerate(_contributions(view, knob)):
        text = _legend(charts, view, contribution)
        style = index if charts.several else count + 1
        yield PlottedCurve(
            text, text, style, *_staircase(contribution, view, points), kind=f"thin t{count % 4}", end=end
        )


def _legend(charts: Charts, view: RunView, contribution: FoldedContribution) -> str:
    values = [shown(value) for _, value in contribution.values]
    between = " → … → " if len(values) > 2 else " → "
    text = f"{contribution.plugin}: {contribution.op} " + between.join(dict.fromkeys((values[0], values[-1])))
    if contribution.count > 1:
        text += charts.words("page.changes", count=contribution.count - 1)
    return f"{view.name} · {text}" if charts.several else text


def _staircase(contribution: FoldedContribution, view: RunView, effective: Points) -> tuple[Floats, Floats]:
    """Steps and values on the knob's own axis; NaN where the contribution has no level there."""
    chosen = list(contribution.values)
    if len(chosen) > STEPS:
        chosen = [chosen[round(at)] for at in np.linspace(0, len(chosen) - 1, STEPS)]
    steps = np.array([step for step, _ in chosen], dtype=float)
    values = np.array([_level(contribution.op, value) for _, value in chosen], dtype=float)
    if contribution.op == "ratio" and "lr_g" in view.history:
        # A ratio follows G's rate: drawn as the rate that it asks for.
        rate = view.history["lr_g"]
        held = np.clip(np.searchsorted(steps, effective.steps, side="right") - 1, 0, len(steps) - 1)
        return effective.steps, values[held] * np.interp(effective.steps, rate.steps, rate.values)
    return steps, values


def _level(op: str, value: Any) -> float:
    if op == "add" and isinstance(value, list | tuple):
        return float(len(value))
    if op in ("mul", "add") or not isinstance(value, int | float):
        return float("nan")
    return 1.0 / value if op == "period" and value else float(value)
