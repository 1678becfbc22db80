"""TensorBoard: what it calls each value of a step, its event files written here and now, and cut back to a step."""

from __future__ import annotations

import fnmatch
import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.levels import HEALTHY_D_ADV
from balancer.contract.signals import GRADIENT_SIGNALS, Key, StepRow
from balancer.record import files
from balancer.record.damage import Damage
from balancer.record.event_cut import UNKNOWN, cut_file, ends
from balancer.record.folder import EVENTS

if TYPE_CHECKING:
    from PIL.Image import Image

    from balancer.record.summaries import Layout

Band = tuple[float, float] | None
BAND: Final = ("band/d_adv_low", "band/d_adv_high")
# A file with so many bytes is finished, and another begun: a resume rewrites one file, and that takes a few seconds.
FILE_BYTES: Final = 4 * 2**20
# Of a name as `EventLog` gives it: the microsecond. SummaryWriter's names say the second.
_OWN: Final = re.compile(r"events\.out\.tfevents\.(\d{16})\..+", re.ASCII)


def layout(healthy: Band) -> Layout:
    """TensorBoard's page of charts; with a band around `d_adv` where a range of it is called healthy."""
    balance: dict[str, tuple[str, list[str]]] = {
        "D's adversarial loss": ("Multiline", ["signal/d_adv", "signal/critic_gap"])
    }
    if healthy is not None:
        whose = "the source document's" if healthy == HEALTHY_D_ADV else "its loss's"
        title = f"D's adversarial loss, and {whose} band {healthy[0]:g}–{healthy[1]:g}"
        balance = {title: ("Margin", ["signal/d_adv", *BAND])}
    return {
        "Balance": {
            **balance,
            "G's loss by term (shares)": ("Multiline", ["share/.*"]),
            "Adversarial weight": ("Multiline", ["knob/lambda_adv", "signal/adv_effective"]),
        }
    }


def tag(key: Key) -> str | None:
    """What TensorBoard calls a value; None for what is not drawn there."""
    kind, name = key
    if kind in ("clock", "base"):
        return None
    if kind == "val":
        return name
    if kind == "updates":
        return f"updates/{name.removesuffix('_updates')}"
    if kind == "knob":
        return f"lr/{name.removeprefix('lr_')}" if name in ("lr_d", "lr_g") else f"knob/{name}"
    if name in GRADIENT_SIGNALS:
        return f"signal/{name}"
    if kind == "g":
        return f"share/{name.removesuffix('_share')}" if name.endswith("_share") else f"loss/{name}"
    is_loss = kind == "d" and name.startswith("d_") and not name.startswith(("d_adv", "d_acc", "d_logit"))
    return f"loss/{name}" if is_loss else f"signal/{name}"


def tagged(row: StepRow) -> dict[str, float]:
    """A step's values by tag."""
    return {name: value for key, value in row.items() if (name := tag(key)) is not None}


class EventLog:
    """The event files of a run directory, one after the other, each opened when there is something to say.

    SummaryWriter writes from a thread of its own, which on a full disk dies late, with a traceback of its own.
    """

    def __init__(self, folder: Path, healthy: Band = None) -> None:
        self._folder: Final = folder
        # The range of d_adv in a healthy run, where one is known.
        self._healthy: Final = healthy
        self.file: Any = None
        self._records: Any = None
        self._flushed = 0.0

    def scalars(self, step: int, row: StepRow) -> None:
        """Draw a step's values, and the edges of the healthy range, if any, beside `d_adv`."""
        from balancer.record import summaries

        if self.file is not None and self.file.tell() >= FILE_BYTES:
            self._finish()
        values = tagged(row)
        if self._healthy is not None and ("d", "d_adv") in row:
            values |= zip(BAND, self._healthy, strict=True)
        for name, value in values.items():
            self.add(summaries.scalar(name, value), step)

    def image(self, name: str, picture: Image, step: int) -> None:
        """Show a picture."""
        from balancer.record import summaries

        self.add(summaries.image(name, picture), step)

    def text(self, name: str, line: str, step: int) -> None:
        """Show a line of text, as it is."""
        from balancer.record import summaries

        self.add(summaries.text(name, line), step)

    def hparams(self, settings: Mapping[str, Any]) -> None:
        """Show settings, flat, on the hparams page."""
        from balancer.record import summaries

        # A figure is kept as a float of 64 bits there.
        plain = {k: v if isinstance(v, float | str) or _is_exact(v) else str(v) for k, v in settings.items()}
        for summary in summaries.hparams(plain, ["signal/d_adv", "loss/g_loss"]):
            self.add(summary)

    def flush(self) -> None:
        """Hand everything to the operating system."""
        if self.file is not None:
            self._flushed = time.monotonic()
            self.file.flush()

    def add(self, summary: Any, step: int = 0) -> None:
        """Append a summary; what is older than half a minute is there for TensorBoard to see."""
        from tensorboard.compat.proto.event_pb2 import Event

        if self.file is None:
            self._open()
        self._records.write(Event(wall_time=time.time(), step=step, summary=summary).SerializeToString())
        if time.monotonic() - self._flushed > 30:
            self.flush()

    def _open(self) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        from balancer.record import summaries

        there = _event_files(self._folder)
        # The form of name that TensorBoard looks for; by time, so that it reads a run's files in order, and after those
        # that are there, even if the clock was set back.
        begun = [int(match[1]) + 1 for name in there if (match := _OWN.fullmatch(name))]
        number = max([time.time_ns() // 1000, *begun])
        name = f"events.out.tfevents.{number:016d}.{socket.gethostname()}.{os.getpid()}"
        self.file = files.create(self._folder, name)
        self._records = RecordWriter(self.file)
        self._flushed = time.monotonic()
        self._records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        if not there:
            self.add(summaries.layout(layout(self._healthy)))

    def _finish(self) -> None:
        """Close a file, once all of it is on the disk."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self.file = None


def cut_events(folder: Path, step: int) -> list[Damage]:
    """Take the events of `step` and later out of the event files; headers and layouts stay. What was damaged.

    Of our own whole files, those that end before that step are left, and those that begin with it or later deleted, so
    that only one is rewritten; damaged ones are too, and other writers'.

    Raises:
        DataError: see `event_cut.cut_file`.
    """

    def wanted(event: Any) -> bool:
        is_header = event.HasField("file_version")
        return is_header or event.step < step or any("custom_scalars" in value.tag for value in event.summary.value)

    later: list[str] = []
    damaged: list[Damage] = []
    for name in _event_files(folder):
        begin, end = ends(folder, name) if _OWN.fullmatch(name) else UNKNOWN
        if begin >= max(step, 1):  # the one with the layout begins at 0
            files.delete(folder, name)
            later.append(name)
        elif end >= step:
            damaged.append(cut_file(folder, name, wanted))
    if later:
        files.sync(folder)
    return damaged


def _event_files(folder: Path) -> list[str]:
    return fnmatch.filter(files.listed(folder), EVENTS)


def _is_exact(value: Any) -> bool:
    return isinstance(value, int) and abs(value) <= 2**53
