"""A save that something happens to at one of its operations, in a process of its own."""

import io
import os
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from balancer.record.checkpoint import save


def forked(work: Callable[[], str | None]) -> tuple[int, int]:
    """Run in a forked process, which has torch already; returns its number and where `answer` reads."""
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of threads; the child only saves small tensors, which starts none.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.close(read_end)
            os.write(write_end, (work() or "").encode())
            os._exit(0)
        except BaseException:
            os.write(write_end, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(1)
    os.close(write_end)
    return child, read_end


def answer(child: int, read_end: int) -> tuple[int, str]:
    """Wait for a forked process; its wait status and what `work` returned."""
    with os.fdopen(read_end, "rb") as pipe:
        said = pipe.read().decode()
    return os.waitpid(child, 0)[1], said


def in_child(work: Callable[[], str | None]) -> tuple[int, str]:
    """Run in a forked process and wait for it; returns its wait status and what `work` returned."""
    return answer(*forked(work))


def checked_in_child(work: Callable[[], str | None]) -> str:
    status, answer = in_child(work)
    assert status == 0, answer
    return answer


def place(path: Any, folder: int | None = None) -> str:
    """Where a file is that is named by its path, in a folder by its handle, or itself by one."""
    if isinstance(path, int):
        return str(Path(f"/proc/self/fd/{path}").readlink())
    return str(Path(f"/proc/self/fd/{folder}").readlink() / path) if folder is not None else str(path)


class Calls:
    """Calls `before` with each operation on the file system, just before it happens; writes are cut into halves."""

    def __init__(self, before: Callable[[str, Any], None]) -> None:
        self.before = before

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("mkdir", "rename", "replace", "fsync", "unlink", "rmdir"):
            patch.setattr(os, name, self.counted(name, getattr(os, name)))
        before, plain_open, plain_os_open = self.before, io.open, os.open

        def opened_new(path: Any, flags: int, *rest: Any, **named: Any) -> int:
            if flags & os.O_CREAT:
                before("open", place(path, named.get("dir_fd")))
            return plain_os_open(path, flags, *rest, **named)

        class Raw(io.FileIO):
            def write(self, data: Any) -> int:
                before("write", place(self.name))
                view = memoryview(data)
                return super().write(view[: (len(view) + 1) // 2])

        def opened(path: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            if mode != "wb":
                return plain_open(path, mode, *rest, **named)
            return io.BufferedWriter(Raw(path, "wb"))

        patch.setattr(io, "open", opened)
        patch.setattr(os, "open", opened_new)

    def counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **named: Any) -> Any:
            if name in ("rename", "replace"):
                target: Any = place(args[0], named.get("src_dir_fd")), place(args[1], named.get("dst_dir_fd"))
            else:
                target = place(args[0], named.get("dir_fd"))
            self.before(name, target)
            return call(*args, **named)

        return counting


def save_until(root: Path, step: int, state: dict[str, Any], point: int, act: Callable[[], None]) -> bool:
    """Save with keep=1, and act at the given operation of it, counted from 1; returns whether there were that many."""
    count = 0

    def before(_: str, __: Any) -> None:
        nonlocal count
        count += 1
        if count == point:
            act()

    with pytest.MonkeyPatch.context() as patch:
        Calls(before).install(patch)
        save(root, step, state, keep=1)
    return count >= point
