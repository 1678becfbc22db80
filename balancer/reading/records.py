"""The records of a TensorBoard event file: length, payload and their checksums, checked many at a time."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.reading.raw_bytes import BLOCK_BYTES
from balancer.reading.source import OnBytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Checksums = NDArray[np.uint32]

LONGEST_RECORD: Final = 1 << 24  # a longer record holds pictures, no figures
LONGEST_CHECKED: Final = 4096  # payloads of up to so many bytes, as scalars have, are checked
HEADER_BYTES: Final = 12  # bytes of length and its checksum
FRAME_BYTES: Final = 16  # a record's bytes besides its payload


class Records:
    """Payloads of one file's records, up to its end or its first damage, without those too long to hold figures.

    Attributes:
        damage: where it is damaged (byte offset) and how; None where it is whole, as far as it was read.
    """

    def __init__(self, path: Path, progress: OnBytes | None = None) -> None:
        self._path: Final = path
        self._progress: Final = progress
        self.damage: tuple[int, str] | None = None

    def blocks(self) -> Iterator[list[bytes]]:
        """Payloads, some thousands at a time.

        Raises:
            OSError: the file cannot be read.
        """
        with self._path.open("rb") as file:
            rest, offset, leap = b"", 0, 0
            while True:
                data = file.read(BLOCK_BYTES)
                if self._progress is not None:
                    self._progress(len(data))
                if leap:
                    # The middle of a record that is skipped; seeking would not notice a file that ends in it.
                    passed = min(leap, len(data))
                    leap -= passed
                    offset += passed
                    data = data[passed:]
                    if leap and passed:
                        continue
                buffer = rest + data
                if not data:
                    if buffer or leap:
                        self.damage = offset, "a record cut short"
                    return
                payloads, used = self._whole(buffer, offset)
                if payloads:
                    yield payloads
                if self.damage is not None:
                    return
                offset += used
                rest = buffer[used:]
                if len(rest) >= HEADER_BYTES and (length := _length(rest)) > LONGEST_RECORD:
                    leap = FRAME_BYTES + length - len(rest)
                    offset += len(rest)
                    rest = b""

    def _whole(self, buffer: bytes, offset: int) -> tuple[list[bytes], int]:
        """The payloads of the whole records in a buffer, and the bytes that they take."""
        starts, lengths = [], []
        at, end = 0, len(buffer)
        unpack = struct.Struct("<Q").unpack_from
        while at + HEADER_BYTES <= end:
            (length,) = unpack(buffer, at)
            if at + FRAME_BYTES + length > end:
                break
            starts.append(at)
            lengths.append(length)
            at += FRAME_BYTES + length
        good = _good(np.frombuffer(buffer, dtype=np.uint8), np.array(starts, dtype=np.int64), np.array(lengths))
        if good < len(starts):
            self.damage = offset + starts[good], "a checksum that is wrong"
        # A length is believed only once its checksum is right: it may claim any number of bytes.
        elif at + HEADER_BYTES <= end and not is_head(buffer[at : at + HEADER_BYTES]):
            self.damage = offset + at, "a checksum that is wrong"
        payloads = [
            buffer[start + HEADER_BYTES : start + HEADER_BYTES + length]
            for start, length in zip(starts[:good], lengths[:good], strict=True)
        ]
        return payloads, at


def is_head(data: bytes) -> bool:
    """Whether bytes begin as a record does: a length, and its checksum."""
    if len(data) < HEADER_BYTES:
        return False
    matrix = np.frombuffer(data, dtype=np.uint8, count=8).reshape(8, 1)
    return int(_masked(_crc(matrix, np.array([8])))[0]) == int.from_bytes(data[8:HEADER_BYTES], "little")


def _length(head: bytes) -> int:
    return int.from_bytes(head[:8], "little")


def _good(data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> int:
    """How many records there are before the first whose checksums are wrong."""
    if not len(starts):
        return 0
    heads = data[starts + np.arange(8)[:, None]]
    right = _masked(_crc(heads, np.full(len(starts), 8))) == _stored(data, starts + 8)
    # Records of about one length are checked as a table with a row for each byte.
    for upper in (2 ** np.arange(5, 13)).tolist():
        chosen = np.flatnonzero((lengths <= upper) & ((lengths > upper // 2) | (upper == 32)))
        if not len(chosen):
            continue
        size = int(lengths[chosen].max())
        ends = starts[chosen] + HEADER_BYTES + lengths[chosen]
        place = ends - np.arange(size, 0, -1)[:, None]
        table = np.where(place >= starts[chosen] + HEADER_BYTES, data[np.maximum(place, 0)], 0)
        right[chosen] &= _masked(_crc(table, lengths[chosen])) == _stored(data, ends)
    wrong = np.flatnonzero(~right)
    return int(wrong[0]) if len(wrong) else len(starts)


def _stored(data: NDArray[np.uint8], places: NDArray[np.int64]) -> Checksums:
    columns = data[places + np.arange(4)[:, None]].astype(np.uint32)
    checksums: Checksums = columns[0] | columns[1] << 8 | columns[2] << 16 | columns[3] << 24
    return checksums


def _crc(table: NDArray[np.uint8], lengths: NDArray[np.int64]) -> Checksums:
    """CRC-32C of each column, whose last `lengths` bytes count; those before are 0."""
    checksums = np.zeros(table.shape[1], dtype=np.uint32)
    for row in table:
        checksums = _TABLE[(checksums ^ row) & 0xFF] ^ (checksums >> 8)
    # The checksum is linear: what starting from ones adds to it depends on the length alone.
    checksums ^= _ONES[lengths] ^ np.uint32(0xFFFFFFFF)
    return checksums


def _masked(checksums: Checksums) -> Checksums:
    # As TensorFlow masks them, so that a checksum of data with checksums in it is sound.
    masked: Checksums = (checksums >> 15 | checksums << 17) + np.uint32(0xA282EAD8)  # type: ignore[assignment]
    return masked


def _byte_table() -> Checksums:
    table: Checksums = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.bitwise_xor(table >> 1, np.uint32(0x82F63B78) * (table & np.uint32(1)), dtype=np.uint32)
    return table


def _from_ones(table: Sequence[int]) -> Checksums:
    """What is left of a start from ones after 0, 1, 2, … bytes of 0."""
    checksums = [0xFFFFFFFF]
    for _ in range(LONGEST_CHECKED):
        checksums.append(table[checksums[-1] & 0xFF] ^ (checksums[-1] >> 8))
    return np.array(checksums, dtype=np.uint32)


_TABLE: Final = _byte_table()
_ONES: Final = _from_ones(_TABLE.tolist())
