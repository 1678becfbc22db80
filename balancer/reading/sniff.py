"""What kind of log bytes are, from how they begin: a table, JSON objects, or lines of text."""

from __future__ import annotations

from typing import Final, Literal

from balancer.errors import DataError
from balancer.reading.csv_tables import delimiter
from balancer.reading.json_objects import is_spread, object_on
from balancer.reading.lines import lines
from balancer.reading.raw_bytes import LogBytes
from balancer.reading.source import Unread
from balancer.record.event_records import is_head

LogKind = Literal["tensorboard", "csv", "jsonl", "log"]
SAMPLE_LINES: Final = 200  # lines
# How files that are not logs begin, and what to do about them.
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


def beginning(data: LogBytes) -> list[str]:
    """The first lines."""
    first: list[str] = []
    for _, block in lines([data.head], Unread()):
        first += block
    # The last one is torn where there is more.
    return first[: SAMPLE_LINES if data.whole else min(SAMPLE_LINES, max(len(first) - 1, 1))]


def kind_of(path: str, data: LogBytes) -> LogKind:
    """The kind of log.

    Raises:
        DataError: it is not a log.
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
        raise DataError(f"{path} holds binary data, not a log: name a text log, CSV, JSON lines or event files")
    filled = [line for line in first if line.strip()]
    if not filled:
        if data.whole:
            raise DataError(f"{path} holds no text: name the log of a run, or its folder")
        return "log"
    tried = filled[:20]
    if 2 * sum(object_on(line) is not None for line in tried) >= len(tried):
        return "jsonl"
    return "csv" if delimiter(filled) is not None else "log"
