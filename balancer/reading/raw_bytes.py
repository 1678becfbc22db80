"""The bytes of a file, a pipe or standard input, a block at a time; their beginning can be looked at first."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Iterator
from typing import IO, Final, Protocol

from balancer.errors import ConfigError, DataError
from balancer.reading.source import OnBytes

BLOCK_BYTES: Final = 1 << 20
HEAD_BYTES: Final = 1 << 18
PIPE_WAIT_SECONDS: Final = 5.0  # seconds for somebody to write into a named pipe


class LogBytes(Protocol):
    """The bytes of a log; `head` are the first of them, and `whole` says whether that is all."""

    @property
    def head(self) -> bytes:
        """The first 256 KiB."""
        ...

    @property
    def whole(self) -> bool:
        """Whether the head is all."""
        ...

    def blocks(self, progress: OnBytes | None = None) -> Iterator[bytes]:
        """All bytes, from the beginning; an empty block says that more may come later."""
        ...

    def close(self) -> None:
        """Let go of a pipe that is not read further."""


class RawBytes:
    """The bytes behind a path, or behind standard input for "-".

    Attributes:
        head: the first 256 KiB.
        whole: whether that is all.

    Raises:
        ConfigError: there is no such file, or it cannot be read.
        DataError: it is empty.
    """

    def __init__(self, path: str) -> None:
        self._path: Final = path
        self._name: Final = "standard input" if path == "-" else path
        # What can be read only once stays open.
        self._pipe: IO[bytes] | None = None
        try:
            file = sys.stdin.buffer if path == "-" else opened(path)
            if path == "-" or not file.seekable():
                self._pipe = file
                self.head = _read(file, HEAD_BYTES)
            else:
                with file:
                    self.head = _read(file, HEAD_BYTES)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ConfigError(f"{self._name} cannot be read: {reason}") from None
        self.whole: Final = len(self.head) < HEAD_BYTES
        if not self.head:
            self.close()
            raise DataError(f"{self._name} is empty: name the log of a run, or its folder")

    def blocks(self, progress: OnBytes | None = None) -> Iterator[bytes]:
        """All bytes, from the beginning; of a pipe only once.

        Raises:
            DataError: reading fails half-way.
        """
        try:
            if self._pipe is not None:
                yield _counted(self.head, progress)
            with self._pipe or opened(self._path) as file:
                while block := file.read(BLOCK_BYTES):
                    yield _counted(block, progress)
        except OSError as error:
            raise DataError(f"{self._name} cannot be read to its end: {error.strerror}") from None

    def close(self) -> None:
        """Close a pipe that is not read further."""
        if self._pipe is not None and self._path != "-":
            self._pipe.close()


def _read(file: IO[bytes], size: int) -> bytes:
    # A pipe gives what is there, which may be less than was asked for.
    parts: list[bytes] = []
    while size and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _counted(block: bytes, progress: OnBytes | None) -> bytes:
    if progress is not None:
        progress(len(block))
    return block


def opened(path: str) -> IO[bytes]:
    """Open a file, or a pipe, to be read without a buffer.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is something else, or a pipe into which nobody writes.
    """
    # Without waiting, so that nothing hangs on a device, or for ever on a named pipe into which nobody writes.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(handle).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        os.close(handle)
        raise ValueError("it is a device, not a file" if not stat.S_ISDIR(mode) else "it is a folder")
    if stat.S_ISFIFO(mode) and not select.select([handle], [], [], PIPE_WAIT_SECONDS)[0]:
        os.close(handle)
        raise ValueError(f"nobody writes into this pipe (waited {PIPE_WAIT_SECONDS:g} s)")
    if hasattr(os, "set_blocking"):
        os.set_blocking(handle, True)
    return os.fdopen(handle, "rb", buffering=0)
