"""signals.bin: everything that each step of a run measured and did, as rows of numbers; written, read and cut here.

Rows are little-endian float64; `signals.json` says what each column holds (its kind and its name) and which file holds
the rows. What a step did not measure is NaN. The first value of a row is the CRC-32 of the bytes of the others.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import numpy as np

from balancer.contract.signals import Key, Phase, StepRow
from balancer.errors import DataError
from balancer.record import files
from balancer.record.damage import Damage, between
from balancer.record.folder import COLUMNS, SIGNALS
from balancer.record.signal_columns import EPOCH, STEP, Columns, column, read_columns, write_columns

__all__ = ["EPOCH", "STEP", "SignalLog", "SignalRows", "column", "cut_signals", "read_signals"]

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BLOCK_ROWS: Final = 4096
# More than a run has, and more damage than is looked for: somebody else's file may be of any size.
MOST_ROWS: Final = 100_000_000
MOST_DAMAGED: Final = 100_000


class SignalLog:
    """Appends rows. A value that first comes later in a run gets a column of its own, NaN before."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self._keys: list[Key] = []
        self.file: IO[bytes] | None = None

    def append(self, row: StepRow) -> None:
        """Keep one step's values."""
        checked = True
        if self.file is None:
            if files.exists(self._folder, COLUMNS):
                self._keys, name, checked = read_columns(self._folder)
            else:
                self._keys, name = list(row), SIGNALS
                write_columns(self._folder, Columns(self._keys, name))
            self.file = files.open_to_append(self._folder, name)
        late = [key for key in row if key not in self._keys]
        if late or not checked:
            self._widen(late)
        values = np.asarray([row.get(key, math.nan) for key in self._keys], dtype="<f8").tobytes()
        self.file.write(struct.pack("<d", zlib.crc32(values)) + values)

    def _widen(self, late: list[Key]) -> None:
        """Rewrite the rows with more columns, and with checksums, into a new file that the header then names."""
        assert self.file is not None
        self.file.close()
        old = SignalRows(self._folder)
        self._keys = [*self._keys, *late]
        # One more than before 0.2 had in a file of that name.
        columns = Columns(self._keys, f"signals.{len(self._keys) + 1}.bin")
        with files.rewritten(self._folder, columns.file) as wider:
            for table, sound in old.blocks():
                filled = np.hstack([table, np.full((len(table), len(late)), math.nan)]).astype("<f8")
                checks = [zlib.crc32(row) for row in filled]
                # What was damaged stays so.
                wider.write(np.hstack([np.where(sound, checks, math.nan)[:, None], filled]).astype("<f8").tobytes())
        write_columns(self._folder, columns)
        files.delete(self._folder, old.path.name)
        self.file = files.open_to_append(self._folder, columns.file)


