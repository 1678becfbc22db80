"""A file that is still written: what came since the last look, also where it was cut, replaced or written anew."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from balancer.reading.raw_bytes import BLOCK_BYTES, HEAD_BYTES, opened
from balancer.reading.source import OnBytes, Row, Source

# Among the rows of a log that is followed: all that was there has been read.
CAUGHT_UP: Final[Row] = (math.nan, {})
BEGINNING: Final = 4096  # bytes by which a file that took another's place is known to hold the same
ENDING: Final = 64  # bytes before the place that was reached, by which the file is known to be as it was
_ENCODINGS: Final = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_UTF8_MARK: Final = b"\xef\xbb\xbf"


class Following:
    """What the one who follows a log and its reader agree on: whether the log has come to its end."""

    def __init__(self) -> None:
        self.ended = False


class GrowingBytes(Following):
    """The bytes of a file and of those that take its place, one after the other, as they come.

    `blocks` gives an empty block, again and again, wherever all that `grew` saw was given, until `ended` is set. The
    first 256 KiB are kept as `head`, which grows until then; called before, `blocks` gives no more than these.

    Attributes:
        begun: how often reading began at the beginning of a file.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is a folder or a device.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path: Final = path
        self._file: IO[bytes] = opened(path)
        if not self._file.seekable():
            self._file.close()
            raise ValueError("it is a pipe, which can be read only once: write to a file, such as with tee")
        self.head = b""
        self.begun = 1
        # Of the file that is read: the place that was reached, its first bytes, and the last ones before the place.
        self._at = 0
        self._first = b""
        self._last = b""
        self._line_end = b""  # what ends the last line of the file before it
        self._came = b""  # bytes that were looked at and not given yet

    @property
    def whole(self) -> bool:
        """Whether the head is all."""
        return len(self.head) < HEAD_BYTES

    @property
    def is_in_place(self) -> bool:
        """Whether the file that is read is the one that the path names."""
        try:
            return os.path.samestat(Path(self._path).stat(), os.fstat(self._file.fileno()))
        except OSError:
            return False

    @property
    def pending(self) -> bool:
        """Whether some was looked at and not given yet."""
        return bool(self._came)

    def grew(self) -> bool:
        """Look at the file: whether there is something that was not given."""
        if not self.whole:
            self._came = self._came or self._more(BLOCK_BYTES)
            return bool(self._came)
        before = len(self.head)
        while self.whole and (data := self._more(HEAD_BYTES - len(self.head))):
            self.head += data
        return len(self.head) > before

    def blocks(self, progress: OnBytes | None = None) -> Iterator[bytes]:
        """All bytes, from the beginning; an empty block where there are no more yet."""
        settled, given = not self.whole, len(self.head)
        yield _counted(self.head, progress)
        while True:
            if settled:
                block = self._came
                self._came = self._more(BLOCK_BYTES) if block else b""
            else:
                block, given = self.head[given:], len(self.head)
            if not block and self.ended:
                return
            yield _counted(block, progress)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _more(self, most: int) -> bytes:
        if self._was_overwritten():
            self._begin(self._file)
        data = self._read(most)
        if not data and self._goes_on_elsewhere():
            data = self._read(most)
        return data

    def _read(self, most: int) -> bytes:
        data = self._file.read(most) or b""
        if len(self._first) < BEGINNING:
            self._first += data[: BEGINNING - len(self._first)]
        self._last = (self._last + data)[-ENDING:]
        if data and not self._at and self.begun > 1:
            data = self._line_end + data.removeprefix(_UTF8_MARK)
        self._at = self._file.tell()
        return data

    def _was_overwritten(self) -> bool:
        """Whether other bytes stand where some were read, up to the place that was reached."""
        length = len(self._last)
        found = _at_place(self._file, self._at - length, length) if length else b""
        return len(found) == length and found != self._last

    def _goes_on_elsewhere(self) -> bool:
        """Whether reading goes on at another place or in another file, which is then opened.

        A file that holds the same, such as a newer copy, is read from the place that was reached, and awaited where it
        does not reach so far yet; any other from its beginning.
        """
        try:
            there = Path(self._path).stat()
            if os.path.samestat(there, os.fstat(self._file.fileno())):
                if there.st_size >= self._at:
                    return False
                file = self._file
            else:
                file = opened(self._path)
        except (OSError, ValueError):
            return False
        first = _at_place(file, 0, BEGINNING)
        shared = min(len(first), len(self._first))
        alike = first[:shared] == self._first[:shared]
        size = os.fstat(file.fileno()).st_size
        if alike and size < self._at:
            if file is not self._file:
                file.close()
            return False
        length = len(self._last)
        if alike and _at_place(file, self._at - length, length) == self._last:
            self._file.close()
            self._file = file
            file.seek(self._at)
            return True
        if file is not self._file:
            self._file.close()
        self._begin(file)
        return True

    def _begin(self, file: IO[bytes]) -> None:
        """Read a file from its beginning."""
        file.seek(0)
        encoding = next((name for mark, name in _ENCODINGS if self.head.startswith(mark)), "utf-8")
        is_whole = self._last[-2:].strip(b"\0").endswith(b"\n")
        self._line_end = b"" if is_whole else "\n".encode(encoding)
        self._file, self._at, self._first, self._last = file, 0, b"", b""
        self.begun += 1


def source_so_far(source: Source) -> Source:
    """A copy of a source, to be completed without changing it."""
    return replace(
        source,
        tags={**source.tags},
        other_tags=[*source.other_tags],
        facts=[*source.facts],
        restarts=[*source.restarts],
        unread=replace(source.unread, why={**source.unread.why}, examples=[*source.unread.examples]),
        dropped={**source.dropped},
    )


def _at_place(file: IO[bytes], place: int, size: int) -> bytes:
    """Bytes at a place of a file, whose own place stays."""
    at = file.tell()
    file.seek(max(place, 0))
    data = file.read(size) or b""
    file.seek(at)
    return data


def _counted(block: bytes, progress: OnBytes | None) -> bytes:
    if progress is not None and block:
        progress(len(block))
    return block
