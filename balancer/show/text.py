"""A diagnosis on the terminal: what was read, the signals with a sparkline each, findings, the verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from balancer.diagnosis.judging import Diagnosis
from balancer.diagnosis.trends import curve
from balancer.diagnosis.units import g_terms
from balancer.show.sparkline import sparkline
from balancer.show.told import (
    ToldFinding,
    ToldRemedy,
    calibration_lines,
    not_judged_lines,
    onward_lines,
    outcome,
    since_conclusion,
    since_lines,
    source_lines,
    tell,
    tell_remedy,
)
from balancer.show.words import Words

if TYPE_CHECKING:
    from balancer.diagnosis.calibrate import Calibration
    from balancer.diagnosis.since import Since
    from balancer.reading.history import History

SPARK: Final = 32  # characters
FIGURE: Final = 11  # what a figure takes at most, with its margin
STYLES: Final = {"healthy": "green", "rescue": "yellow", "rescue_held": "yellow", "watch": "yellow"}
# A Chinese character may stand at the end of a line, with the punctuation that must not begin the next one.
_PIECES: Final = re.compile(
    r"\s+|[（「『]*(?:[\u2e80-\u9fff\uff00-\uffef]|[^\s\u2e80-\u9fff\uff00-\uffef]+)[，。；：、）」』！？]*|[（「『]+"
)


class TextReport:
    """Writes on one console in one language; text is wrapped, commands are not."""

    def __init__(self, console: Console, words: Words) -> None:
        self.console: Final = console
        self.words: Final = words

    def diagnosis(self, diagnosis: Diagnosis) -> None:
        """What was read, the signals, the verdict, findings, what was worked out and what was not judged."""
        words = self.words
        for line in source_lines(diagnosis, words):
            self._say(line, style="dim")
        self._say()
        self.console.print(signal_table(diagnosis.case.history, words, self.console.width))
        self._say()
        told = [tell(finding, diagnosis, words) for finding in diagnosis.findings]
        verdict = tell(diagnosis.verdict, diagnosis, words)
        style = STYLES.get(diagnosis.verdict.variant, "red" if told else "dim")
        self._say(words("ui.verdict_line", verdict=verdict.title), style=f"bold {style}")
        self._say(verdict.text, indent=3)
        self._say()
        if told:
            self._heading("findings")
            for line in onward_lines(diagnosis, told, words):
                self._say(line, indent=3, wrap=False)
                self._say()
            shown: set[str] = set()
            for count, finding in enumerate(told, 1):
                self._finding(count, finding, shown)
        if diagnosis.remarks:
            self._heading("remarks")
            for remark in diagnosis.remarks:
                one = tell(remark, diagnosis, words)
                self._say(one.title, indent=3)
                self._say(one.text, indent=5, style="dim")
            self._say()
        left = not_judged_lines(diagnosis, words)
        if left:
            self._heading("not_judged")
            for line in left:
                self._say(line, indent=3, style="dim")

    def since(self, since: Since, diagnosis: Diagnosis) -> None:
        """Whether a change helped: the three indicators, and what comes next where none improved."""
        words = self.words
        self._say()
        self._say(words("ui.since", step=since.step), style="bold")
        for line in since_lines(since, words):
            self._say(line, indent=3, style="dim")
        table = _table()
        for key in ("signal", "since_before", "since_after"):
            table.add_column(words(f"ui.{key}"), justify="left" if key == "signal" else "right")
        table.add_column("")
        for indicator in since.indicators:
            figures = ("" if value is None else number(value) for value in (indicator.before, indicator.after))
            table.add_row(words(f"ui.indicator_{indicator.name}"), *figures, outcome(indicator, words))
        self.console.print(table)
        self._say(since_conclusion(since, words), indent=3)
        if since.next_remedy is not None:
            self._remedy(tell_remedy(since.next_remedy, diagnosis, words))

    def calibration(self, calibration: Calibration) -> None:
        """Proposed weights, how they follow, and the flags that set them."""
        words = self.words
        self._say()
        self._heading("calibration")
        self._say(words("ui.calibration_start"), indent=3)
        table = _table()
        for key in ("term", "raw", "weight", "share", "new", "target"):
            table.add_column(words(f"ui.calibration_{key}"), justify="left" if key == "term" else "right")
        for row in calibration.weights:
            weight = words("ui.unknown") if row.weight is None else number(row.weight)
            share = words("ui.unknown") if row.share is None else f"{row.share:.1%}"
            table.add_row(row.term, number(row.raw), weight, share, number(row.new_weight), f"{row.new_share:.1%}")
        self.console.print(table)
        for line in calibration_lines(calibration, words):
            self._say(line, indent=3, style="dim")
        if calibration.flags():
            self._say(words("ui.calibration_flags"))
            self._say(" ".join(calibration.flags()), indent=3, style="green", wrap=False)

    def _finding(self, count: int, finding: ToldFinding, shown: set[str]) -> None:
        where = [finding.rule, finding.steps, self.words("ui.confidence_is", how=finding.confidence)]
        self._say(f"{count}. {finding.title}", style="bold")
        self._say(self.words("ui.list").join(part for part in where if part), indent=3, style="dim")
        self._say(finding.text, indent=3)
        for remedy in finding.remedies:
            if remedy.name in shown:  # an earlier finding explained it
                self._say(f"→ {remedy.title}", indent=3, style="cyan")
            else:
                self._remedy(remedy)
            shown.add(remedy.name)
        self._say()

    def _remedy(self, remedy: ToldRemedy) -> None:
        self._say(f"→ {remedy.title}", indent=3, style="cyan")
        self._say(self.words("ui.document", text=remedy.document), indent=5)
        self._say(self.words("ui.measured", text=remedy.measured), indent=5)
        for command in remedy.commands:
            self._say(f"$ {command}", indent=5, style="green", wrap=False)

    def _heading(self, key: str) -> None:
        self._say(self.words(f"ui.{key}"), style="bold")

    def _say(self, text: str = "", *, indent: int = 0, style: str = "", wrap: bool = True) -> None:
        lines = wrapped(text, self.console.width - indent) if wrap else [text]
        for line in lines:
            self.console.print(Text(" " * indent + line, style=style), soft_wrap=True)


def wrapped(text: str, width: int) -> Iterator[str]:
    """The text in lines of at most `width` cells; breaks at spaces, and between Chinese characters."""
    line = ""
    for piece in _PIECES.findall(text):
        if cell_len(line) + cell_len(piece.rstrip()) > width and line.strip():
            yield line.rstrip()
            line = piece.lstrip()
        else:
            line += piece
    yield line.rstrip()


def signal_table(history: History, words: Words, width: int) -> Table:
    """First, last, lowest and highest value of each signal, and a sparkline that leaves them their room."""
    names = shown_signals(history)
    spark = min(max(width - max(map(len, names), default=0) - 4 * FIGURE - 3 * 2, 8), SPARK)
    table = _table(indent=0)
    table.add_column(words("ui.signal"), no_wrap=True)
    table.add_column(words("ui.over_time"), no_wrap=True)
    for key in ("first", "last", "lowest", "highest"):
        table.add_column(words(f"ui.{key}"), justify="right", no_wrap=True)
    for name in names:
        series = history[name]
        values = series.values
        part = max(1, min(len(values) // 5, 200))
        figures = (np.median(values[:part]), np.median(values[-part:]), series.low.min(), series.high.max())
        table.add_row(name, sparkline(curve(series, bins=spark).values), *(number(float(figure)) for figure in figures))
    return table


def shown_signals(history: History) -> list[str]:
    """The signals that people watch, in the order in which they read them."""
    first = ["d_adv", "d_loss", "adv", "g_loss"]
    terms = [term for term in g_terms(history) if term != "adv"]
    last = ["adv_share", "lambda_adv", "lr_d", "lr_g", "lr", "d_acc"]
    found = [name for name in (*first, *terms, *last) if name in history]
    if "d_adv" in found and "d_loss" in found and np.array_equal(history["d_adv"].values, history["d_loss"].values):
        found.remove("d_loss")
    return found


def number(value: float) -> str:
    """A figure with four digits that matter."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _table(indent: int = 3) -> Table:
    return Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, indent), collapse_padding=False)
