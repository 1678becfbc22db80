"""A diagnosis on the terminal: what was read, the signals with a sparkline each, findings, the verdict."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, overload

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from balancer.diagnosis.diagnose import Diagnosis
from balancer.diagnosis.trends import curve
from balancer.diagnosis.units import g_terms
from balancer.errors import printable
from balancer.show.rendered import (
    Passage,
    RenderedFinding,
    RenderedRemedy,
    calibration_passage,
    render_diagnosis,
    since_passage,
)
from balancer.show.sparkline import sparkline
from balancer.show.words import Words, load

if TYPE_CHECKING:
    from balancer.diagnosis.calibrate import Calibration
    from balancer.diagnosis.since import Since
    from balancer.hindsight.explain import Explanation
    from balancer.hindsight.replay_run import RunReplay
    from balancer.reading.history import History

SPARK: Final = 32  # characters
FIGURE_WIDTH: Final = 11  # what a figure takes at most, with its margin
NUMERIC: Final = "0123456789-—?"  # what a figure begins with
STYLES: Final = {"healthy": "green", "rescue": "yellow", "rescue_held": "yellow", "watch": "yellow"}
# A Chinese character may stand at the end of a line, with the punctuation that must not begin the next one.
_PIECES: Final = re.compile(
    r"\s+|[（「『]*(?:[\u2e80-\u9fff\uff00-\uffef]|[^\s\u2e80-\u9fff\uff00-\uffef]+)[，。；：、）」』！？]*|[（「『]+"
)


@overload
def as_text(
    found: Diagnosis,
    lang: str = "en",
    *,
    since: Since | None = None,
    calibration: Calibration | None = None,
    width: int = 80,
) -> str: ...
@overload
def as_text(found: Explanation | RunReplay, lang: str = "en") -> str: ...
def as_text(
    found: Diagnosis | Explanation | RunReplay,
    lang: str = "en",
    *,
    since: Since | None = None,
    calibration: Calibration | None = None,
    width: int = 80,
) -> str:
    """A diagnosis, an explanation or a replay as text without colours, as the command prints it.

    A diagnosis is in lines of `width` cells, of which commands are not wrapped; the others are not wrapped at all.

    Raises:
        ConfigError: there is no such language.
    """
    if not isinstance(found, Diagnosis):
        return _hindsight(found, lang)
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        print_diagnosis(console, found, lang, since=since, calibration=calibration)
    return capture.get()


def _hindsight(found: Explanation | RunReplay, lang: str) -> str:
    from balancer.hindsight.explain import Explanation
    from balancer.show.explanation import explanation_lines
    from balancer.show.replay import replay_lines

    lines = explanation_lines(found, lang) if isinstance(found, Explanation) else replay_lines(found, lang)
    return "".join(f"{printable(line)}\n" for line in lines)


def print_diagnosis(
    console: Console,
    diagnosis: Diagnosis,
    lang: str = "en",
    *,
    since: Since | None = None,
    calibration: Calibration | None = None,
) -> None:
    """Print what was read, the signals, the verdict, findings, remarks, what was not judged, and what else was asked.

    Raises:
        ConfigError: there is no such language.
    """
    words = load(lang)
    text = _Text(console, words)
    text.diagnosis(diagnosis)
    if since is not None:
        text.passage(since_passage(since, diagnosis, words, number))
    if calibration is not None:
        text.passage(calibration_passage(calibration, words, number))


class _Text:
    """Writes on one console in one language; text is wrapped, commands are not."""

    def __init__(self, console: Console, words: Words) -> None:
        self.console: Final = console
        self.words: Final = words

    def diagnosis(self, diagnosis: Diagnosis) -> None:
        rendered = render_diagnosis(diagnosis, self.words)
        for line in rendered.source:
            self._say(line, style="dim")
        self._say()
        self.console.print(signal_table(diagnosis.case.history, self.words, self.console.width))
        self._say()
        style = STYLES.get(diagnosis.verdict.variant, "red" if rendered.findings else "dim")
        self._say(self.words("ui.verdict_line", verdict=rendered.verdict.title), style=f"bold {style}")
        self._say(rendered.verdict.text, indent=3)
        self._say()
        if rendered.findings:
            self._heading("findings")
            for line in rendered.next_steps:
                self._say(line, indent=3, wrap=False)
                self._say()
            shown: set[str] = set()
            for count, finding in enumerate(rendered.findings, 1):
                self._finding(count, finding, shown)
        if rendered.remarks:
            self._heading("remarks")
            for remark in rendered.remarks:
                self._say(remark.title, indent=3)
                self._say(remark.text, indent=5, style="dim")
            self._say()
        if rendered.not_judged:
            self._heading("not_judged")
            for line in rendered.not_judged:
                self._say(line, indent=3, style="dim")

    def passage(self, passage: Passage) -> None:
        self._say()
        self._say(passage.title, style="bold")
        self._say(passage.lines[0], indent=3)
        table = _table()
        for head, *cells in zip(passage.head, *passage.rows, strict=True):
            table.add_column(head, justify="right" if all(cell[0] in NUMERIC for cell in cells) else "left")
        for row in passage.rows:
            table.add_row(*map(printable, row))
        if passage.rows:
            self.console.print(table)
        for line in passage.lines[1:]:
            self._say(line, indent=3, style="dim")
        if passage.conclusion:
            self._say(passage.conclusion, indent=0 if passage.code else 3)
        if passage.code:
            self._say(passage.code, indent=3, style="green", wrap=False)
        for remedy in passage.remedies:
            self._remedy(remedy)

    def _finding(self, count: int, finding: RenderedFinding, shown: set[str]) -> None:
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

    def _remedy(self, remedy: RenderedRemedy) -> None:
        self._say(f"→ {remedy.title}", indent=3, style="cyan")
        for line in remedy.lines(self.words):
            self._say(line, indent=5)
        for command in remedy.commands:
            self._say(f"$ {command}", indent=5, style="green", wrap=False)

    def _heading(self, key: str) -> None:
        self._say(self.words(f"ui.{key}"), style="bold")

    def _say(self, text: str = "", *, indent: int = 0, style: str = "", wrap: bool = True) -> None:
        text = printable(text)
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
    spark = min(max(width - max(map(len, names), default=0) - 4 * FIGURE_WIDTH - 3 * 2, 8), SPARK)
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
        table.add_row(
            printable(name), sparkline(curve(series, bins=spark).values), *(number(float(figure)) for figure in figures)
        )
    return table


def shown_signals(history: History) -> list[str]:
    """The signals that people watch, in the order in which they read them."""
    first = ["d_adv", "critic_gap", "d_loss", "adv", "g_loss"]
    terms = [term for term in g_terms(history) if term != "adv"]
    last = ["adv_share", "lambda_adv", "lr_d", "lr_g", "lr", "d_acc"]
    found = [name for name in (*first, *terms, *last) if name in history]
    if "d_adv" in found and "d_loss" in found and np.array_equal(history["d_adv"].values, history["d_loss"].values):
        found.remove("d_loss")
    return found


def number(value: float) -> str:
    """A figure with four digits that matter."""
    return f"{value:,.0f}" if 10_000 <= abs(value) < 1e7 else f"{value:.4g}"


def _table(indent: int = 3) -> Table:
    return Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, indent), collapse_padding=False)
