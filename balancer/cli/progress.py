"""A bar on the terminal while a large log is read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

SHOW_PROGRESS_FROM: Final = 16 * 2**20  # bytes


@contextmanager
def progress_of(path: str) -> Iterator[Callable[[int], Any] | None]:
    """A bar on a terminal for what takes long; nothing otherwise."""
    size = _size(Path(path)) if path != "-" else 0
    if size < SHOW_PROGRESS_FROM or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(24), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=size)
        yield lambda count: bar.advance(task, count)


def _size(path: Path) -> int:
    try:
        if path.is_dir():
            return sum(file.stat().st_size for file in path.rglob("*") if file.name.startswith(("events.", "signals.")))
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
