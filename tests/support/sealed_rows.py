"""Rows and lines of a run that a test changes, with checksums that are right again: not damaged, but odd."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancer.record.signal_columns import read_columns


def table_of(folder: Path) -> NDArray[np.float64]:
    """The rows of `signals.bin` without their checksums."""
    columns = read_columns(folder)
    return np.fromfile(folder / columns.file, dtype="<f8").reshape(-1, 1 + len(columns.keys))[:, 1:].copy()


def put_table(folder: Path, table: NDArray[np.float64]) -> None:
    """Make these the rows of `signals.bin`."""
    checks = np.array([zlib.crc32(row.astype("<f8").tobytes()) for row in table], dtype="<f8")
    np.column_stack([checks, table]).astype("<f8").tofile(folder / read_columns(folder).file)


def unsealed(line: str | bytes) -> dict[str, Any]:
    """A line of `decisions.jsonl` or `compositions.jsonl` as before 0.2: without its checksum."""
    row: dict[str, Any] = json.loads(line)
    assert row.pop("crc32") is not None
    return row
