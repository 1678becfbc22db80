"""CRC-32C, masked as TensorFlow's records have it: of many short pieces at once, or of one of any length."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Checksums = NDArray[np.uint32]

ONES: Final = 0xFFFFFFFF
# One long piece is taken as columns side by side, each of at least 2**5 bytes and at most 2**12.
_NARROWEST: Final = 5
_WIDEST: Final = 12


def masked_columns(table: Iterable[Bytes], lengths: NDArray[np.int64]) -> Checksums:
    """Of each column of a table given row by row, whose last `lengths` bytes count; those before are 0."""
    registers = _registers(table, len(lengths))
    # The checksum is linear: what starting from ones adds to it depends on the length alone.
    distinct, places = np.unique(lengths, return_inverse=True)
    ones = np.array([_after_zeros(ONES, int(length)) for length in distinct], dtype=np.uint32)
    return _masked(registers ^ ones[places] ^ np.uint32(ONES))


def masked(data: bytes) -> int:
    """Of one piece."""
    power = min(max(len(data).bit_length() // 2, _NARROWEST), _WIDEST)
    # Zeros in front change nothing where the register is 0.
    padded = b"\0" * (-len(data) % 2**power) + data
    columns = np.frombuffer(padded, dtype=np.uint8).reshape(-1, 2**power)
    register = 0
    for one in _registers(columns.T, len(columns)).tolist():
        register = _times(_zeros(power), register) ^ one
    final = register ^ _after_zeros(ONES, len(data)) ^ ONES
    return int(_masked(np.array([final], dtype=np.uint32))[0])


def _registers(rows: Iterable[Bytes], count: int) -> Checksums:
    """The register of each column, from 0."""
    registers = np.zeros(count, dtype=np.uint32)
    for row in rows:
        registers = _TABLE[(registers ^ row) & 0xFF] ^ (registers >> 8)
    return registers


def _masked(checksums: Checksums) -> Checksums:
    # So that a checksum of data with checksums in it is sound.
    turned: Checksums = (checksums >> 15 | checksums << 17) + np.uint32(0xA282EAD8)  # type: ignore[assignment]
    return turned


@functools.lru_cache(4096)
def _after_zeros(register: int, count: int) -> int:
    """What is left of a register after `count` bytes of 0."""
    for power in range(count.bit_length()):
        if count >> power & 1:
            register = _times(_zeros(power), register)
    return register


@functools.cache
def _zeros(power: int) -> tuple[int, ...]:
    """What 2**power bytes of 0 make of each bit of a register."""
    if power == 0:
        table = _TABLE.tolist()
        return tuple(table[1 << bit & 0xFF] ^ (1 << bit >> 8) for bit in range(32))
    half = _zeros(power - 1)
    return tuple(_times(half, column) for column in half)


def _times(columns: tuple[int, ...], register: int) -> int:
    result = 0
    for column in columns:
        if register & 1:
            result ^= column
        register >>= 1
    return result


def _byte_table() -> Checksums:
    table: Checksums = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.bitwise_xor(table >> 1, np.uint32(0x82F63B78) * (table & np.uint32(1)), dtype=np.uint32)
    return table


_TABLE: Final = _byte_table()
