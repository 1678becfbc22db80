"""How far the rows of a run were read that is still written, and whether what was read is as it was."""

from __future__ import annotations

import os
from typing import Final

from balancer.errors import DataError
from balancer.record import files
from balancer.record.folder import COMPOSITIONS, CONFIG
from balancer.record.signal_columns import read_columns
from balancer.record.signals import SignalRows


class RunPlace:
    """The place in a run's `signals.bin` up to which it was read.

    Attributes:
        rows: how many rows were read, damaged ones included.
    """

    def __init__(self, recorded: SignalRows) -> None:
        self._first: Final = recorded
        self._folder: Final = recorded.folder
        self._columns: Final = read_columns(recorded.folder)
        self._texts: Final = self._of_texts()
        self._last = b""
        self._damaged = False
        self.rows = 0

    def reached(self, recorded: SignalRows) -> None:
        """Take rows that were read, which follow those before."""
        self.rows += recorded.count
        # Found later, it would be told in other words than of a run that is read at once.
        self._damaged = recorded is not self._first and recorded.damage.count > 0
        self._last = self._row()

    @property
    def is_void(self) -> bool:
        """Whether the rows were cut or got other columns, or the settings are others."""
        try:
            return (
                self._damaged
                or read_columns(self._folder) != self._columns
                or self._of_texts() != self._texts
                or (self._row() != self._last)
            )
        except (OSError, DataError):
            return True

    @property
    def grew(self) -> bool:
        """Whether there are further whole rows."""
        with files.open_to_read(self._folder, self._columns.file) as file:
            return os.fstat(file.fileno()).st_size >= (self.rows + 1) * self._columns.row_bytes

    def _row(self) -> bytes:
        """The last row that was read, as it stands there now."""
        if not self.rows:
            return b""
        with files.open_to_read(self._folder, self._columns.file) as file:
            file.seek((self.rows - 1) * self._columns.row_bytes)
            return file.read(self._columns.row_bytes)

    def _of_texts(self) -> list[tuple[int, int]]:
        """Size and time of what else says how to read the rows."""
        found = [self._folder / name for name in (CONFIG, COMPOSITIONS)]
        states = [path.stat() for path in found if path.is_file()]
        return [(state.st_size, state.st_mtime_ns) for state in states]
