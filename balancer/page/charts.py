"""The page's charts: every one is made of lines over the same steps, drawn by one builder; signals and shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from balancer.contract.knobs import STANDARD_KNOBS
from balancer.contract.levels import CHANCE, HEALTHY_D_ADV
from balancer.diagnosis.units import g_terms
from balancer.page.paths import POINTS, SIZE, Line, PlottedCurve, extremes, smoothed, thinned
from balancer.page.scales import Scale, Tick, Zone, number, scale_for, ticks, zone
from balancer.page.view import RunView
from balancer.show.words import Words

if TYPE_CHECKING:
    from balancer.reading.series import Floats

WINDOW: Final = 1 / 40  # of the axis: over so much of it a line is averaged
SMALL: Final = 240  # points of a small chart
CHARTED_SIGNALS: Final = 24  # small charts at most
LEAST_LABEL: Final = 0.09  # a share that is nowhere larger has its name in the legend only
# In the order in which people look at them; further ones follow.
ORDER: Final = (
    *("val/csim", "val/l1", "val/r_v"),
    *("critic_gap", "d_loss", "d_loss_real", "d_loss_fake", "g_loss", "adv", "l1", "const", "category", "d_category"),
    *("adv_effective", "d_acc", "d_acc_real", "d_acc_fake", "d_logit_real", "d_logit_fake"),
)


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
    x: Scale
    y: Scale
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    verticals: Sequence[tuple[float, str]]
    notes: Sequence[str] = ()
    zones: Sequence[Zone] = ()
    labels: Sequence[Tick] = ()
    strips: Sequence[Strip] = ()
    size: str = ""
    percent: bool = False


class Charts:
    """Makes the charts of some views, all over the same steps."""

    def __init__(self, views: Sequence[RunView], words: Words) -> None:
        self.views: Final = views
        self.words: Final = words
        read = [view.history for view in views if view.history.rows]
        first = min((history.first_step for history in read), default=0.0)
        last = max((history.last_step for history in read), default=1.0)
        self.x: Final = Scale(first, max(last, first + 1.0))
        self._window: Final = WINDOW * (self.x.high - self.x.low)
        self._verticals: Final = list(self._marks())

    @property
    def healthy(self) -> tuple[float, float] | None:
        """The range of `d_adv` in a healthy run, where one is known, the same for all views that have `d_adv`."""
        ranges = {view.healthy for view in self.views if "d_adv" in view.history}
        return ranges.pop() if len(ranges) == 1 else None

    @property
    def several(self) -> bool:
        """Whether runs differ by name and colour."""
        return len(self.views) > 1

    def chart(
        self, title: str, lines: Sequence[PlottedCurve], y: Scale, *, percent: bool = False, **more: Any
    ) -> Chart:
        """Lines on the axes that all charts share in x; `more` are further fields of the chart."""
        return Chart(
            title=title,
            described=f"{title}. {' '.join(line.title for line in lines)}",
            lines=[line.placed(self.x, y) for line in lines],
            x=self.x,
            y=y,
            x_ticks=ticks(self.x),
            y_ticks=ticks(y, upward=True, percent=percent),
            verticals=self._verticals,
            percent=percent,
            **more,
        )

    def balance(self) -> Chart | None:
        """D's adversarial loss over its healthy band, with the decisions below; None where no view has it."""
        # With room for the words above the line of chance.
        return self.signal("d_adv", POINTS, show=(*(self.healthy or ()), 1.12 * CHANCE), strips=self.strips())

    def signals(self) -> list[Chart]:
        """A small chart for each further signal that some view has."""
        names = sorted({name for view in self.views for name in view.history if _is_signal(name)})
        ordered = sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
        found = [self.signal(name, SMALL, size="small") for name in ordered[:CHARTED_SIGNALS]]
        return [chart for chart in found if chart is not None]

    def signal(
        self, name: str, points: int, *, show: Sequence[float] = (), size: str = "", strips: Sequence[Strip] = ()
    ) -> Chart | None:
        """One signal of all views on one pair of axes; None where none has it."""
        lines: list[PlottedCurve] = []
        smooth: list[Floats] = []
        around: list[Floats] = []
        broken: list[str] = []
        for index, view in enumerate(self.views):
            if name not in view.history:
                continue
            series = view.history[name]
            part = thinned(series, self.x.low, self.x.high, points)
            values, bounds = smoothed(part.steps, part.values, self._window), extremes(part, self._window)
            figures = (values[0], values[-1], part.low.min(), part.high.max())
            first, last, low, high = (number(float(figure)) for figure in figures)
            title = self.words("page.line", run=view.name, first=first, last=last, low=low, high=high)
            # With few rows the line passes through each of them.
            shade = bounds if (bounds[0] < bounds[1]).any() else None
            lines.append(PlottedCurve(view.name if self.several else name, title, index, part.steps, values, shade))
            smooth.append(values)
            around += bounds
            if series.nonfinite:
                at = number(series.first_nonfinite or 0)
                broken.append(self.words("page.nonfinite", run=view.name, count=series.nonfinite, first=at))
        if not lines:
            return None
        y = scale_for(smooth, around, show)
        # Said once for all small charts, above them.
        notes = [] if size else [self.smoothing()]
        notes += [self.words("page.log_short" if size else "page.log_axis")] if y.log else []
        zones = self._zones(y) if name == "d_adv" else []
        return self.chart(self.title(name), lines, y, notes=notes + broken, zones=zones, strips=strips, size=size)

    def shares(self) -> list[Chart]:
        """What each term makes up of G's loss, stacked: a chart for each view where that is known, alike in colours."""
        terms = list(dict.fromkeys(term for view in self.views for term in _shared_terms(view)))
        return [self._share_chart(view, terms) for view in self.views if _shared_terms(view)]

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
        window = float(f"{max(self._window, 1):.2g}")
        return self.words("page.smooth", window=number(round(window)))

    def title(self, name: str) -> str:
        """A signal's name, with a word on what it is where there is one."""
        meaning = self.words.get(f"page.signal.{name}")
        return f"{name} — {meaning}" if meaning else name

    def _share_chart(self, view: RunView, terms: Sequence[str]) -> Chart:
        steps, found = shares(view, self._window)
        lines, labels = [], []
        below = np.zeros(len(steps))
        for term, share in found.items():
            above = below + share
            title = self.words("page.share_line", term=term, first=float(share[0]), last=float(share[-1]))
            lines.append(PlottedCurve(term, title, terms.index(term), steps, around=(below, above), kind="share"))
            labels += _share_label(term, self.x.place(steps), below, above)
            below = above
        heading = self.words("page.share_title") + (f": {view.name}" if self.several else "")
        size = "half" if self.several else ""
        return self.chart(heading, lines, Scale(0.0, 1.0), percent=True, labels=labels, size=size)

    def _zones(self, y: Scale) -> list[Zone]:
        zones = [zone(y, CHANCE, CHANCE, self.words("page.chance"))]
        if self.healthy is not None:
            low, high = self.healthy
            key = "page.healthy_document" if self.healthy == HEALTHY_D_ADV else "page.healthy"
            zones.insert(0, zone(y, low, high, self.words(key, low=low, high=high)))
        return [part for part in zones if part is not None]

    def _marks(self) -> Iterator[tuple[float, str]]:
        found = []
        for view in self.views:
            for change in view.changes:
                keys = ", ".join(change.fields)
                text = self.words("page.changed", run=view.name, step=change.step, keys=keys)
                found.append((float(change.step), text))
            found += [(step, f"{view.name}: {text}" if self.several else text) for step, text in view.marks]
        for step, text in found:
            if self.x.low <= step <= self.x.high:
                yield round(100 * float(self.x.place([step])[0]), 2), text


