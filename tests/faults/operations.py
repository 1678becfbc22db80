"""Every operation on the files beneath a folder, counted, and what befalls one of them."""

from __future__ import annotations

import builtins
import io
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Calls that name what they change in their first arguments, and how many of these are paths.
NAMING = {"rename": 2, "replace": 2, "link": 2, "unlink": 1, "remove": 1, "mkdir": 1, "rmdir": 1, "truncate": 1}


class Operations:
    """Counts operations while it is entered; `befalls` is called before and after each, with its number and name.

    `synced` is called with the descriptor of what was brought to the disk. A write comes in halves: what befalls it
    after the first half leaves a torn one.
    """

    def __init__(
        self, folder: Path, befalls: Callable[[int, str, str], None], synced: Callable[[int], object] | None = None
    ) -> None:
        self.folder = os.path.realpath(folder)
        self._synced = synced
        self.count = 0
        self._befalls = befalls
        self._patches = ExitStack()
        self._inside = False
        self._plain_open = io.open

    def __enter__(self) -> Operations:
        for name, paths in NAMING.items():
            self._put(name, self._naming(name, getattr(os, name), paths))
        self._put("fsync", self._of_file("fsync", os.fsync))
        self._put("ftruncate", self._of_file("ftruncate", os.ftruncate))
        self._put("write", self._writing(os.write))
        self._put("open", self._opening(os.open))
        self._patches.enter_context(patch.object(io, "open", self._open_file))
        self._patches.enter_context(patch.object(builtins, "open", self._open_file))
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()

    def _put(self, name: str, call: Callable[..., Any]) -> None:
        self._patches.enter_context(patch.object(os, name, call))

    def around(self, name: str, act: Callable[[], Any], half: Callable[[], object] | None = None) -> Any:
        """One operation: its number is told, then it is done."""
        if self._inside:  # one that another is made of
            return act()
        self.count += 1
        number, self._inside = self.count, True
        try:
            self._befalls(number, name, "before")
            if half is not None:
                self._befalls_half(number, name, half)
            result = act()
            self._befalls(number, name, "after")
            return result
        finally:
            self._inside = False

    def _befalls_half(self, number: int, name: str, half: Callable[[], object]) -> None:
        try:
            self._befalls(number, name, "half")
        except HalfDone as error:
            half()
            error.then()

    def _beneath(self, path: Any, dir_fd: Any = None) -> bool:
        if isinstance(path, int):
            return self._holds(path)
        name = os.fsdecode(path)
        base = os.readlink(f"/proc/self/fd/{dir_fd}") if dir_fd is not None else os.getcwd()
        whole = os.path.join(base, name)
        return os.path.join(os.path.realpath(os.path.dirname(whole)), "").startswith(os.path.join(self.folder, ""))

    def _holds(self, descriptor: int) -> bool:
        try:
            where = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            return False
        return os.path.join(where, "").startswith(os.path.join(self.folder, ""))

    def _naming(self, name: str, call: Callable[..., Any], paths: int) -> Callable[..., Any]:
        def naming(*args: Any, **named: Any) -> Any:
            folder = named.get("dir_fd", named.get("src_dir_fd"))
            if any(self._beneath(path, folder) for path in args[:paths]):
                return self.around(name, lambda: call(*args, **named))
            return call(*args, **named)

        return naming

    def _of_file(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def of_file(descriptor: Any, *args: Any) -> Any:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            if not self._holds(number):
                return call(number, *args)

            def act() -> Any:
                call(number, *args)
                if name == "fsync" and self._synced is not None:
                    self._synced(number)

            return self.around(name, act)

        return of_file

    def _writing(self, call: Callable[..., int]) -> Callable[..., int]:
        def writing(descriptor: int, data: Any) -> int:
            if not self._holds(descriptor):
                return call(descriptor, data)
            view = memoryview(data)
            written: int = self.around(
                "write", lambda: call(descriptor, data), lambda: call(descriptor, view[: len(view) // 2])
            )
            return written

        return writing

    def _opening(self, call: Callable[..., int]) -> Callable[..., int]:
        def opening(path: Any, flags: int, *args: Any, **named: Any) -> int:
            if flags & WRITING and self._beneath(path, named.get("dir_fd")):
                opened: int = self.around("open", lambda: call(path, flags, *args, **named))
                return opened
            return call(path, flags, *args, **named)

        return opening

    def _open_file(self, path: Any, mode: str = "r", *args: Any, **named: Any) -> Any:
        if not set(mode) & {*"wax+"} or not self._beneath(path):
            return self._plain_open(path, mode, *args, **named)
        binary = mode if "b" in mode else mode.replace("t", "") + "b"
        options = {name: named[name] for name in ("closefd", "opener") if name in named}
        if isinstance(path, int):
            raw = Raw(self, path, binary, **options)
        else:
            raw = self.around("open", lambda: Raw(self, path, binary, **options))
        buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        text = {name: named[name] for name in ("encoding", "errors", "newline") if name in named}
        return io.TextIOWrapper(buffered, **text)


class Raw(io.FileIO):
    """A file whose writes are operations."""

    def __init__(self, operations: Operations, *args: Any, **named: Any) -> None:
        self._operations = operations
        super().__init__(*args, **named)

    def write(self, data: Any) -> int:  # type: ignore[override]
        whole = super().write
        view = memoryview(data).cast("B")
        written: int = self._operations.around("write", lambda: whole(view), lambda: whole(view[: len(view) // 2]))
        return written


class HalfDone(Exception):
    """Half of a write is to be done, and then this."""

    def __init__(self, then: Callable[[], object]) -> None:
        super().__init__()
        self.then = then


def killed() -> None:
    """The end that nothing can catch."""
    os.kill(os.getpid(), signal.SIGKILL)


def kills(at: int, when: str) -> Callable[[int, str, str], None]:
    """A kill before, halfway into or after the operation of this number."""

    def befalls(number: int, name: str, now: str) -> None:
        if number == at and now == when:
            if when == "half":
                raise HalfDone(killed)
            killed()

    return befalls


def refuses(at: int, number: int, *, once: bool) -> Callable[[int, str, str], None]:
    """An error of the disk at one operation, or at each write, fsync and new name from there on."""

    def befalls(count: int, name: str, now: str) -> None:
        grows = name in ("open", "write", "fsync", "mkdir", "rename", "replace", "link")
        if now == "before" and (count == at or (count > at and not once and grows)):
            raise OSError(number, os.strerror(number))

    return befalls
