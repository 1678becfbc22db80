"""The records of a TensorBoard event file: length, payload and their checksums, checked many at a time.

A record that is damaged is not the end of the file: the next place where a length and its payload have their checksums
is looked for, and reading goes on there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator
from typing import IO, TYPE_CHECKING, Final, NamedTuple

import numpy as np

from balancer.record.crc32c import masked, masked_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_BYTES: Final = 1 << 20
LONGEST_RECORD: Final = 1 << 24  # a longer record holds pictures, no figures
LONGEST_TOGETHER: Final = 4096  # payloads of up to so many bytes, as scalars have, are checked as a table
HEADER_BYTES: Final = 12  # bytes of length and its checksum
FRAME_BYTES: Final = 16  # a record's bytes besides its payload
# How far beyond damage, how often and in how many bytes that look like records the next one is looked for.
MOST_LOST: Final = 2 * LONGEST_RECORD
MOST_GAPS: Final = 1000
MOST_TRIED: Final = 1 << 28
_FIRST_WINDOW: Final = 4096

CUT_SHORT: Final = "a record cut short"
WRONG: Final = "a checksum that is wrong"


class Gap(NamedTuple):
    """Bytes that are no record: from `start` to before `end`; None where nothing after them was read."""

    start: int
    end: int | None
    why: str


class Block(NamedTuple):
    """Records one after the other: where each begins, and its payload."""

    starts: list[int]
    payloads: list[bytes]


class Records:
    """A file's records up to its end, without those too long to hold figures; `opened` opens the file.

    Attributes:
        gaps: where it is damaged, as far as it was read. They lie between blocks, never within one.
        gave_up: whether it was not read to its end, since behind damage no record was found for long.
        at: how many bytes of the file were read.
    """

    def __init__(self, opened: Callable[[], IO[bytes]], progress: Callable[[int], None] | None = None) -> None:
        self._opened: Final = opened
        self._progress: Final = progress
        self.gaps: list[Gap] = []
        self.gave_up = False
        # Where damage began behind which no record was found yet.
        self._lost: int | None = None
        self._tried = 0
        self.at = 0
        # Read, but not yet a whole record; where it begins, and how many bytes of a record are still to be skipped.
        self._rest = b""
        self._offset = 0
        self._leap = 0

    @property
    def is_damaged(self) -> bool:
        """Whether damage was met, that behind the last block included."""
        return bool(self.gaps) or self._lost is not None

    def blocks(self, *, ends: bool = True) -> Iterator[Block]:
        """Records, some thousands at a time; called again, it goes on where it stopped.

        Args:
            ends: whether the end of the file is final; else what stands there and is no whole record may become one.

        Raises:
            OSError: the file cannot be read.
        """
        with self._opened() as file:
            file.seek(self.at)
            while not self.gave_up:
                data = file.read(BLOCK_BYTES)
                self.at += len(data)
                if not data and not ends:
                    return
                if self._progress is not None:
                    self._progress(len(data))
                if self._leap:
                    # The middle of a record that is skipped; seeking would not notice a file that ends in it.
                    passed = min(self._leap, len(data))
                    self._leap -= passed
                    self._offset += passed
                    data = data[passed:]
                    if self._leap and passed:
                        continue
                buffer = self._rest + data
                used = yield from self._whole_records(buffer, self._offset, ends=not data)
                self._offset += used
                rest = self._rest = buffer[used:]
                self.gave_up = self._lost is not None and self._gives_up(self._offset)
                if self._lost is not None and (not data or self.gave_up):
                    self.gaps.append(Gap(self._lost, None, WRONG))
                    return
                if not data:
                    if rest or self._leap:
                        self.gaps.append(Gap(self._offset, None, CUT_SHORT))
                    return
                if self._lost is None and len(rest) >= HEADER_BYTES and (length := _length(rest)) > LONGEST_RECORD:
                    self._leap = FRAME_BYTES + length - len(rest)
                    self._offset += len(rest)
                    self._rest = b""

    def _whole_records(self, buffer: bytes, offset: int, *, ends: bool) -> Generator[Block, None, int]:
        """The whole records in a buffer, past damage where there is some; returns how many bytes are done with."""
        at = 0
        while True:
            if self._lost is not None:
                at, found = self._next(buffer, at, ends=ends)
                if not found:
                    return at
                self.gaps.append(Gap(self._lost, offset + at, WRONG))
                self._lost = None
            starts, payloads, at, sound = _sound_records(buffer, at)
            self._lost = None if sound else offset + at
            if starts:
                yield Block([offset + start for start in starts], payloads)
            if sound or self._gives_up(offset + at):
                return at
            at += 1

    def _gives_up(self, offset: int) -> bool:
        assert self._lost is not None
        return offset - self._lost > MOST_LOST or self._tried > MOST_TRIED or len(self.gaps) >= MOST_GAPS

    def _next(self, buffer: bytes, at: int, *, ends: bool) -> tuple[int, bool]:
        """Where the next record begins; else, and False, from where on to look once there is more."""
        last = len(buffer) - HEADER_BYTES + 1
        window = _FIRST_WINDOW
        while at < last:
            until = min(at + window, last)
            for place in _heads(buffer, at, until):
                length = _length(buffer[place : place + 8])
                if length > LONGEST_RECORD:
                    continue
                if place + FRAME_BYTES + length > len(buffer):
                    if ends:
                        continue
                    return place, False
                self._tried += length
                if _is_record(buffer, place, length):
                    return place, True
            at, window = until, 2 * window
        return max(at, 0), False


def is_head(data: bytes) -> bool:
    """Whether bytes begin as a record does: a length, and its checksum."""
    return len(data) >= HEADER_BYTES and masked(data[:8]) == int.from_bytes(data[8:HEADER_BYTES], "little")


def _length(head: bytes) -> int:
    return int.from_bytes(head[:8], "little")


def _is_record(buffer: bytes, place: int, length: int) -> bool:
    end = place + HEADER_BYTES + length
    return masked(buffer[place + HEADER_BYTES : end]) == int.from_bytes(buffer[end : end + 4], "little")


def _heads(buffer: bytes, first: int, until: int) -> list[int]:
    """The places in a buffer at which eight bytes and their checksum stand."""
    data = np.frombuffer(buffer, dtype=np.uint8)
    count = until - first
    checksums = masked_columns((data[first + row :][:count] for row in range(8)), np.full(count, 8))
    found: list[int] = (first + np.flatnonzero(checksums == _stored(data, np.arange(first, until) + 8))).tolist()
    return found


def _sound_records(buffer: bytes, at: int) -> tuple[list[int], list[bytes], int, bool]:
    """The whole records from a place on: their places, their payloads, where they end, and whether no damage is there.

    A length is believed only once its checksum is right: it may claim any number of bytes.
    """
    starts, lengths = [], []
    end = len(buffer)
    unpack = struct.Struct("<Q").unpack_from
    while at + HEADER_BYTES <= end:
        (length,) = unpack(buffer, at)
        if at + FRAME_BYTES + length > end:
            break
        starts.append(at)
        lengths.append(length)
        at += FRAME_BYTES + length
    good = _good(buffer, np.array(starts, dtype=np.int64), np.array(lengths, dtype=np.int64))
    sound = good == len(starts)
    if not sound:
        at = starts[good]
    elif at + HEADER_BYTES <= end:
        sound = is_head(buffer[at : at + HEADER_BYTES])
    starts, lengths = starts[:good], lengths[:good]
    payloads = [
        buffer[start + HEADER_BYTES : start + HEADER_BYTES + length]
        for start, length in zip(starts, lengths, strict=True)
    ]
    return starts, payloads, at, sound


def _good(buffer: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> int:
    """How many records there are before the first whose checksums are wrong."""
    if not len(starts):
        return 0
    data = np.frombuffer(buffer, dtype=np.uint8)
    heads = data[starts + np.arange(8)[:, None]]
    right = masked_columns(heads, np.full(len(starts), 8)) == _stored(data, starts + 8)
    # Records of about one length are checked as a table with a row for each byte.
    for upper in (2 ** np.arange(5, 13)).tolist():
        chosen = np.flatnonzero((lengths <= upper) & ((lengths > upper // 2) | (upper == 32)))
        if not len(chosen):
            continue
        size = int(lengths[chosen].max())
        ends = starts[chosen] + HEADER_BYTES + lengths[chosen]
        place = ends - np.arange(size, 0, -1)[:, None]
        table = np.where(place >= starts[chosen] + HEADER_BYTES, data[np.maximum(place, 0)], 0)
        right[chosen] &= masked_columns(table, lengths[chosen]) == _stored(data, ends)
    for one in np.flatnonzero(right & (lengths > LONGEST_TOGETHER)).tolist():
        right[one] = _is_record(buffer, int(starts[one]), int(lengths[one]))
    wrong = np.flatnonzero(~right)
    return int(wrong[0]) if len(wrong) else len(starts)


def _stored(data: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.uint32]:
    columns = data[places + np.arange(4)[:, None]].astype(np.uint32)
    checksums: NDArray[np.uint32] = columns[0] | columns[1] << 8 | columns[2] << 16 | columns[3] << 24
    return checksums
