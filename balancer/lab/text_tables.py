"""A task's figures as a table of texts, the same ones on the page, in Markdown and on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from balancer.lab.intervals import Estimate
from balancer.lab.results import IN_BAND
from balancer.lab.tables import ALL, Arm, Figure, Task
from balancer.page.scales import number

NOTHING: Final = "—"
FROM_CURVE: Final = "from the curve"
ON_IT: Final = "on it"


class Cell(NamedTuple):
    """A figure, what it differs by, and its tone: "closer", "farther" or, where an interval holds 0, nothing."""

    text: str
    below: str = ""
    tone: str = ""


class Table(NamedTuple):
    """A head, and rows that each begin with an arm."""

    head: Sequence[str]
    rows: Sequence[tuple[Arm, Sequence[Cell]]]


def arms_table(task: Task, names: Sequence[str]) -> Table:
    """Some figures by name, the distance from the curve, what D's loss was, and seconds."""
    head = ["runs", *names, *([FROM_CURVE] if task.curve else []), "d_adv", f"{IN_BAND} (the document's band)", "CPU s"]
    rows = [(arm, [_runs(arm, task), *_figures(arm, names), *_curve(arm, task), *_rest(arm)]) for arm in task.arms]
    return Table(head, rows)


def short_table(task: Task) -> Table:
    """The two axes and the distance from the curve, as means without intervals; `?` where there is no interval."""
    axes = [*dict.fromkeys(task.axes)]
    rows = []
    for arm in task.arms:
        figures = [arm.figures.get(ALL, {}).get(name) for name in axes]
        cells = [Cell(f"{len(arm.runs)} of {len(task.pairs)}")]
        cells += [Cell(NOTHING) if one is None else _short(number(one.mean), one.closer) for one in figures]
        if task.curve is not None:
            away = arm.from_curve
            on_curve = arm.name in task.curve_arms
            cells.append(Cell(ON_IT if on_curve else NOTHING if away is None else _unsure(away) + _side(away)))
        rows.append((arm, cells))
    return Table(["runs", *axes, *([FROM_CURVE] if task.curve else [])], rows)


def group_table(task: Task, group: str) -> Table:
    """All figures of one group, or of all together."""
    names = [name for name in task.specs if any(name in arm.figures.get(group, {}) for arm in task.arms)]
    return Table(names, [(arm, _figures(arm, names, group)) for arm in task.arms])


def interval(found: Estimate | None) -> str:
    """A mean of differences with its interval, or without where it has none."""
    if found is None:
        return ""
    if not found.bounded:
        return signed(found.mean)
    return f"{signed(found.mean)} [{signed(found.low)}, {signed(found.high)}]"


def signed(value: float) -> str:
    """Three digits that matter, with a sign."""
    text = number(float(f"{value:.3g}"))
    return f"+{text}" if value > 0 and text != "0" else text


def _runs(arm: Arm, task: Task) -> Cell:
    return Cell(f"{len(arm.runs)} of {len(task.pairs)}", "failed" if arm.failed else "")


def _figures(arm: Arm, names: Sequence[str], group: str = ALL) -> list[Cell]:
    figures: Mapping[str, Figure] = arm.figures.get(group, {})
    return [_figure(figures.get(name)) for name in names]


def _figure(figure: Figure | None) -> Cell:
    if figure is None:
        return Cell(NOTHING)
    deviation = "" if math.isnan(figure.deviation) else f" ± {number(float(f'{figure.deviation:.2g}'))}"
    sign = 0 if figure.closer is None else figure.closer.sign
    return Cell(f"{number(figure.mean)}{deviation}", interval(figure.closer), _tone(sign))


def _short(text: str, found: Estimate | None) -> Cell:
    return Cell(text) if found is None else Cell(text, _unsure(found), _tone(found.sign))


def _unsure(found: Estimate) -> str:
    return signed(found.mean) + ("" if found.bounded else "?")


def _curve(arm: Arm, task: Task) -> list[Cell]:
    if task.curve is None:
        return []
    if arm.from_curve is None:
        return [Cell(ON_IT if arm.name in task.curve_arms else NOTHING)]
    text = interval(arm.from_curve)
    if arm.name in task.curve_arms:  # how coarse the curve is, no difference from it
        return [Cell(ON_IT, f"without it {text}")]
    return [Cell(text + _side(arm.from_curve), "", _tone(-arm.from_curve.sign))]


def _rest(arm: Arm) -> list[Cell]:
    d_adv, band = arm.signals.get("d_adv"), arm.signals.get(IN_BAND)
    return [
        Cell(NOTHING if d_adv is None else number(d_adv)),
        Cell(NOTHING if band is None else f"{band:.0%}"),
        Cell(NOTHING if arm.seconds is None else f"{arm.seconds:,.0f}"),
    ]


def _side(away: Estimate) -> str:
    """Beyond the curve is below 0."""
    return {1: " behind", -1: " beyond", 0: ""}[away.sign]


def _tone(sign: int) -> str:
    return {1: "closer", -1: "farther", 0: ""}[sign]
