"""The signals of every step of a run, compactly: rows of numbers in one file, the names of their columns in another."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from balancer.record.files import write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIGNALS: Final = "signals.bin"
COLUMNS: Final = "signals.json"


class SignalLog:
    """Appends rows of little-endian float64; `signals.json` names the columns and the file that holds the rows.

    A value that first comes later in a run gets a column of its own, NaN before.
    """

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self._columns: list[str] = []
        self.file: IO[bytes] | None = None

    def append(self, row: Mapping[str, float]) -> None:
        """Keep one step's values by column; `step` is one of them."""
        if self.file is None:
            header = _header(self._folder)
            self._columns = list(row) if header is None else header["columns"]
            if header is None:
                _write_header(self._folder, self._columns, SIGNALS)
            self.file = (self._folder / (SIGNALS if header is None else header["file"])).open("ab")
        late = [name for name in row if name not in self._columns]
        if late:
            self._widen(late)
        values = [row.get(name, math.nan) for name in self._columns]
        self.file.write(np.asarray(values, dtype="<f8").tobytes())

    def _widen(self, late: list[str]) -> None:
        """Rewrite the rows with more columns, into a new file that the header then names."""
        assert self.file is not None
        self.file.close()
        old = read_signals(self._folder)
        self._columns = [*self._columns, *late]
        steps = len(old["step"])
        table = np.column_stack([old.get(name, np.full(steps, math.nan)) for name in self._columns])
        before = _header(self._folder)
        name = f"signals.{len(self._columns)}.bin"
        write_atomically(self._folder / name, table.astype("<f8").tobytes())
        _write_header(self._folder, self._columns, name)
        if before is not None:
            (self._folder / before["file"]).unlink()
        self.file = (self._folder / name).open("ab")


def read_signals(folder: str | Path) -> dict[str, NDArray[np.float64]]:
    """The signals of every step of a run, by column, each of shape (steps,).

    Raises:
        FileNotFoundError: the run kept none.
    """
    folder = Path(folder)
    header = _header(folder)
    if header is None:
        raise FileNotFoundError(f"{folder / COLUMNS} is missing: the run kept no signals")
    names = header["columns"]
    raw = np.fromfile(folder / header["file"], dtype="<f8")
    # A run that was killed may have left the beginning of a row.
    table = raw[: len(raw) // len(names) * len(names)].reshape(-1, len(names))
    return {name: table[:, index] for index, name in enumerate(names)}


def cut_signals(folder: Path, step: int) -> None:
    """Forget the rows of `step` and later."""
    header = _header(folder)
    if header is None or not (folder / header["file"]).is_file():
        return
    width = 8 * len(header["columns"])
    # Only whole rows: one that a kill or a full disk tore would shift all that follow.
    keep = int((read_signals(folder)["step"] < step).sum())
    rows = folder / header["file"]
    if rows.stat().st_size > keep * width:
        os.truncate(rows, keep * width)


def _header(folder: Path) -> dict[str, Any] | None:
    path = folder / COLUMNS
    if not path.is_file():
        return None
    header: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return header


def _write_header(folder: Path, columns: list[str], name: str) -> None:
    text = json.dumps({"dtype": "<f8", "file": name, "columns": columns}, indent=1)
    write_atomically(folder / COLUMNS, text.encode())
