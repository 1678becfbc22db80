"""The progress bar of a run: where it stands, the few figures to watch, and a word on its state."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Final

from balancer.contract.adversarial import AdversarialLoss
from balancer.contract.losses import find_loss
from balancer.contract.signals import Key, StepRow
from balancer.errors import printable
from balancer.train.health import HALF_LIFE, Health

# d_adv is shown as the average that the word on the state is about; critic_gap where there is no d_adv.
FIGURES: Final[tuple[tuple[Key, str], ...]] = (
    (("d", "d_adv"), "d_adv"),
    (("d", "critic_gap"), "critic_gap"),
    (("knob", "lambda_adv"), "lambda_adv"),
    (("g", "adv_share"), "adv share"),
)
LINE_EVERY = 10.0  # seconds, where the output is not a terminal


class Progress:
    """A rich progress bar on a terminal, a line every ten seconds elsewhere, nothing where `quiet`."""

    def __init__(
        self, total: int, done: int = 0, *, adversarial: str | AdversarialLoss = "bce", quiet: bool = False
    ) -> None:
        self._total = total
        self._first = done
        self._quiet = quiet
        self._health = Health(find_loss(adversarial))
        self._bar: Any = None
        self._task: Any = None
        self._began = self._line = time.monotonic()
        self._shown = 0.0

    def __enter__(self) -> Progress:
        self._began = self._line = time.monotonic()
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[figures]}"))
            self._bar = Bar(*columns, console=Console(stderr=True), refresh_per_second=4)
            self._task = self._bar.add_task("", total=self._total, completed=self._first, figures="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, row: StepRow, fault: str = "") -> None:
        """Take in one finished step; `row` is what it measured and did, `fault` a word that goes before health."""
        state = self._health.update(done, row)
        if fault:
            state = fault
        elif state and done - self._first < HALF_LIFE:
            state = "warming up"  # an untrained D is at chance, which is not a fault
        if self._quiet:
            return
        if self._health.d_adv is not None:
            row = {**row, ("d", "d_adv"): self._health.d_adv}
        now = time.monotonic()
        last = done == self._total
        if self._bar is not None:
            # The bar repaints four times a second; formatting more often would be work for nothing.
            if last or now - self._shown > 0.2:
                self._shown = now
                self._bar.update(self._task, completed=done, figures=f"{figures(row)}  {state}")
        elif last or now - self._line > LINE_EVERY:
            self._line = now
            left = (self._total - done) * (now - self._began) / max(done - self._first, 1)
            self.say(f"step {done}/{self._total}  {figures(row)}  {state}  ETA {left:.0f} s")

    def say(self, text: str, *, always: bool = False) -> None:
        """Print one line above the bar; `always`, even where the progress is quiet."""
        if self._quiet and not always:
            return
        text = printable(text)
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)


def figures(row: StepRow) -> str:
    """The figures to watch, those that were measured."""
    return "  ".join(f"{label} {row[key]:.3f}" for key, label in FIGURES if key in row)
