"""Charts of the knobs: each one's value in force, and beside it what every plugin contributed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from balancer.contract.knobs import STANDARD_KNOBS
from balancer.page.charts import Chart, Line, Points, step_path, thinned, ticks
from balancer.page.panels import SMALL, Panels, is_knob
from balancer.page.scales import axis_for, number
from balancer.page.view import Contribution, RunView

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

STRETCHES: Final = 20  # of d_update
STEPS: Final = 300  # corners of a contribution's staircase at most


@dataclass(frozen=True)
class Constant:
    """A knob that nothing moved: its value in each view, with the contributions behind it."""

    knob: str
    values: Sequence[str]


def knob_charts(panels: Panels) -> list[Chart]:
    """A chart for each knob that moved in some view, or that a plugin moved in vain."""
    return [_chart(panels, knob) for knob in _knobs(panels.views) if _moved(panels.views, knob)]


def constants(panels: Panels) -> list[Constant]:
    """The other knobs."""
    found = []
    for knob in _knobs(panels.views):
        if not _moved(panels.views, knob):
            found.append(Constant(knob, [_constant(panels, view, knob) for view in panels.views]))
    return found


def shown(value: Any) -> str:
    """A contribution's value as text."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "∅"
    return number(value) if isinstance(value, int | float) else str(value)


def _knobs(views: Sequence[RunView]) -> list[str]:
    names = {name for view in views for name in view.history if is_knob(name)}
    known = list(STANDARD_KNOBS)
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def _moved(views: Sequence[RunView], knob: str) -> bool:
    for view in views:
        if knob in view.history and float(np.ptp(_extremes(view, knob))) > 0:
            return True
        if any(contribution.count > 1 for contribution in _contributions(view, knob)):
            return True
    return False


def _extremes(view: RunView, knob: str) -> Floats:
    series = view.history[knob]
    return np.array([series.low.min(), series.high.max()])


def _contributions(view: RunView, knob: str) -> list[Contribution]:
    if view.decisions is None:
        return []
    return [contribution for contribution in view.decisions.contributions if contribution.knob == knob]


def _constant(panels: Panels, view: RunView, knob: str) -> str:
    if knob not in view.history:
        return "—"
    value = number(float(view.history[knob].values[-1]))
    behind = [f"{c.plugin}: {c.op} {shown(c.values[-1][1])}" for c in _contributions(view, knob)]
    return f"{value} ({'; '.join(behind)})" if behind else value


def _chart(panels: Panels, knob: str) -> Chart:
    views = panels.views
    lines: list[tuple[Line, Floats, Floats]] = []
    said = []
    for index, view in enumerate(views):
        if knob not in view.history:
            continue
        # 0 and 1 by turns say nothing as a line; the mean of a stretch is the share of its steps with an update.
        count = STRETCHES if knob == "d_update" else SMALL * 2
        points = thinned(view.history[knob], panels.x.low, panels.x.high, count)
        name = view.name if panels.several else panels.words("page.in_force")
        first, last = number(float(points.values[0])), number(float(points.values[-1]))
        title = panels.words("page.knob_line", run=view.name, first=first, last=last)
        steps = points.steps
        if knob == "d_update" and len(steps) == STRETCHES:
            steps = steps - (steps[1] - steps[0]) / 2
        lines.append((Line(name, "", "", index, "main", title, index), steps, points.values))
        said.append(title)
        for count, contribution in enumerate(_contributions(view, knob)):
            steps, values = _staircase(contribution, view, points)
            text = _legend(panels, view, contribution)
            style = index if panels.several else count + 1
            kind = f"thin t{count % 4}"
            lines.append((Line(text, "", "", style, kind, text, index), steps, values))
            said.append(text)
    # A contribution without a level, such as a factor, has a place in the legend only.
    y = axis_for([values[np.isfinite(values)] for _, _, values in lines], show=(0.0, 1.0) if knob == "d_update" else ())
    drawn = []
    for line, steps, values in lines:
        at, up = panels.x.place(steps), np.where(np.isfinite(values), y.place(np.nan_to_num(values)), np.nan)
        end = float(panels.x.place([views[line.view].history.last_step])[0])
        path = step_path(at, up, end)
        drawn.append(replace(line, path=path))
    notes = [panels.words("page.log_axis")] if y.log else []
    if knob == "d_update":
        notes.append(panels.words("page.d_update"))
    return Chart(
        title=panels.title(knob),
        described=f"{panels.title(knob)}. {' '.join(said)}",
        lines=drawn,
        x=panels.x,
        y=y,
        x_ticks=panels.x_ticks,
        y_ticks=ticks(y, upward=True),
        notes=notes,
        verticals=panels.verticals,
        strips=panels.strips(knob),
        size="half",
    )


def _legend(panels: Panels, view: RunView, contribution: Contribution) -> str:
    values = [shown(value) for _, value in contribution.values]
    between = " → … → " if len(values) > 2 else " → "
    text = f"{contribution.plugin}: {contribution.op} " + between.join(dict.fromkeys((values[0], values[-1])))
    if contribution.count > 1:
        text += panels.words("page.changes", count=contribution.count - 1)
    return f"{view.name} · {text}" if panels.several else text


def _staircase(contribution: Contribution, view: RunView, effective: Points) -> tuple[Floats, Floats]:
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
    if op == "mul" or value is None:
        return float("nan")
    if op == "add":
        return float(len(value)) if isinstance(value, list | tuple) else float("nan")
    if not isinstance(value, int | float):
        return float("nan")
    return 1.0 / value if op == "period" and value else float(value)
