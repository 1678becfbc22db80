"""Event files cut back: the records that are wanted stay, byte for byte, and damage is named."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from balancer.errors import DataError
from balancer.record import files
from balancer.record.damage import Damage, between
from balancer.record.event_records import BLOCK_BYTES, CUT_SHORT, FRAME_BYTES, Records

# Where a file begins and ends that nobody knows of.
UNKNOWN: Final = 0, math.inf


def cut_file(folder: Path, name: str, wanted: Callable[[Any], bool]) -> Damage:
    """Rewrite an event file of a run with the events that are wanted; what of it was damaged.

    Damaged bytes go, since TensorBoard reads no further than to them. What cannot be read as an event goes with the
    event before it.

    Raises:
        DataError: behind damage no record was found within tens of MiB, so it cannot be told what would be lost.
        OSError: see `files.rewritten`.
    """
    damage = Damage(folder / name, "record")
    records = Records(lambda: files.open_to_read(folder, name))
    with files.open_to_read(folder, name) as file, files.rewritten(folder, name) as kept:
        cut = _Cut(file, kept, wanted)
        named = 0
        for starts, payloads in records.blocks():
            for gap in records.gaps[named:]:
                before = cut.step
                cut.leave(gap.start, gap.end)
                damage.note(f"at byte {gap.start:,}, {between(before, _step(payloads[0]))}")
            named = len(records.gaps)
            for start, payload in zip(starts, payloads, strict=True):
                cut.record(start, payload)
        for gap in records.gaps[named:]:
            if records.gave_up:
                raise DataError(f"{name} holds no record in many MiB after byte {gap.start:,}")
            cut.leave(gap.start, None)
            if gap.why != CUT_SHORT:  # which a kill leaves
                damage.note(f"at byte {gap.start:,}, {between(cut.step, None)}")
        cut.rest()
    return damage


def ends(folder: Path, name: str) -> tuple[int, float]:
    """The steps of a file's first and last event, all others of ours between them; UNKNOWN where it is not whole."""
    records = Records(lambda: files.open_to_read(folder, name))
    first: int | None = None
    last = b""
    for _, payloads in records.blocks():
        if records.is_damaged:
            return UNKNOWN
        for payload in payloads if first is None else ():
            event = _event(payload)
            if event is not None and not event.HasField("file_version"):
                first = event.step
                break
        last = payloads[-1]
    end = _step(last)
    return UNKNOWN if records.is_damaged or first is None or end is None else (first, end)


class _Cut:
    """A file on its way into another."""

    def __init__(self, file: IO[bytes], kept: IO[bytes], wanted: Callable[[Any], bool]) -> None:
        self._file: Final = file
        self._kept: Final = kept
        self._wanted: Final = wanted
        self._done = 0
        self._stays = True
        self.step: int | None = None

    def record(self, start: int, payload: bytes) -> None:
        """Take a record or leave it; before it may be one that was too long to be held."""
        self._take(start)
        event = _event(payload)
        if event is not None:
            self._stays, self.step = self._wanted(event), event.step
        self._take(start + FRAME_BYTES + len(payload))

    def leave(self, start: int, end: int | None) -> None:
        """Leave the bytes from `start` to before `end`, or to the file's end."""
        self._take(start)
        self._done = self._size() if end is None else end

    def rest(self) -> None:
        """Take what follows the last record."""
        self._take(self._size())

    def _take(self, until: int) -> None:
        if self._stays and until > self._done:
            self._file.seek(self._done)
            for first in range(self._done, until, BLOCK_BYTES):
                self._kept.write(self._file.read(min(BLOCK_BYTES, until - first)))
        self._done = max(self._done, until)

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size


def _event(payload: bytes) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorboard.compat.proto.event_pb2 import Event

    try:
        return Event.FromString(payload)
    except DecodeError:
        return None


def _step(payload: bytes) -> int | None:
    event = _event(payload)
    return None if event is None else int(event.step)
