"""signals.bin: everything that each step of a run measured and did, as rows of numbers; written, read and cut here.

Rows are little-endian float64; `signals.json` says what each column holds (its kind and its name) and which file holds
the rows. What a step did not measure is NaN.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from balancer.contract.knobs import STANDARD_KNOBS
from balancer.contract.signals import GRADIENT_SIGNALS, STANDARD_SIGNALS, Key, Phase, StepRow
from balancer.errors import DataError
from balancer.record import files
from balancer.record.folder import COLUMNS, SIGNALS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BLOCK_ROWS: Final = 4096
MOST_COLUMNS: Final = 10_000
_ROWS_FILE: Final = re.compile(r"signals(\.\d{1,5})?\.bin", re.ASCII)
STEP: Final[Key] = ("clock", "step")
EPOCH: Final[Key] = ("clock", "epoch")


def column(key: Key) -> str:
    """The column of a value, by the source document's names where it has them."""
    kind, name = key
    if kind == "base":
        return f"{name}_base"
    if kind != "g" or name in ("g_loss", *GRADIENT_SIGNALS) or name.endswith("_share"):
        return name
    return f"loss_{name}"


class SignalLog:
    """Appends rows. A value that first comes later in a run gets a column of its own, NaN before."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self._keys: list[Key] = []
        self.file: IO[bytes] | None = None

    def append(self, row: StepRow) -> None:
        """Keep one step's values."""
        if self.file is None:
            name = SIGNALS
            if files.exists(self._folder, COLUMNS):
                self._keys, path = _header(self._folder)
                name = path.name
            else:
                self._keys = list(row)
                _write_header(self._folder, self._keys, name)
            self.file = files.open_to_append(self._folder, name)
        late = [key for key in row if key not in self._keys]
        if late:
            self._widen(late)
        values = [row.get(key, math.nan) for key in self._keys]
        self.file.write(np.asarray(values, dtype="<f8").tobytes())

    def _widen(self, late: list[Key]) -> None:
        """Rewrite the rows with more columns, into a new file that the header then names."""
        assert self.file is not None
        self.file.close()
        old = SignalRows(self._folder)
        self._keys = [*self._keys, *late]
        name = f"signals.{len(self._keys)}.bin"
        wider = [np.hstack([table, np.full((len(table), len(late)), math.nan)]) for table in old.tables()]
        files.replace(self._folder, name, b"".join(table.astype("<f8").tobytes() for table in wider))
        _write_header(self._folder, self._keys, name)
        files.delete(self._folder, old.path.name)
        self.file = files.open_to_append(self._folder, name)


class SignalRows:
    """The rows of a run, a few thousand at a time however long it was; they can be gone through more than once.

    Attributes:
        keys: what each column holds, as (kind, name), in order.
        columns: the names of the columns.
        phases: the signals among them, by name, each with the phase of a step in which it was measured.
        path: the file of the rows.

    Raises:
        DataError: the folder keeps no signals, or they cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder: Final = Path(folder)
        self.keys, self.path = _header(self.folder)
        self.columns: Final = [column(key) for key in self.keys]
        self.phases: Final[dict[str, Phase]] = {
            name: kind for kind, name in self.keys if kind == "d" or kind == "g" or kind == "plugin"
        }
        try:
            with files.open_to_read(self.folder, self.path.name) as file:
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}: the run's signals are gone") from None
        # A run that was killed may have left the beginning of a row.
        self._count, self.torn = divmod(size, 8 * len(self.keys))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, float]]:
        return self.rows()

    def tables(self, progress: Callable[[int], None] | None = None) -> Iterator[Floats]:
        """Whole rows in order, each table of shape (rows, columns); `progress` is given the bytes of each.

        Raises:
            OSError: the file cannot be read.
        """
        width = len(self.keys)
        with files.open_to_read(self.folder, self.path.name) as file:
            for first in range(0, self._count, BLOCK_ROWS):
                rows = min(BLOCK_ROWS, self._count - first)
                table = np.fromfile(file, dtype="<f8", count=rows * width).reshape(-1, width)
                if progress is not None:
                    progress(table.nbytes)
                yield table

    def rows(self, names: Collection[str] | None = None) -> Iterator[dict[str, float]]:
        """What each step measured, by the signals' own names, with its `step` and `epoch`, and what schedules gave
        `lr_d` and `lr_g`; of these names only, where some are given. A value that was not measured is left out.
        """
        chosen = [
            (name, place)
            for place, (kind, name) in enumerate(self.keys)
            if kind == "clock" or (kind in ("d", "g", "plugin", "base") and (names is None or name in names))
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


def cut_signals(folder: Path, step: int) -> None:
    """Forget the rows of `step` and later."""
    if not files.exists(folder, COLUMNS):
        return
    keys, path = _header(folder)
    if not files.exists(folder, path.name):
        return
    rows = SignalRows(folder)
    # Only whole rows: one that a kill or a full disk tore would shift all that follow.
    keep = sum(int((table[:, keys.index(STEP)] < step).sum()) for table in rows.tables())
    files.cut(folder, path.name, keep * 8 * len(keys))


def _header(folder: Path) -> tuple[list[Key], Path]:
    """What the columns of a run's signals hold, and the file of its rows."""
    path = folder / COLUMNS
    try:
        header: Any = json.loads(files.read(folder, COLUMNS))
        columns, name = header["columns"], header["file"]
        sound = isinstance(columns, list) and all(isinstance(column, str) for column in columns)
        if not sound or not 0 < len(columns) <= MOST_COLUMNS or len(set(columns)) < len(columns):
            raise ValueError
        if not isinstance(name, str) or _ROWS_FILE.fullmatch(name) is None:
            raise ValueError
        keys = [_key(column) for column in columns]
        if "kinds" in header:
            keys = [(kind, _name(kind, column)) for kind, column in zip(header["kinds"], columns, strict=True)]
        if STEP not in keys:
            raise ValueError
    except FileNotFoundError:
        raise DataError(f"{folder} keeps no signals: {COLUMNS} is missing") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(f"{path} does not name the columns of a run's signals: it is damaged") from None
    return keys, folder / name


def _write_header(folder: Path, keys: list[Key], name: str) -> None:
    header = {
        "dtype": "<f8",
        "file": name,
        "columns": [column(key) for key in keys],
        "kinds": [kind for kind, _ in keys],
    }
    files.replace(folder, COLUMNS, json.dumps(header, indent=1).encode())


def _name(kind: str, column: str) -> str:
    if kind == "g":
        return column.removeprefix("loss_")
    return column.removesuffix("_base") if kind == "base" else column


def _key(column: str) -> Key:
    """What a column holds in a run whose header does not say kinds, as before 0.2."""
    if column in ("step", "epoch"):
        return "clock", column
    if column == "adv_effective":
        return "derived", column
    if column in STANDARD_KNOBS or column.startswith("lambda_"):
        return "knob", column
    if column.startswith("loss_") or column.endswith("_share"):
        return "g", column.removeprefix("loss_")
    # What a script or a plugin brought besides was there when D's laws acted.
    return STANDARD_SIGNALS[column].phase if column in STANDARD_SIGNALS else "d", column
