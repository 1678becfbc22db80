"""What a run writes about itself: signals, decisions, notes, compositions, TensorBoard. It never stops training."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.knobs import Decision
from balancer.contract.notes import Note
from balancer.contract.signals import StepRow
from balancer.errors import CheckpointError, ConfigError, DataError
from balancer.record import files
from balancer.record.claim import hold, let_go
from balancer.record.compositions import Composed, cut_compositions, keep_composition
from balancer.record.decisions import DecisionLog, cut_decisions
from balancer.record.folder import (
    COLUMNS,
    COMPOSITIONS,
    DECISIONS,
    SHEETS,
    refuse_misplaced,
    sheet_name,
    sheet_step,
    sheets_drawn,
)
from balancer.record.signals import EPOCH, STEP, SignalLog, cut_signals
from balancer.record.tensorboard import Band, EventLog, cut_events
from balancer.record.thinning import is_shown, outlived, point_spacing

if TYPE_CHECKING:
    from filelock import FileLock
    from PIL.Image import Image


class Recorder:
    """The logs of one run directory; `healthy` is the range of `d_adv` in a healthy run, where one is known.

    Every step goes to `signals.bin`; TensorBoard gets every `log_every`-th step. A log that cannot be written (full
    disk) is told with one warning and tried again with each entry; when it is back, how many are lost is told too.

    Attributes:
        thin: whether sheets and TensorBoard's points become sparser in a long run: see `balancer.record.thinning`.

    Raises:
        ConfigError: the directory cannot be made.
    """

    def __init__(self, folder: Path, log_every: int, healthy: Band = None) -> None:
        self.folder: Final = folder
        self.thin = True
        self._log_every: Final = log_every
        # Logs that cannot be written at present, and how many of their entries are lost.
        self._lost: dict[str, int] = {}
        self._healthy: Final = healthy
        self._lock: FileLock | None = None
        try:
            files.make_run(folder)
        except OSError as error:
            raise ConfigError(f"run directory {folder} cannot be made: {error.strerror}") from None
        refuse_misplaced(folder)
        self._open()

    def step(self, step: int, epoch: int, row: StepRow) -> None:
        """Keep one step's row; draw it where its turn has come."""
        numbered = {STEP: float(step), EPOCH: float(epoch), **row}
        self._guard("signals", lambda: self._signals.append(numbered))
        spacing = point_spacing(step, self._log_every) if self.thin else self._log_every
        # What is measured seldom is drawn each time.
        shown = row if step % spacing == 0 else {key: value for key, value in row.items() if key[0] == "val"}
        if shown:
            self._guard("TensorBoard", lambda: self._events.scalars(step, shown))

    def sheet(self, done: int, sheet: Image) -> None:
        """Keep a picture of held-out samples after `done` steps, as a file and in TensorBoard; those outlived go."""

        def keep() -> None:
            picture = io.BytesIO()
            sheet.save(picture, "PNG")
            files.make_folder(self.folder, SHEETS)
            drawn = sheets_drawn(self.folder) - {done}
            files.replace(self.folder, f"{SHEETS}/{sheet_name(done)}", picture.getvalue())
            if not self.thin or is_shown(done, max((step for step in drawn if step < done), default=None)):
                self._events.image("held_out/source_output_target", sheet, done - 1)
            for step in outlived({*drawn, done}, done) if self.thin else ():
                files.delete(self.folder, f"{SHEETS}/{sheet_name(step)}")

        self._guard("sheet", keep)

    def hparams(self, settings: Mapping[str, Any]) -> None:
        """Show the run's settings, flat, in TensorBoard's hparams page."""
        self._guard("TensorBoard", lambda: self._events.hparams(settings))

    def decision(self, decision: Decision) -> None:
        """Append one decision."""
        self._guard(DECISIONS, lambda: self._decisions.append(decision))

    def note(self, note: Note) -> None:
        """Append one note among the decisions, and show it in TensorBoard as text, by its kind."""
        self._guard(DECISIONS, lambda: self._decisions.append(note))
        line = f"{note.who}: {note.text}"
        self._guard("TensorBoard", lambda: self._events.text(f"notes/{note.kind}", line, note.step))

    def composition(self, composed: Composed) -> None:
        """Keep what the run is composed of from a step on."""
        self._guard(COMPOSITIONS, lambda: keep_composition(self.folder, composed))

    def flush(self) -> None:
        """Bring everything to the disk, so that a kill afterwards loses nothing up to here."""
        for what, log in self._logs.items():
            if log.file is not None:
                self._guard(what, functools.partial(self._to_disk, what), entry=False)

    def hold(self) -> None:
        """Keep other processes from logging here until `close`.

        Raises:
            ConfigError: another process does.
        """
        if self._lock is not None:
            return
        try:
            self._lock = hold(self.folder)
        except OSError as error:
            self._warn("it cannot be locked, so see that no other process logs there", error)

    def refuse_logged(self) -> None:
        """Refuse to log a new run over an earlier one's signals.

        Raises:
            ConfigError: there are some, or another process logs there.
        """
        self.hold()
        if files.exists(self.folder, COLUMNS):
            raise ConfigError(
                f"{self.folder} holds the logs of an earlier run: choose another log_dir, or load its state first"
            )

    def cut(self, step: int) -> None:
        """Forget everything of `step` and later, so that a resumed run shows no step twice; say what is damaged.

        Raises:
            CheckpointError: a log is damaged beyond reading, or cannot be rewritten.
            ConfigError: another process logs there.
        """
        self.hold()
        self._close()
        try:
            damaged = [cut(self.folder, step) for cut in (cut_signals, cut_decisions, cut_compositions)]
            damaged += cut_events(self.folder, step)
            drawn = files.listed(self.folder, SHEETS) if files.exists(self.folder, SHEETS, folder=True) else []
            for name in drawn:
                if (done := sheet_step(name)) is not None and done > step:
                    files.delete(self.folder, f"{SHEETS}/{name}")
        except OSError as error:
            raise CheckpointError(f"the logs in {self.folder} cannot be cut to step {step}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, DataError) as error:
            raise CheckpointError(f"a log in {self.folder} is damaged, move it away to go on: {error}") from None
        for damage in damaged:
            damage.warn()

    def close(self) -> None:
        """Flush and close the files, and let other processes log here."""
        self._close()
        if self._lock is not None:
            let_go(self.folder, self._lock)
            self._lock = None

    def _close(self) -> None:
        self.flush()
        for what, lost in self._lost.items():
            # What is still in a buffer is not among them.
            self._warn(f"the {what} log is not whole", f"the disk refused {lost} entries or more to the end")
        for log in self._logs.values():
            if log.file is not None:
                with contextlib.suppress(OSError):
                    log.file.close()
        self._open()

    def _open(self) -> None:
        self._lost.clear()
        self._signals = SignalLog(self.folder)
        self._decisions = DecisionLog(self.folder)
        self._events = EventLog(self.folder, self._healthy)
        self._logs: dict[str, SignalLog | DecisionLog | EventLog] = {
            "signals": self._signals,
            DECISIONS: self._decisions,
            "TensorBoard": self._events,
        }

    def _guard(self, what: str, action: Callable[[], object], *, entry: bool = True) -> None:
        """Do what writes to a log. What a failed flush leaves in its buffer is not lost: the next one brings it."""
        failing = what in self._lost
        try:
            action()
        except (OSError, DataError, KeyError, TypeError, ValueError) as error:
            self._lost[what] = self._lost.get(what, 0) + entry
            if not failing:
                self._warn(f"the {what} log cannot be written now, it is tried again with each entry", error)
            log = self._logs.get(what)
            if log is not None and log.file is not None and log.file.closed:
                log.file = None
            return
        if failing:
            try:
                self._to_disk(what)
            except OSError:
                return
            lost = self._lost.pop(what)
            self._warn(f"the {what} log is written again", f"{lost} entries are lost" if lost else "nothing is lost")

    def _to_disk(self, what: str) -> None:
        log = self._logs.get(what)
        if log is None or log.file is None:
            return
        log.file.flush()
        os.fsync(log.file.fileno())

    def _warn(self, text: str, why: object) -> None:
        warnings.warn(f"{self.folder}: {text}: {why}", stacklevel=4)
