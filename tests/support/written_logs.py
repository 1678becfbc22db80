"""A log that a test writes out itself, read."""

from __future__ import annotations

from pathlib import Path

from balancer.reading.history import History
from balancer.reading.opening import open_source, read
from balancer.reading.source import Source


def reading(path: Path, text: str | bytes, **options: object) -> tuple[History, Source]:
    """Write the text to `path` and read it: its history, and what was found out about the file."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    reader = open_source(str(path), **options)  # type: ignore[arg-type]
    return read(reader), reader.source
