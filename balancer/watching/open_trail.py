"""Opens a log that grows: which kind it is, or why there is none yet."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from balancer.errors import ConfigError, DataError
from balancer.reading.contained import is_notebook
from balancer.reading.json_objects import is_spread
from balancer.reading.opening import EVENT_FILE_MARK, NoLogThere, open_source, read
from balancer.reading.read_events import EventReader
from balancer.reading.read_run import RunReader
from balancer.reading.source import OnBytes
from balancer.reading.tracked import SQLITE
from balancer.record.event_records import is_head
from balancer.watching.trails import NOTHING_SAID, How, LineTrail, NotYet, Read, RecordTrail, Trail, growing_bytes


class WholeTrail:
    """What does not grow by lines: a JSON array, a notebook, a database, a folder of MLflow.

    It is read anew once it changed.
    """

    def __init__(self, path: str, tags: Mapping[str, str], how: How, progress: OnBytes | None) -> None:
        self._path: Final = path
        self._tags: Final = tags
        self._how: Final = how
        self._progress: Final = progress
        self._state: list[tuple[str, int, int]] = []

    def grew(self) -> bool:
        path = Path(self._path)
        # A database has files beside it in which the newest rows are.
        files = path.rglob("*") if path.is_dir() else path.parent.glob(f"{glob.escape(path.name)}*")
        states = [(str(file), file.stat()) for file in sorted(files) if file.is_file()]
        before, self._state = self._state, [(name, state.st_size, state.st_mtime_ns) for name, state in states]
        return self._state != before

    def so_far(self) -> Read:
        try:
            return self.end()
        except (ConfigError, DataError) as error:
            # Perhaps it is being written.
            raise NotYet(str(error)) from error

    def end(self) -> Read:
        reader = open_source(self._path, tags=self._tags, family=self._how.family, progress=self._progress)
        return read(reader), reader.source

    def outgrew(self, times: float) -> bool:
        return False

    def close(self) -> None:
        """Nothing stays open."""


def open_trail(
    path: str, tags: Mapping[str, str], how: How = NOTHING_SAID, progress: OnBytes | None = None
) -> Trail | str:
    """Find out what kind of log is there; or why there is none yet.

    Raises:
        ConfigError, DataError: there is something that will be no log, or that cannot be followed.
    """
    if path == "-":
        raise ConfigError("watch follows a file: write to one too, such as with: python train.py | tee train.log")
    try:
        Path(path).stat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    except ValueError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    if Path(path).is_dir():
        return _open_folder(path, tags, how, progress)
    return _open_file(path, tags, how, progress)


def _open_folder(path: str, tags: Mapping[str, str], how: How, progress: OnBytes | None) -> Trail | str:
    try:
        reader = open_source(path, tags=tags, pattern=how.pattern, family=how.family, progress=progress)
    except NoLogThere as error:
        return str(error)
    if isinstance(reader, RunReader | EventReader):
        return RecordTrail(path, reader, tags, how)
    if reader.source.within:
        return WholeTrail(path, tags, how, progress)
    return _open_file(reader.source.path, tags, how, progress)


def _open_file(path: str, tags: Mapping[str, str], how: How, progress: OnBytes | None) -> Trail | str:
    data = growing_bytes(path)
    if not data.head.strip():
        data.close()
        return f"{path}: empty"
    # By its name too, since its beginning may be damaged.
    if how.pattern is None and (is_head(data.head) or EVENT_FILE_MARK in Path(path).name):
        data.close()
        reader = open_source(path, tags=tags, family=how.family, progress=progress)
        assert isinstance(reader, EventReader)
        return RecordTrail(path, reader, tags, how)
    if data.head.startswith(SQLITE) or is_notebook(path, data) or (how.pattern is None and is_spread(data)):
        data.close()
        return WholeTrail(path, tags, how, progress)
    return LineTrail(path, data, tags, how, progress)