def shares(view: RunView, window: float) -> tuple[Floats, dict[str, Floats]]:
    """Steps, and each term's share there, smoothed; they add up to 1 as the measured ones do."""
    names = {term: f"{term}_share" for term in _shared_terms(view)}
    steps, measured = view.history.aligned(names.values())
    if len(steps) > POINTS:
        # Stretches of equally many rows for all terms alike.
        starts = np.linspace(0, len(steps), POINTS + 1).astype(int)[:-1]
        counts = np.diff([*starts, len(steps)])
        measured = {name: np.add.reduceat(values, starts) / counts for name, values in measured.items()}
        steps = np.add.reduceat(steps, starts) / counts
    return steps, {term: smoothed(steps, measured[name], window) for term, name in names.items()}


def is_knob(name: str) -> bool:
    """Whether a signal is the value of a knob."""
    return name in STANDARD_KNOBS or name.startswith("lambda_")


def _is_signal(name: str) -> bool:
    return name not in ("epoch", "d_adv", "step") and not name.endswith("_share") and not is_knob(name)


def _shared_terms(view: RunView) -> list[str]:
    """The terms of G's loss whose shares are known, `adv` first."""
    return [term for term in g_terms(view.history) if f"{term}_share" in view.history]


def _share_label(term: str, at: Floats, below: Floats, above: Floats) -> list[Tick]:
    """The term's name where its share is largest, away from the edges."""
    inner = np.flatnonzero((at > 0.08) & (at < 0.92))
    if not len(inner):
        return []
    best = int(inner[np.argmax((above - below)[inner])])
    if above[best] - below[best] < LEAST_LABEL:
        return []
    middle = float(above[best] + below[best]) / 2
    return [Tick(round(100 * float(at[best]), 2), term, across=round(100 - 100 * middle, 2))]
