"""TensorBoard event files: written here and now, and cut back to a step."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any


class EventFile:
    """One TensorBoard event file, written here and now.

    SummaryWriter writes from a thread of its own, which on a full disk dies late, with a traceback of its own.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        # The form of name that TensorBoard looks for; by time, so that it reads a resumed run's files in order.
        name = f"events.out.tfevents.{time.time_ns() // 1000:016d}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("xb")
        self._records = RecordWriter(self._file)
        self._event = Event
        self._flushed = time.monotonic()
        self._records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())

    def add(self, summary: Any, step: int = 0) -> None:
        """Append a summary; what is older than half a minute is there for TensorBoard to see."""
        event = self._event(wall_time=time.time(), step=step, summary=summary)
        self._records.write(event.SerializeToString())
        if time.monotonic() - self._flushed > 30:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._flushed = time.monotonic()
        self._file.flush()

    def close(self) -> None:
        """Flush and close."""
        self._file.close()


def cut_events(path: Path, step: int) -> None:
    """Rewrite an event file without the events of `step` and later; headers and layouts stay."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    temporary = path.with_name(f"cut.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        writer = RecordWriter(file)
        for raw in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(raw)
            is_header = event.HasField("file_version")
            if is_header or event.step < step or any("custom_scalars" in value.tag for value in event.summary.value):
                writer.write(raw)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
