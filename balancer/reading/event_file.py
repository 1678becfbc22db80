"""One event file of TensorBoard: when it began, with which tags, and how far it was read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from balancer.errors import ConfigError
from balancer.reading.event_scalars import event_of, scalars_of
from balancer.reading.source import OnBytes
from balancer.record.event_records import FRAME_BYTES, HEADER_BYTES, Records, is_head

SAMPLED_RECORDS: Final = 10_000  # that are enough of a beginning


class EventFile:
    """How far a file was read: its records, the step of the last one, and of how many gaps something was said."""

    def __init__(self, path: Path, progress: OnBytes | None) -> None:
        self._path: Final = path
        self.records: Final = Records(lambda: path.open("rb"), progress)
        self.step: int | None = None
        self.named = 0
        self._inode: Final = path.stat().st_ino

    @property
    def is_void(self) -> bool:
        """Whether it was deleted, cut or replaced."""
        try:
            now = self._path.stat()
        except OSError:
            return True
        return now.st_ino != self._inode or now.st_size < self.records.at

    @property
    def grew(self) -> bool:
        """Whether it is longer than what was read of it."""
        return self._path.stat().st_size > self.records.at and not self.records.gave_up


def begun(path: Path) -> float:
    """When the first event was written; infinite for a file without one.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
        length = int.from_bytes(head[:8], "little")
        if is_head(head) and length <= len(head) - FRAME_BYTES:
            event = event_of(head[HEADER_BYTES : HEADER_BYTES + length])
        else:
            block = next(Records(lambda: path.open("rb")).blocks(), None)
            event = None if block is None else event_of(block.payloads[0])
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    return event.wall_time if event is not None and math.isfinite(event.wall_time) else math.inf


def first_tags(path: Path) -> list[str]:
    """The tags of the first scalars of a file, one for each value."""
    records = Records(lambda: path.open("rb"))
    payloads: list[bytes] = []
    try:
        for _, block in records.blocks():
            payloads += block
            # A block ends where damage is, which may be soon.
            if not records.is_damaged or len(payloads) > SAMPLED_RECORDS:
                break
    except OSError:
        return []
    return [tag for event in map(event_of, payloads) if event is not None for tag, _ in scalars_of(event)]
