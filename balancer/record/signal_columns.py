"""signals.json: what each column of a run's signals holds, and which file holds the rows; written and read here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from balancer.contract.knobs import STANDARD_KNOBS
from balancer.contract.signals import GRADIENT_SIGNALS, STANDARD_SIGNALS, Key
from balancer.errors import DataError
from balancer.record import files
from balancer.record.folder import COLUMNS
from balancer.record.sealed import SEAL, holds, sealed

MOST_COLUMNS: Final = 10_000
MOST_HEADER_BYTES: Final = 4 * 2**20
# Of a row that begins with its checksum; without a version rows have none.
VERSION: Final = 2
CHECKSUM: Final = "row_crc32"
_ROWS_FILE: Final = re.compile(r"signals(\.\d{1,5})?\.bin", re.ASCII)
STEP: Final[Key] = ("clock", "step")
EPOCH: Final[Key] = ("clock", "epoch")


class Columns(NamedTuple):
    """What the values of a row are, in order, in which file the rows are, and whether each begins with its checksum."""

    keys: list[Key]
    file: str
    checked: bool = True

    @property
    def row_bytes(self) -> int:
        """How long a row is."""
        return 8 * (len(self.keys) + self.checked)


def column(key: Key) -> str:
    """The column of a value, by the source document's names where it has them."""
    kind, name = key
    if kind == "base":
        return f"{name}_base"
    if kind != "g" or name in ("g_loss", *GRADIENT_SIGNALS) or name.endswith("_share"):
        return name
    return f"loss_{name}"


def read_columns(folder: Path) -> Columns:
    """What the columns of a run's signals hold, and the file of its rows.

    Raises:
        DataError: the run keeps none, or they cannot be read.
    """
    path = folder / COLUMNS
    try:
        text = files.read(folder, COLUMNS, MOST_HEADER_BYTES)
        header: Any = json.loads(text)
        columns, name = header["columns"], header["file"]
        checked = "version" in header or SEAL in header or CHECKSUM in columns
        # Of what a newer version wrote, nothing is known.
        if checked and (header["version"] != VERSION or not holds(text)):
            raise ValueError
        sound = isinstance(columns, list) and all(isinstance(column, str) for column in columns)
        if not sound or not 0 < len(columns) <= MOST_COLUMNS or len(set(columns)) < len(columns):
            raise ValueError
        if not isinstance(name, str) or _ROWS_FILE.fullmatch(name) is None:
            raise ValueError
        keys = [_key(column) for column in columns]
        if "kinds" in header:
            keys = [(kind, _name(kind, column)) for kind, column in zip(header["kinds"], columns, strict=True)]
        if STEP not in keys or (checked and columns[0] != CHECKSUM):
            raise ValueError
    except FileNotFoundError:
        raise DataError(f"{folder} keeps no signals: {COLUMNS} is missing") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(
            f"{path} does not name the columns of a run's signals: it is damaged, or a newer version wrote it"
        ) from None
    return Columns(keys[checked:], name, checked)


def write_columns(folder: Path, columns: Columns) -> None:
    """Say what the columns are."""
    header = {
        "version": VERSION,
        "dtype": "<f8",
        "file": columns.file,
        "columns": [CHECKSUM, *map(column, columns.keys)],
        "kinds": ["checksum", *(kind for kind, _ in columns.keys)],
    }
    files.replace(folder, COLUMNS, sealed(header, indent=1))


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
