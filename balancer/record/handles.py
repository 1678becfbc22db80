"""A folder by its handle: files in it are opened, made and replaced without a link being followed on the way.

Windows has no handles of folders that files could be named from, so there it is the path.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from balancer.errors import BalancerError

# A descriptor of a folder, or its path.
Handle = int | str
HANDLES: Final = {os.open, os.stat, os.unlink, os.rename, os.mkdir} <= os.supports_dir_fd

NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
# Not to wait for the other end of a pipe that somebody put there between the look at it and the opening.
_PLAIN: Final = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
_LONGEST: Final = 50  # letters of a name that a temporary one repeats: file systems take 255 bytes


class Misplaced(BalancerError, OSError):
    """A link, pipe, device or socket lies where a run keeps a file or a folder of its own, or a folder for a file."""

    def __init__(self, name: str, mode: int, *, folder: bool) -> None:
        kinds = (
            (stat.S_ISLNK, "a link"),
            (stat.S_ISFIFO, "a pipe"),
            (stat.S_ISSOCK, "a socket"),
            (stat.S_ISDIR, "a folder"),
        )
        found = next((kind for test, kind in kinds if test(mode)), "a device")
        kept = "folder" if folder else "plain file"
        why = f"{name} is {found} where a run keeps a {kept} of its own: take it away, or put the {kept} itself there"
        super().__init__(errno.ENOTDIR if folder else errno.EINVAL, why)

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}" if self.filename else str(self.strerror)


@contextlib.contextmanager
def opened_folder(path: Path, name: str = "") -> Iterator[Handle]:
    """A handle of a folder that may be reached through a link, or of one in it, which no link may lead to.

    Raises:
        OSError: it is not there, or cannot be read; `Misplaced` where a link or the like is in its place.
    """
    if not HANDLES:
        yield _looked_at(path, name)
        return
    handle = os.open(path, _FOLDER)
    try:
        for part in filter(None, name.split("/")):
            assert part not in (".", ".."), f"{name!r} leads out of a run"
            refuse_other(handle, part, folder=True)
            inner = os.open(part, _FOLDER | _PLAIN, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def _looked_at(path: Path, name: str) -> str:
    """The folder's path, each part of which was looked at."""
    folder = str(path)
    os.stat(folder)
    for part in filter(None, name.split("/")):
        if not refuse_other(folder, part, folder=True):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), part)
        folder = os.path.join(folder, part)
    return folder


def at(handle: Handle, name: str) -> tuple[str, dict[str, int]]:
    """How a call of os names a file in a folder: its path, and from where that leads."""
    if isinstance(handle, int):
        return name, {"dir_fd": handle}
    return os.path.join(handle, name), {}


def moved(handle: Handle, old: str, new: str, *, over: bool = False) -> None:
    """Give what is in a folder another name there, `over` what has it."""
    (old, here), (new, _) = at(handle, old), at(handle, new)
    within = {"src_dir_fd": here["dir_fd"], "dst_dir_fd": here["dir_fd"]} if here else {}
    (os.replace if over else os.rename)(old, new, **within)


def opened_file(handle: Handle, name: str, flags: int) -> int:
    """A descriptor of a file in the folder of a handle.

    Raises:
        OSError: it cannot be opened so; `Misplaced` where something else is there.
    """
    refuse_other(handle, name)
    path, within = at(handle, name)
    descriptor = os.open(path, flags | _PLAIN, 0o666, **within)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):  # put there since
        os.close(descriptor)
        raise Misplaced(name, mode, folder=False)
    return descriptor


def names_in(handle: Handle) -> list[str]:
    """The names in the folder of a handle."""
    with os.scandir(handle) as entries:
        return [entry.name for entry in entries]


def sync_handle(handle: Handle) -> None:
    """Make the names created, renamed and removed in the folder of a handle durable.

    Raises:
        OSError: it cannot be synchronised.
    """
    if isinstance(handle, str):  # Windows brings no folder to the disk
        return
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network and FUSE file systems do not know fsync for directories; there is nothing better to ask them for.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


@contextlib.contextmanager
def put(handle: Handle, name: str, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """A new file, of a name that nobody can know, that replaces what `name` is in the folder of a handle at the end."""
    temporary = f".{name[:_LONGEST]}.{secrets.token_hex(8)}.tmp"
    path, within = at(handle, temporary)
    descriptor = os.open(path, NEW | _PLAIN, 0o666, **within)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        moved(handle, temporary, name, over=True)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path, **within)
        raise
    if durable:
        sync_handle(handle)


def refuse_other(handle: Handle, name: str, *, folder: bool = False) -> bool:
    """Whether a file (or a folder) of that name is in the folder of a handle; refuses anything else there.

    Raises:
        Misplaced: something else is there.
        NotADirectoryError: a file is, for a folder.
    """
    try:
        path, within = at(handle, name)
        mode = os.stat(path, **within, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    if folder and stat.S_ISREG(mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
    if not (stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)):
        raise Misplaced(name, mode, folder=folder)
    return True
