"""Charts of what each term makes up of G's loss over time: stacked areas, a chart for each run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.diagnosis.units import g_terms
from balancer.page.charts import POINTS, WINDOW, Chart, Line, Tick, area_path, smoothed, ticks
from balancer.page.panels import Panels
from balancer.page.scales import Axis
from balancer.page.view import RunView

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEAST_LABEL: Final = 0.09  # a share that is nowhere larger has its name in the legend only


def share_charts(panels: Panels) -> list[Chart]:
    """A chart for each view whose shares are known; axes and colours are the same in all of them."""
    terms = list(dict.fromkeys(term for view in panels.views for term in shared_terms(view)))
    return [_chart(panels, view, terms) for view in panels.views if shared_terms(view)]


def shared_terms(view: RunView) -> list[str]:
    """The terms of G's loss whose shares are known, `adv` first."""
    return [term for term in g_terms(view.history) if f"{term}_share" in view.history]


def shares(view: RunView, window: float) -> tuple[Floats, dict[str, Floats]]:
    """Steps, and each term's share there, smoothed; they add up to 1 as the measured ones do."""
    names = {term: f"{term}_share" for term in shared_terms(view)}
    steps, measured = view.history.aligned(names.values())
    if len(steps) > POINTS:
        # Stretches of equally many rows for all terms alike.
        starts = np.linspace(0, len(steps), POINTS + 1).astype(int)[:-1]
        counts = np.diff([*starts, len(steps)])
        measured = {name: np.add.reduceat(values, starts) / counts for name, values in measured.items()}
        steps = np.add.reduceat(steps, starts) / counts
    return steps, {term: smoothed(steps, np.maximum(measured[name], 0.0), window) for term, name in names.items()}


def _chart(panels: Panels, view: RunView, terms: Sequence[str]) -> Chart:
    steps, found = shares(view, WINDOW * (panels.x.high - panels.x.low))
    at, y = panels.x.place(steps), Axis(0.0, 1.0)
    lines, labels, said = [], [], []
    below = np.zeros(len(steps))
    for term, share in found.items():
        above = below + share
        title = panels.words("page.share_line", term=term, first=float(share[0]), last=float(share[-1]))
        area = area_path(at, y.place(below), y.place(above))
        lines.append(Line(term, "", area, terms.index(term), "share", title))
        labels += _label(term, at, below, above)
        said.append(title)
        below = above
    heading = panels.words("page.share_title") + (f": {view.name}" if panels.several else "")
    return Chart(
        title=heading,
        described=f"{heading}. {' '.join(said)}",
        lines=lines,
        x=panels.x,
        y=y,
        x_ticks=panels.x_ticks,
        y_ticks=ticks(y, upward=True, percent=True),
        verticals=panels.verticals,
        labels=labels,
        size="half" if panels.several else "",
        percent=True,
    )


def _label(term: str, at: Floats, below: Floats, above: Floats) -> list[Tick]:
    """The term's name where its share is largest, away from the edges."""
    inner = np.flatnonzero((at > 0.08) & (at < 0.92))
    if not len(inner):
        return []
    best = int(inner[np.argmax((above - below)[inner])])
    if above[best] - below[best] < LEAST_LABEL:
        return []
    middle = float(above[best] + below[best]) / 2
    return [Tick(round(100 * float(at[best]), 2), term, across=round(100 - 100 * middle, 2))]
