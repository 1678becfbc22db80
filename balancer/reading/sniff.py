"""What kind of log bytes are, from how they begin: a table, JSON objects, or lines of text."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from typing import Any, Final, Literal

from balancer.errors import DataError
from balancer.reading.json_objects import is_spread
from balancer.reading.lines import lines
from balancer.reading.raw_bytes import RawBytes
from balancer.reading.records import is_head
from balancer.reading.source import Unread

Kind = Literal["tensorboard", "csv", "jsonl", "log"]
SAMPLE: Final = 200  # lines
DELIMITERS: Final = (",", "\t", ";")
# How files begin that are no logs, and what to do about them.
MAGIC: Final = (
    (b"\x1f\x8b", "is compressed with gzip: unpack it first, such as zcat FILE | balancer diagnose -"),
    (b"BZh", "is compressed with bzip2: unpack it first, such as bzcat FILE | balancer diagnose -"),
    (b"\xfd7zXZ", "is compressed with xz: unpack it first, such as xzcat FILE | balancer diagnose -"),
    (
        b"PK\x03\x04",
        "is a zip archive or a checkpoint, not a log: name the log, or give a checkpoint with --checkpoint",
    ),
    (b"\x80\x02", "is a pickle (a checkpoint?), not a log: name the log, or give a checkpoint with --checkpoint"),
)
MOST_CONTROLS: Final = 0.03  # of the characters of a text; bytes at random have a tenth


def beginning(data: RawBytes) -> list[str]:
    """The first lines."""
    made: list[str] = []
    for _, block in lines([data.head], Unread()):
        made += block
    # The last one is torn where there is more.
    return made[: SAMPLE if data.whole else min(SAMPLE, max(len(made) - 1, 1))]


def kind_of(path: str, data: RawBytes) -> Kind:
    """The kind of log.

    Raises:
        DataError: it is none.
    """
    if is_head(data.head):
        return "tensorboard"
    for magic, what in MAGIC:
        if data.head.startswith(magic):
            raise DataError(f"{path} {what}")
    if is_spread(data):
        return "jsonl"
    first = beginning(data)
    text = "".join(first)
    controls = sum(letter < " " and letter not in "\t\b\f\v\x1b" for letter in text)
    if controls > MOST_CONTROLS * len(text):
        raise DataError(f"{path} holds binary data, no log: name a text log, CSV, JSON lines or event files")
    filled = [line for line in first if line.strip()]
    if not filled:
        if data.whole:
            raise DataError(f"{path} holds no text: name the log of a run, or its folder")
        return "log"
    tried = filled[:20]
    if 2 * sum(parsed(line) is not None for line in tried) >= len(tried):
        return "jsonl"
    return "csv" if delimiter(filled) is not None else "log"


def parsed(line: str) -> dict[str, Any] | None:
    """The JSON object that is a line, or None."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def delimiter(filled: Sequence[str]) -> str | None:
    """What separates the columns of a table with a header; None for lines that are no table."""
    table = [line for line in filled[:22] if not line.startswith("#")]
    for mark in DELIMITERS if table else ():
        header = cells(table[0], mark)
        if len(header) < 2 or any(number(name, mark) is not None for name in header) or not any(header):
            continue
        rows = [cells(line, mark) for line in table[1:]]
        fitting = [row for row in rows if len(row) == len(header) and _figures(row, mark)]
        # The last row may be torn, and a header alone is a table whose run has not begun.
        if 2 * len(fitting) > len(rows) or (len(rows) <= 1 and all(_is_name(name) for name in header)):
            return mark
    return None


def cells(line: str, mark: str) -> list[str]:
    """The cells of one line of a table."""
    if '"' not in line:
        return line.split(mark)
    try:
        return next(csv.reader([line], delimiter=mark))
    except (csv.Error, StopIteration):
        return line.split(mark)


def number(text: str, mark: str) -> float | None:
    """A cell as a number; None where it is none."""
    try:
        return float(text)
    except ValueError:
        pass
    if mark == ";" and "," in text:
        # Where cells are separated by semicolons, the comma may be the decimal one.
        try:
            return float(text.replace(",", "."))
        except ValueError:
            return None
    return None


def _figures(row: Sequence[str], mark: str) -> bool:
    filled = [cell for cell in row if cell.strip()]
    figures = sum(number(cell, mark) is not None for cell in filled)
    return figures > 0 and 2 * figures >= len(filled)


def _is_name(text: str) -> bool:
    return text.strip().replace("/", "_").replace(".", "_").replace("-", "_").replace(" ", "_").isidentifier()
