"""What a run writes about itself: TensorBoard, decisions.jsonl, and the signals of every step. Never stops training."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from balancer.contract.knobs import Decision
from balancer.errors import CheckpointError, ConfigError
from balancer.record.files import write_atomically
from balancer.record.signals import COLUMNS, SignalLog, cut_signals
from balancer.record.tensorboard import EventFile, cut_events
from balancer.train.health import HEALTHY_D_ADV

if TYPE_CHECKING:
    from PIL.Image import Image

DECISIONS: Final = "decisions.jsonl"
SHEETS: Final = "sheets"

LAYOUT: Final = {
    "Balance": {
        "D's adversarial loss and its healthy band": [
            "Margin",
            ["signal/d_adv", "band/d_adv_low", "band/d_adv_high"],
        ],
        "G's loss by term (shares)": ["Multiline", ["share/.*"]],
        "Adversarial weight": ["Multiline", ["knob/lambda_adv", "signal/adv_effective"]],
    }
}


class Telemetry:
    """The logs of one run directory.

    Every step goes to `signals.bin`, rows of little-endian float64 whose columns `signals.json` names;
    row k is step k. TensorBoard gets every `log_every`-th step. A log that cannot be written (full
    disk) is given up with one warning.

    Raises:
        ConfigError: the directory cannot be made.
    """

    def __init__(self, folder: Path, log_every: int) -> None:
        self.folder: Final = folder
        self._log_every: Final = log_every
        self._dead: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"run directory {folder} cannot be made: {error.strerror}") from None
        self._signals = SignalLog(folder)
        self._decisions: Any = None
        self._writer: Any = None

    def step(self, step: int, epoch: int, row: Mapping[str, float]) -> None:
        """Keep one step's row, by TensorBoard tag; draw it where its turn has come."""
        named = {"step": float(step), "epoch": float(epoch), **{column(tag): value for tag, value in row.items()}}
        self._guard("signals", lambda: self._signals.append(named))
        if step % self._log_every == 0:
            self.scalars(step, row)

    def scalars(self, step: int, row: Mapping[str, float]) -> None:
        """Draw points in TensorBoard."""

        def draw() -> None:
            from torch.utils.tensorboard import summary

            writer = self._tensorboard()
            band = {"band/d_adv_low": HEALTHY_D_ADV[0], "band/d_adv_high": HEALTHY_D_ADV[1]}
            for tag, value in {**row, **(band if "signal/d_adv" in row else {})}.items():
                writer.add(summary.scalar(tag, value), step)  # type: ignore[no-untyped-call]

        self._guard("TensorBoard", draw)

    def sheet(self, done: int, sheet: Image) -> None:
        """Keep a picture of held-out samples after `done` steps, as a file and in TensorBoard."""

        def keep() -> None:
            (self.folder / SHEETS).mkdir(exist_ok=True)
            sheet.save(self.folder / SHEETS / f"step_{done:08d}.png")
            from torch.utils.tensorboard import summary

            pixels = np.asarray(sheet.convert("RGB"))
            image = summary.image(  # type: ignore[no-untyped-call]
                "held_out/source_output_target", pixels, dataformats="HWC"
            )
            self._tensorboard().add(image, done - 1)

        self._guard("sheet", keep)

    def hparams(self, settings: Mapping[str, Any]) -> None:
        """Show the run's settings, flat, in TensorBoard's hparams page."""

        def write() -> None:
            from torch.utils.tensorboard.summary import hparams

            plain = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in settings.items()}
            for summary in hparams(plain, {"signal/d_adv": None, "loss/g_loss": None}):  # type: ignore[no-untyped-call]
                self._tensorboard().add(summary)

        self._guard("TensorBoard", write)

    def decision(self, decision: Decision) -> None:
        """Append one decision."""

        def write() -> None:
            if self._decisions is None:
                self._decisions = (self.folder / DECISIONS).open("a", encoding="utf-8")
            self._decisions.write(json.dumps(dataclasses.asdict(decision), ensure_ascii=False) + "\n")

        self._guard(DECISIONS, write)

    def flush(self) -> None:
        """Bring everything to the disk, so that a kill afterwards loses nothing up to here."""
        for name, file in (("signals", self._signals.file), (DECISIONS, self._decisions)):
            if file is not None:
                self._guard(name, functools.partial(_to_disk, file))
        if self._writer is not None:
            self._guard("TensorBoard", self._writer.flush)

    def refuse_used(self) -> None:
        """Refuse to log a new run over an earlier one's signals.

        Raises:
            ConfigError: there are some.
        """
        if (self.folder / COLUMNS).exists():
            raise ConfigError(
                f"{self.folder} holds the logs of an earlier run: choose another log_dir, or load its state first"
            )

    def cut(self, step: int) -> None:
        """Forget everything of `step` and later, so that a resumed run shows no step twice.

        Raises:
            CheckpointError: a log is damaged, or cannot be rewritten.
        """
        self.close()
        try:
            cut_signals(self.folder, step)
            _cut_decisions(self.folder / DECISIONS, step)
            for path in self.folder.glob("events.out.tfevents.*"):
                cut_events(path, step)
            for path in (self.folder / SHEETS).glob("step_*.png"):
                if int(path.stem.removeprefix("step_")) > step:
                    path.unlink()
        except OSError as error:
            raise CheckpointError(f"the logs in {self.folder} cannot be cut to step {step}: {error.strerror}") from None
        except (ValueError, KeyError) as error:
            raise CheckpointError(f"a log in {self.folder} is damaged, move it away to go on: {error}") from None

    def close(self) -> None:
        """Flush and close the files."""
        self.flush()
        for file in (self._signals.file, self._decisions, self._writer):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
        self._signals = SignalLog(self.folder)
        self._decisions = self._writer = None

    def _tensorboard(self) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import summary

            new = not any(self.folder.glob("events.out.tfevents.*"))
            self._writer = EventFile(self.folder)
            if new:
                self._writer.add(summary.custom_scalars(LAYOUT))  # type: ignore[no-untyped-call]
        return self._writer

    def _guard(self, what: str, action: Callable[[], object]) -> None:
        if what in self._dead:
            return
        try:
            action()
        except OSError as error:
            self._dead.add(what)
            warnings.warn(f"{self.folder}: no more {what} log in this run: {error}", stacklevel=3)


def _to_disk(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def tag(signal: str, g_terms: Collection[str], brought: Collection[str]) -> str:
    """What TensorBoard calls a signal; `brought` are those that plugins bring."""
    if signal in brought:
        return f"signal/{signal}"
    term, _, share = signal.rpartition("_")
    if share == "share" and term in g_terms:
        return f"share/{term}"
    is_d_loss = signal.startswith("d_") and not signal.startswith(("d_adv", "d_acc", "d_logit"))
    return f"loss/{signal}" if is_d_loss or signal == "g_loss" or signal in g_terms else f"signal/{signal}"


def column(tag: str) -> str:
    """The name in `signals.bin` of what TensorBoard calls `tag`; the source document's names where it has them."""
    kind, _, name = tag.partition("/")
    if kind == "loss":
        return name if name.startswith("d_") or name == "g_loss" else f"loss_{name}"
    if kind == "share":
        return f"{name}_share"
    return f"lr_{name}" if kind == "lr" else name


def _cut_decisions(path: Path, step: int) -> None:
    if not path.is_file():
        return
    kept = []
    for line in path.read_bytes().splitlines(keepends=True):
        # A run that was killed may have left the beginning of a line.
        if line.endswith(b"\n") and json.loads(line)["step"] < step:
            kept.append(line)
    write_atomically(path, b"".join(kept))
