"""Logs that grow, each kind in its way: lines, records, or files that are written anew as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from balancer.errors import ConfigError, DataError
from balancer.reading.csv_tables import delimiter
from balancer.reading.growing import Following, GrowingBytes, source_so_far
from balancer.reading.history import History
from balancer.reading.opening import (
    event_files,
    filled,
    open_log,
    open_source,
)
from balancer.reading.read_events import EventReader
from balancer.reading.read_run import RunReader
from balancer.reading.source import OnBytes, Reader, Source

SETTLED_BYTES: Final = 1 << 20  # of event files, after which tags mean what they mean
REOPENED: Final = 1.1  # times as long as when it was opened: then a log is opened anew, until everything is settled
FEW_BYTES: Final = 4096  # of which nobody can say yet that they are no log
# What was read: a history of its own, and its source.
Read = tuple[History, Source]


class NotYet(DataError):
    """What is there makes no log yet."""


class Trail(Protocol):
    """A log that grows."""

    def grew(self) -> bool:
        """Look whether there is something new.

        Raises:
            ConfigError, DataError: it is no log any more.
        """
        ...

    def so_far(self) -> Read:
        """Read what is new; the history and the source as if the log ended there.

        Raises:
            NotYet: what is there does not make a log yet.
            ConfigError, DataError: it will be none.
        """
        ...

    def end(self) -> Read:
        """Read to the end, which is final now.

        Raises:
            ConfigError, DataError: as of a log that is read once.
        """
        ...

    def outgrew(self, times: float) -> bool:
        """Whether it was opened with too little to settle everything, and is more than so many times as long now."""
        ...

    def close(self) -> None:
        """Let go of it."""


class Intake:
    """A reader of a log that grows, with the history that it fills."""

    def __init__(self, reader: Reader, following: Following) -> None:
        self.reader: Final = reader
        self._following: Final = following
        self._history: Final = History(together=reader.source.kind != "tensorboard")
        self._filling: Final[Iterator[None]] = filled(self._history, reader)

    def advance(self) -> None:
        """Read what is there."""
        next(self._filling, None)

    def so_far(self) -> Read:
        """Copies of what was read, completed."""
        reader, history, source = self.reader, self._history.copy(), source_so_far(self.reader.source)
        if isinstance(reader, EventReader) and reader.held is not None:
            step, row = reader.held[0], {**reader.held[1]}
            reader.add_up(row)
            history.add(step, row)
            source.rows += 1
        try:
            reader.conclude(source)
        except (ConfigError, DataError) as error:
            raise NotYet(str(error)) from error
        source.drop("superseded", history.superseded)
        return history, source

    def end(self) -> Read:
        """Read to the end."""
        self._following.ended = True
        for _ in self._filling:
            pass
        source = self.reader.source
        source.drop("superseded", self._history.superseded)
        return self._history, source


class How(NamedTuple):
    """How a log is to be read, where that is not left open: a regular expression of its lines, its training code."""

    pattern: str | None = None
    family: str | None = None


NOTHING_SAID: Final = How()


class LineTrail:
    """A file to whose end lines are written; it may be cut, replaced and written anew.

    Its first 256 KiB settle names and the form of its lines.
    """

    def __init__(
        self, path: str, data: GrowingBytes, tags: Mapping[str, str], how: How, progress: OnBytes | None
    ) -> None:
        self._path: Final = path
        self._tags: Final = tags
        self._how: Final = how
        self._progress = progress
        self._data = data
        self._intake: Intake | None = None
        # How long the head was when the reader was made.
        self._opened = 0
        self._begun = data.begun
        self._is_new = True

    def grew(self) -> bool:
        data = self._data
        grew = data.grew() or self._is_new
        if data.begun != self._begun and self._has_other_columns():
            data.close()
            self._data = data = growing_bytes(self._path)
            self._intake = None
        self._begun, self._is_new = data.begun, False
        return grew

    def so_far(self) -> Read:
        if self._intake is None or self._is_beyond(REOPENED):
            self._intake = Intake(self._reader(), self._data)
            self._opened, self._progress = len(self._data.head), None
        self._intake.advance()
        while self._data.pending:
            self._intake.advance()
        try:
            return self._intake.so_far()
        except NotYet:
            if self._data.whole:
                self._intake = None
            raise

    def end(self) -> Read:
        if self._intake is None or self._is_beyond(1):
            self._intake = Intake(self._reader(), self._data)
        return self._intake.end()

    def outgrew(self, times: float) -> bool:
        # What was read of a file that is gone cannot be read again.
        return (self._intake is None or self._is_beyond(times)) and self._data.begun == 1 and self._data.is_in_place

    def close(self) -> None:
        self._data.close()

    def _is_beyond(self, times: float) -> bool:
        """Whether the head is so many times longer than when the reader was made, or whole now."""
        length = len(self._data.head)
        return length > times * self._opened or (not self._data.whole and length > self._opened)

    def _reader(self) -> Reader:
        try:
            return open_log(self._path, self._data, self._tags, self._how.pattern, self._progress, self._how.family)
        except DataError as error:
            if len(self._data.head) < FEW_BYTES:
                raise NotYet(str(error)) from error
            raise

    def _has_other_columns(self) -> bool:
        """Whether the file that took the place of a table begins with another header."""
        if self._intake is None or self._intake.reader.source.kind != "csv":
            return False
        data = growing_bytes(self._path)
        data.close()
        now = data.head.decode(errors="replace").splitlines()
        before = self._data.head.decode(errors="replace").splitlines()
        return delimiter(now) is not None and now[:1] != before[:1]


class RecordTrail:
    """A run directory of ours, or event files of TensorBoard, to which records are added.

    They are read anew where they were cut. The beginnings of event files settle what tags mean.
    """

    def __init__(self, path: str, reader: RunReader | EventReader, tags: Mapping[str, str], how: How) -> None:
        self._path: Final = path
        self._tags: Final = tags
        self._how: Final = how
        self._is_new = True
        self._take(reader)

    def grew(self) -> bool:
        if self._is_new:
            self._is_new = False
            return True
        reader = self._reader
        if not self._failed and not reader.is_void:
            if isinstance(reader, EventReader):
                for path in self._event_files():
                    reader.take(path)
            return reader.grew
        found = open_source(self._path, tags=self._tags, family=self._how.family)
        if not isinstance(found, RunReader | EventReader):
            raise ConfigError(f"{self._path} holds another log now: watch it anew")
        self._take(found)
        return True

    def so_far(self) -> Read:
        try:
            self._intake.advance()
        except (DataError, OSError) as error:
            # Such as where its files are being replaced.
            self._failed = True
            raise NotYet(str(error)) from error
        return self._intake.so_far()

    def end(self) -> Read:
        return self._intake.end()

    def outgrew(self, times: float) -> bool:
        if not isinstance(self._reader, EventReader) or self._opened > SETTLED_BYTES:
            return False
        return self._reader.size > times * self._opened

    def close(self) -> None:
        """Nothing stays open."""

    def _event_files(self) -> Iterator[Path]:
        """The event files that are there now."""
        if Path(self._path).is_dir():
            for files in event_files(Path(self._path)).values():
                yield from files

    def _take(self, reader: RunReader | EventReader) -> None:
        self._reader: RunReader | EventReader = reader
        self._failed = False
        self._opened = reader.size if isinstance(reader, EventReader) else 0
        reader.following = Following()
        self._intake: Intake = Intake(reader, reader.following)


def growing_bytes(path: str) -> GrowingBytes:
    """The bytes of a file that grows, looked at once.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        data = GrowingBytes(path)
        data.grew()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{path} cannot be read: {reason}") from None
    return data
