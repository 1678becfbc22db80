"""The command that follows a log and says what becomes of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from balancer.cli.diagnose import DiscriminatorsOption, FamilyOption, RecipeOption, WeightOption, weight_numbers
from balancer.cli.options import AdversarialOption, DLossOption, LangOption, PatternOption, TagOption, pairs
from balancer.cli.progress import progress_of
from balancer.errors import ConfigError, printable, say

if TYPE_CHECKING:
    from rich.live import Live

    from balancer.diagnosis.diagnose import Diagnosis
    from balancer.show.words import Words
    from balancer.watching.alerts import Alert

SHORTEST: Final = 0.05  # seconds between looks
LONGEST: Final = 1e6


def watch(
    path: Annotated[
        str,
        typer.Argument(help="A run directory, event files, CSV, JSONL or a training log; it need not be there yet."),
    ],
    every: Annotated[float, typer.Option("--every", help="Seconds between looks at the log.")] = 2.0,
    idle: Annotated[
        float | None,
        typer.Option("--idle", help="End once nothing has come for so many seconds (if not given, never)."),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option("--on", help="Findings, such as saturated,divergence; any: at which the --run behind it is run."),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", help="A shell command; BALANCER_FINDING, _STEP and _PATH tell it what was found."),
    ] = None,
    fail_on: Annotated[
        str | None, typer.Option("--fail-on", help="End with 1 on one of these findings, such as saturated; any.")
    ] = None,
    serve: Annotated[
        int | None,
        typer.Option("--serve", help="Show the report live on this port of 127.0.0.1; 0 for any.", min=0, max=65535),
    ] = None,
    lang: LangOption = "en",
    tags: TagOption = None,
    pattern: PatternOption = None,
    family: FamilyOption = None,
    recipe: RecipeOption = None,
    adversarial: AdversarialOption = None,
    d_loss: DLossOption = None,
    discriminators: DiscriminatorsOption = None,
    weights: WeightOption = None,
) -> None:
    """Follow a run or a log while it is written: verdict and findings kept up to date, at the cost of the new rows."""
    from balancer.diagnosis.diagnose import told
    from balancer.show.rendered import watched_keys
    from balancer.show.words import load
    from balancer.train.stopping import Stopped, stop_requests
    from balancer.watching.alerts import Alerts
    from balancer.watching.follower import Follower

    words = load(lang)
    every = _seconds("--every", every, SHORTEST)
    idle = None if idle is None else _seconds("--idle", idle, 0.0)
    failing = watched_keys(fail_on or "")
    alerts = Alerts(_alerts(on or [], run or []), path, quiet=sys.stdout.isatty())
    numbers = weight_numbers(weights or [])
    stated, family = told(adversarial, d_loss, discriminators, numbers, recipe, family)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_requests())
        follower = Follower(path, stated=stated, tags=pairs(tags or [], "--tag"), pattern=pattern, family=family)
        stack.callback(follower.close)
        with progress_of(path) as follower.progress:
            found = follower.look()
        shown = stack.enter_context(_shown(words, every, serve))
        came, ended = time.monotonic(), False
        while True:
            if stop.number:  # where what it raised was taken for a fault of a parser's
                raise Stopped(128 + stop.number)
            shown.look(found, follower.waits)
            for remark in [*(alerts.look(found) if found is not None else ()), *alerts.ended()]:
                say(f"watch: {remark}", file=sys.stderr)
            if found is not None and failing & found.keys:
                raise typer.Exit(1)
            if ended:
                return
            time.sleep(every)
            found = follower.look()
            if found is not None:
                came = time.monotonic()
            elif idle is not None and time.monotonic() - came >= idle:
                found, ended = follower.end(), True


class _Lines:
    """Says what changed, a line each time: the verdict or the findings, or why there is nothing to judge yet."""

    def __init__(self, words: Words) -> None:
        self._words: Final = words
        self._said: object = None

    def look(self, found: Diagnosis | None, waits: str) -> None:
        """Take one look at the log."""
        from balancer.show.watched import changed_line

        if found is None and not waits:
            return
        state = waits if found is None else (found.verdict.words, *sorted(one.words for one in found.findings))
        if state != self._said:
            self._said = state
            line = self._words("ui.watch_waits", why=waits) if found is None else changed_line(found, self._words)
            say(line, file=sys.stdout)


class _View:
    """A part of the terminal that is drawn anew."""

    def __init__(self, words: Words, live: Live) -> None:
        self._words: Final = words
        self._live: Final = live

    def look(self, found: Diagnosis | None, waits: str) -> None:
        """Take one look at the log."""
        from balancer.show.watched import live_view

        if found is not None:
            self._live.update(live_view(found, self._words, self._live.console), refresh=True)
        elif waits:
            self._live.update(printable(self._words("ui.watch_waits", why=waits)), refresh=True)


class _Page:
    """What a browser sees, besides what is shown here."""

    def __init__(self, shown: _Lines | _View, words: Words, every: float) -> None:
        from balancer.page.page import page_policy
        from balancer.watching.serve import LivePage

        self._shown: Final = shown
        self._words: Final = words
        self._every: Final = every
        self._found: Diagnosis | None = None
        self._waits = ""
        self.page: Final = LivePage(self._made, page_policy(live=True))

    def look(self, found: Diagnosis | None, waits: str) -> None:
        """Take one look at the log."""
        with self.page.lock:
            self._shown.look(found, waits)
            if found is not None:
                self._found = found
                self.page.changed()
            self._waits = waits

    def _made(self, version: int) -> str:
        from balancer.page.live import live_page, waiting_page
        from balancer.page.page import Live as LiveState

        live = LiveState(self._every, version)
        if self._found is None:
            return waiting_page(self._waits, self._words.language, live)
        return live_page(self._found, self._words.language, live)


@contextmanager
def _shown(words: Words, every: float, serve: int | None) -> Iterator[_Lines | _View | _Page]:
    """What shows the log as it is: a view on a terminal, else lines; and a page where one is asked for."""
    from rich.console import Console
    from rich.live import Live

    from balancer.watching.serve import served

    with ExitStack() as stack:
        shown: _Lines | _View = _Lines(words)
        if sys.stdout.isatty():
            console = Console(highlight=False, markup=False, emoji=False)
            shown = _View(words, stack.enter_context(Live(console=console, auto_refresh=False)))
        if serve is not None:
            page = _Page(shown, words, every)
            say(words("ui.watch_page", url=stack.enter_context(served(page.page, serve))), file=sys.stdout)
            yield page
        else:
            yield shown


def _alerts(on: Sequence[str], run: Sequence[str]) -> list[Alert]:
    """Pairs of --on and --run, in the order in which they were given.

    Raises:
        ConfigError: one without the other, or no such finding.
    """
    from balancer.show.rendered import watched_keys
    from balancer.watching.alerts import Alert

    if len(on) != len(run):
        raise ConfigError(f"--on and --run go together: {len(on)} --on and {len(run)} --run were given")
    made = []
    for names, command in zip(on, run, strict=True):
        keys = watched_keys(names, "--on")
        if not keys or not command.strip():
            raise ConfigError(f"--on {names!r} --run {command!r}: name a finding, and a command")
        made.append(Alert(frozenset(keys), command))
    return made


def _seconds(option: str, value: float, least: float) -> float:
    if not (least <= value <= LONGEST):
        raise ConfigError(f"{option} {value:g}: give seconds from {least:g} to {LONGEST:g}")
    return value