class SignalRows:
    """The rows of a run, a few thousand at a time however long it was; they can be gone through more than once.

    Damaged rows are left out, and a warning names their steps.

    Args:
        folder: the run directory.
        first: how many rows of the file are passed over.

    Attributes:
        keys: what each column holds, as (kind, name), in order.
        columns: the names of the columns.
        phases: the signals among them, by name, each with the phase of a step in which it was measured.
        path: the file of the rows.
        count: how many rows there are, damaged ones among them.

    Raises:
        DataError: the folder keeps no signals, or they cannot be read.
    """

    def __init__(self, folder: str | Path, first: int = 0) -> None:
        self.folder: Final = Path(folder)
        self._first: Final = first
        self._columns: Final = read_columns(self.folder)
        self.keys: Final = self._columns.keys
        self.path: Final = self.folder / self._columns.file
        self.columns: Final = [column(key) for key in self.keys]
        self.phases: Final[dict[str, Phase]] = {
            name: kind for kind, name in self.keys if kind == "d" or kind == "g" or kind == "plugin" or kind == "val"
        }
        try:
            with files.open_to_read(self.folder, self.path.name) as file:
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}: the run's signals are gone") from None
        # A run that was killed may have left the beginning of a row.
        self.count, self.torn = divmod(size, self._columns.row_bytes)
        self.count = max(self.count - first, 0)
        if self.count > MOST_ROWS:
            raise DataError(f"{self.path} holds {self.count:,} rows, more than a run has ({MOST_ROWS:,})")

    def __len__(self) -> int:
        return self.count - len(self._scanned[0])

    def __iter__(self) -> Iterator[dict[str, float]]:
        return self.rows()

    def tables(self, progress: Callable[[int], None] | None = None) -> Iterator[Floats]:
        """Whole rows in order, each table of shape (rows, columns); `progress` is given the bytes of each.

        Raises:
            DataError: more of it is damaged than is looked for.
            OSError: the file cannot be read.
        """
        self.damage.warn()
        for table, sound in self.blocks(progress):
            yield table if sound.all() else table[sound]

    def blocks(self, progress: Callable[[int], None] | None = None) -> Iterator[tuple[Floats, NDArray[np.bool_]]]:
        """The same with damaged rows among them, and which rows are sound."""
        damaged, _ = self._scanned
        for first, _, table in self._read(progress):
            sound = np.ones(len(table), dtype=np.bool_)
            here = damaged[slice(*np.searchsorted(damaged, [first, first + len(table)]))]
            sound[here - first] = False
            yield table, sound

    @property
    def damage(self) -> Damage:
        """What is damaged of it."""
        return self._scanned[1]

    @cached_property
    def _scanned(self) -> tuple[NDArray[np.int64], Damage]:
        """The places of damaged rows, from 0, and what to say of them."""
        places: list[int] = []
        damage, before, waiting = Damage(self.path, "row"), math.nan, 0
        for first, checks, table in self._read() if self._columns.checked else ():
            wrong = checks != [zlib.crc32(row) for row in table]
            steps = table[:, self.keys.index(STEP)]
            if waiting or wrong.any():
                for place, step in enumerate(steps.tolist()):
                    if wrong[place]:
                        places.append(first + place)
                        waiting += 1
                        continue
                    if waiting:
                        damage.note(_steps(before, step, waiting), waiting)
                    before, waiting = step, 0
            else:
                before = float(steps[-1])
            if len(places) > MOST_DAMAGED:
                raise DataError(f"{self.path}: more than {MOST_DAMAGED:,} rows are damaged")
        if waiting:
            damage.note(_steps(before, math.nan, waiting), waiting)
        return np.array(places, dtype=np.int64), damage

    def _read(self, progress: Callable[[int], None] | None = None) -> Iterator[tuple[int, Floats, Floats]]:
        """Blocks of rows: the number of the first, their checksums (none where rows have none), and their values."""
        width, checked = self._columns.row_bytes // 8, self._columns.checked
        with files.open_to_read(self.folder, self.path.name) as file:
            file.seek(self._first * self._columns.row_bytes)
            for first in range(0, self.count, BLOCK_ROWS):
                rows = min(BLOCK_ROWS, self.count - first)
                table = np.fromfile(file, dtype="<f8", count=rows * width).reshape(-1, width)
                if progress is not None:
                    progress(table.nbytes)
                yield first, table[:, 0], table[:, checked:]

    def rows(self, names: Collection[str] | None = None) -> Iterator[dict[str, float]]:
        """What each step measured, by the signals' own names, with its `step` and `epoch`, and what schedules gave
        `lr_d` and `lr_g`; of these names only, where some are given. A value that was not measured is left out.
        """
        chosen = [
            (name, place)
            for place, (kind, name) in enumerate(self.keys)
            if kind == "clock" or (kind in ("d", "g", "plugin", "val", "base") and (names is None or name in names))
        ]
        for table in self.tables():
            for row in table.tolist():
                # What is not equal to itself is NaN.
                yield {name: value for name, place in chosen if (value := row[place]) == value}

    def column(self, name: str) -> Floats | None:
        """All values of one column of the file, of shape (steps,), or None where there is none of that name."""
        if name not in self.columns:
            return None
        place = self.columns.index(name)
        return np.concatenate([np.empty(0), *(table[:, place].copy() for table in self.tables())])

    def at(self, step: int) -> StepRow | None:
        """Everything of one step; None where it has no row."""
        place = self.keys.index(STEP)
        for table in self.tables():
            found = np.flatnonzero(table[:, place] == step)
            if len(found):
                values = table[found[0]].tolist()
                return {key: value for key, value in zip(self.keys, values, strict=True) if value == value}
        return None


def read_signals(folder: str | Path) -> dict[str, Floats]:
    """The signals of every step of a run, by column, each of shape (steps,).

    Raises:
        FileNotFoundError: the run kept none.
        DataError: they cannot be read.
    """
    if not files.exists(Path(folder), COLUMNS):
        raise FileNotFoundError(f"{Path(folder) / COLUMNS} is missing: the run kept no signals")
    rows = SignalRows(folder)
    table = np.concatenate([np.empty((0, len(rows.keys))), *rows.tables()])
    return {name: table[:, place] for place, name in enumerate(rows.columns)}


def cut_signals(folder: Path, step: int) -> Damage:
    """Forget the rows of `step` and later; a damaged one that no sound one follows goes too.

    Raises:
        DataError: they cannot be read.
    """
    if not files.exists(folder, COLUMNS):
        return Damage(SIGNALS, "row")
    columns = read_columns(folder)
    if not files.exists(folder, columns.file):
        return Damage(SIGNALS, "row")
    rows = SignalRows(folder)
    place, keep, seen = rows.keys.index(STEP), 0, 0
    for table, sound in rows.blocks():
        before = np.flatnonzero(sound & (table[:, place] < step))
        # Rows without checksums are counted: a step in them may be anything.
        keep = (seen + int(before[-1]) + 1 if columns.checked else keep + len(before)) if len(before) else keep
        seen += len(table)
    # Only whole rows: one that a kill or a full disk tore would shift all that follow.
    files.cut(folder, columns.file, keep * columns.row_bytes)
    return rows.damage


def _steps(before: float, after: float, count: int) -> str:
    """The steps of damaged rows that lie between those of two others; NaN where there is no other."""
    if after - before == count + 1:
        return f"step {before + 1:.0f}" if count == 1 else f"steps {before + 1:.0f} to {after - 1:.0f}"
    return between(*(None if math.isnan(step) else step for step in (before, after)))
