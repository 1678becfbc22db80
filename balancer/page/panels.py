"""Charts of signals: the balance of D and G, and a small one for each further signal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.contract.knobs import STANDARD_KNOBS
from balancer.contract.levels import HEALTHY_D_ADV
from balancer.page.charts import (
    POINTS,
    SIZE,
    WINDOW,
    Chart,
    Line,
    Points,
    Strip,
    Zone,
    area_path,
    extremes,
    line_path,
    smoothed,
    thinned,
    ticks,
    zone,
)
from balancer.page.scales import Axis, axis_for, number
from balancer.page.view import RunView
from balancer.show.words import Words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SMALL: Final = 240  # points of a small chart
SIGNALS: Final = 24  # small charts at most
CHANCE: Final = math.log(2.0)
# In the order in which people look at them; further ones follow.
ORDER: Final = (
    *("d_loss", "d_loss_real", "d_loss_fake", "g_loss", "adv", "l1", "const", "category", "d_category"),
    *("adv_effective", "d_acc", "d_acc_real", "d_acc_fake", "d_logit_real", "d_logit_fake"),
)


class Panels:
    """Makes the charts of some views, all over the same steps."""

    def __init__(self, views: Sequence[RunView], words: Words) -> None:
        self.views: Final = views
        self.words: Final = words
        read = [view.history for view in views if view.history.rows]
        first = min((history.first_step for history in read), default=0.0)
        last = max((history.last_step for history in read), default=1.0)
        self.x: Final = Axis(first, max(last, first + 1.0))
        self.x_ticks: Final = ticks(self.x)
        self.verticals: Final = self._verticals()

    @property
    def several(self) -> bool:
        """Whether runs are told apart by name and colour."""
        return len(self.views) > 1

    def balance(self) -> Chart | None:
        """D's adversarial loss over its healthy band, with the decisions below."""
        # With room for the words above the line of chance.
        return self.signal("d_adv", POINTS, show=(*HEALTHY_D_ADV, 1.12 * CHANCE), strips=self.strips())

    def signals(self) -> list[Chart]:
        """A small chart for each further signal that some view has."""
        names = sorted({name for view in self.views for name in view.history if _is_signal(name)})
        ordered = sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
        found = [self.signal(name, SMALL, size="small") for name in ordered[:SIGNALS]]
        return [chart for chart in found if chart is not None]

    def signal(
        self, name: str, points: int, *, show: Sequence[float] = (), size: str = "", strips: Sequence[Strip] = ()
    ) -> Chart | None:
        """One signal of all views on one pair of axes; None where none has it."""
        drawn = [
            (index, view, thinned(view.history[name], self.x.low, self.x.high, points))
            for index, view in enumerate(self.views)
            if name in view.history
        ]
        if not drawn:
            return None
        window = WINDOW * (self.x.high - self.x.low)
        smooth = [smoothed(part.steps, part.values, window) for _, _, part in drawn]
        around = [extremes(part, window) for _, _, part in drawn]
        y = axis_for(smooth, [bound for bounds in around for bound in bounds], show)
        lines, said = [], []
        for (index, view, part), values, (low, high) in zip(drawn, smooth, around, strict=True):
            at = self.x.place(part.steps)
            # With few rows the line passes through each of them.
            area = area_path(at, y.place(low), y.place(high)) if (low < high).any() else ""
            title = self._sentence(view.name, part, values)
            lines.append(Line(self._name(view, name), line_path(at, y.place(values)), area, index, "main", title))
            said.append(title)
        # Said once for all small charts, above them.
        notes = [] if size else [self.smoothing()]
        notes += [self.words("page.log_short" if size else "page.log_axis")] if y.log else []
        for _, view, _ in drawn:
            series = view.history[name]
            if series.nonfinite:
                first = number(series.first_nonfinite or 0)
                notes.append(self.words("page.nonfinite", run=view.name, count=series.nonfinite, first=first))
        return Chart(
            title=self.title(name),
            described=f"{self.title(name)}. {' '.join(said)}",
            lines=lines,
            x=self.x,
            y=y,
            x_ticks=self.x_ticks,
            y_ticks=ticks(y, upward=True),
            notes=notes,
            zones=self._zones(name, y),
            verticals=self.verticals,
            strips=strips,
            size=size,
        )

    def strips(self, knob: str | None = None) -> list[Strip]:
        """Where decisions were taken, all or those of one knob, a strip for each view; the more, the darker."""
        found = []
        for index, view in enumerate(self.views):
            if view.decisions is None:
                continue
            chosen = [marks for name, marks in view.decisions.marks.items() if knob in (None, name)]
            if not chosen:
                continue
            counts = np.sum(chosen, axis=0)
            first, last = view.history.first_step, view.history.last_step + 1
            edges = self.x.place(np.linspace(first, last, len(counts) + 1)) * SIZE
            full = float(counts.max())
            marks = [
                (round(float(edges[at]), 1), round(0.35 + 0.65 * float(counts[at]) / full, 2))
                for at in np.flatnonzero(counts)
            ]
            width = max(round(float(edges[1] - edges[0]), 2), 1.5)
            key = "page.strip_of" if self.several else "page.strip"
            found.append(Strip(self.words(key, count=int(counts.sum()), run=view.name), marks, width, index))
        return found

    def smoothing(self) -> str:
        """How lines are smoothed and what their shade is."""
        window = float(f"{max(WINDOW * (self.x.high - self.x.low), 1):.2g}")
        return self.words("page.smooth", window=number(round(window)))

    def title(self, name: str) -> str:
        """A signal's name, with a word on what it is where there is one."""
        meaning = self.words.get(f"page.signal.{name}")
        return f"{name} — {meaning}" if meaning else name

    def _name(self, view: RunView, signal: str) -> str:
        return view.name if self.several else signal

    def _sentence(self, run: str, points: Points, smooth: Floats) -> str:
        figures = (smooth[0], smooth[-1], points.low.min(), points.high.max())
        first, last, low, high = (number(float(figure)) for figure in figures)
        return self.words("page.line", run=run, first=first, last=last, low=low, high=high)

    def _zones(self, name: str, y: Axis) -> list[Zone]:
        if name != "d_adv":
            return []
        low, high = HEALTHY_D_ADV
        made = (
            zone(y, low, high, self.words("page.healthy", low=low, high=high)),
            zone(y, CHANCE, CHANCE, self.words("page.chance")),
        )
        return [part for part in made if part is not None]

    def _verticals(self) -> list[tuple[float, str]]:
        found = []
        for view in self.views:
            for change in view.changes:
                keys = ", ".join(change.fields)
                text = self.words("page.changed", run=view.name, step=change.step, keys=keys)
                found.append((float(change.step), text))
            found += [(step, f"{view.name}: {text}" if self.several else text) for step, text in view.marks]
        inside = [(step, text) for step, text in found if self.x.low <= step <= self.x.high]
        return [(round(100 * float(self.x.place([step])[0]), 2), text) for step, text in inside]


def is_knob(name: str) -> bool:
    """Whether a signal is the value of a knob."""
    return name in STANDARD_KNOBS or name.startswith("lambda_")


def _is_signal(name: str) -> bool:
    return name not in ("epoch", "d_adv", "step") and not name.endswith("_share") and not is_knob(name)
