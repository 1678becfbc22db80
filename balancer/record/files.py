"""Everything in a run directory is opened, written, cut, renamed, listed and deleted here, and nothing outside it.

A run directory may be reached through a link, such as `runs -> /data/runs`. What lies in it is a plain file or a
folder: somebody else's run could otherwise lead a resume to any file of ours. So names are looked up step by step from
a handle of the directory, no link is followed, and a pipe or a device is not opened.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

from balancer.contract.input_files import MOST_TEXT_BYTES
from balancer.record.handles import (
    NEW,
    Handle,
    Misplaced,
    at,
    moved,
    names_in,
    opened_file,
    opened_folder,
    put,
    refuse_other,
    sync_handle,
)

# What makes up a file, one part after another.
Pieces = Iterable[bytes | memoryview]

# Of a file on its way, which a kill leaves; the last two are from before 0.2.
_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{16}\.tmp|\..+\.tmp|cut\.\d+\.tmp")


def read(run: Path, name: str, most: int = MOST_TEXT_BYTES) -> bytes:
    """A file's content; `name` is its path within the run directory, with `/`.

    Raises:
        OSError: it is not there, cannot be read, or holds more than `most` bytes; `Misplaced` where something else lies
            there.
    """
    with open_to_read(run, name) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"it is larger than {most / 2**20:,.0f} MiB", str(run / name))
        return file.read(most)


def open_to_read(run: Path, name: str) -> IO[bytes]:
    """Open a file of a run.

    Raises:
        OSError: see `read`.
    """
    with _parent(run, name) as (handle, last):
        return os.fdopen(opened_file(handle, last, os.O_RDONLY), "rb")


def open_to_append(run: Path, name: str) -> IO[bytes]:
    """Open a file of a run for more at its end; it is made, durably, where it is not there.

    Raises:
        OSError: it cannot be written; `Misplaced` where something else lies there.
    """
    with _parent(run, name) as (handle, last):
        new = not refuse_other(handle, last)
        file = os.fdopen(opened_file(handle, last, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab")
        return _named(handle, file) if new else file


def create(run: Path, name: str) -> IO[bytes]:
    """Open a file that is not there yet; its name is durable.

    Raises:
        OSError: it is there, or cannot be made.
    """
    with _parent(run, name) as (handle, last):
        return _named(handle, os.fdopen(opened_file(handle, last, NEW), "wb"))


def replace(run: Path, name: str, data: bytes) -> None:
    """Put `data` into a file of a run: see `rewritten`."""
    with rewritten(run, name) as file:
        file.write(data)


def write_pieces(run: Path, name: str, pieces: Pieces) -> dict[str, str | int]:
    """Put a content that comes in pieces into a file of a run: see `rewritten`. Its `sha256` in hex, and its `size`."""
    digest, size = hashlib.sha256(), 0
    with rewritten(run, name) as file:
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            file.write(piece)
    return {"sha256": digest.hexdigest(), "size": size}


@contextlib.contextmanager
def rewritten(run: Path, name: str) -> Iterator[IO[bytes]]:
    """A file to write that becomes the run's, whole or not at all, at the end: then a power cut keeps the new content,
    before, the old.

    Raises:
        OSError: nothing was changed, and nothing is left beside it; `Misplaced` where something else lies there. Only
            an error of the last step, the directory's fsync, leaves the new content in place, without the promise that
            it survives a power cut.
    """
    with _parent(run, name) as (handle, last):
        refuse_other(handle, last)
        with put(handle, last) as file:
            yield file


def cut(run: Path, name: str, size: int) -> None:
    """Cut a file to its first `size` bytes; one that is not longer is left.

    Raises:
        OSError: it is not there, or cannot be written; `Misplaced` where something else lies there.
    """
    with _parent(run, name) as (handle, last), os.fdopen(opened_file(handle, last, os.O_RDWR), "r+b") as file:
        if os.fstat(file.fileno()).st_size > size:
            file.truncate(size)


def exists(run: Path, name: str, *, folder: bool = False) -> bool:
    """Whether a file (or a folder) of that name is there.

    Raises:
        Misplaced: something else is.
    """
    try:
        with _parent(run, name) as (handle, last):
            return refuse_other(handle, last, folder=folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        if isinstance(error, Misplaced):
            raise
        return False


def listed(run: Path, name: str = "") -> list[str]:
    """The names in the run directory or in a folder in it, in order.

    Raises:
        OSError: it is not there, or cannot be read; `Misplaced` where it is no folder.
    """
    with opened_folder(run, name) as handle:
        return sorted(names_in(handle))


def make_folder(run: Path, name: str) -> None:
    """Make a folder in a run, where it is not there, durably.

    Raises:
        OSError: it cannot be made; `Misplaced` where something else lies there.
    """
    with _parent(run, name) as (handle, last):
        if not refuse_other(handle, last, folder=True):
            path, within = at(handle, last)
            os.mkdir(path, **within)
            sync_handle(handle)


def rename(run: Path, old: str, new: str) -> None:
    """Give a file or folder another name in the same folder.

    Raises:
        OSError: it cannot be renamed.
    """
    with _parent(run, old) as (handle, last):
        moved(handle, last, new.rpartition("/")[2])


def delete(run: Path, name: str) -> None:
    """Delete a file; one that is not there is no error.

    Raises:
        OSError: it cannot be deleted; `Misplaced` where something else lies there.
    """
    with _parent(run, name) as (handle, last):
        if refuse_other(handle, last):
            path, within = at(handle, last)
            os.unlink(path, **within)


def delete_folder(run: Path, name: str) -> None:
    """Delete a folder with all that is in it; of a link in it the link.

    Raises:
        OSError: it cannot be deleted; `Misplaced` where it is no folder.
    """
    with _parent(run, name) as (handle, last):
        refuse_other(handle, last, folder=True)
        path, within = at(handle, last)
        shutil.rmtree(path, **within)  # type: ignore[arg-type]


def delete_unfinished(run: Path, name: str = "") -> None:
    """Delete the files that writes which were killed left in the run directory, or in a folder in it.

    Raises:
        OSError: one cannot be deleted.
    """
    with opened_folder(run, name) as handle:
        for left in filter(is_unfinished, names_in(handle)):
            # What is no file is none of ours.
            path, within = at(handle, left)
            if stat.S_ISREG(os.stat(path, **within, follow_symlinks=False).st_mode):
                os.unlink(path, **within)


def is_unfinished(name: str) -> bool:
    """Whether a file is called as one on its way is."""
    return _TEMPORARY.fullmatch(name) is not None


def sync(run: Path, name: str = "") -> None:
    """Make the names created, renamed and removed in the run directory, or in a folder in it, durable.

    Raises:
        OSError: it cannot be synchronised.
    """
    with opened_folder(run, name) as handle:
        sync_handle(handle)


def make_run(run: Path) -> None:
    """Make a run directory and the folders above it, durably, where they are not there.

    Raises:
        OSError: they cannot be made.
    """
    missing = [path for path in (run, *run.parents) if not path.exists()]
    run.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync(path.parent)


def _named(handle: Handle, file: IO[bytes]) -> IO[bytes]:
    """A new file, whose name is brought to the disk."""
    try:
        sync_handle(handle)
    except BaseException:
        file.close()
        raise
    return file


@contextlib.contextmanager
def _parent(run: Path, name: str) -> Iterator[tuple[Handle, str]]:
    """A handle of the folder that holds `name`, and the last part of it."""
    folder, _, last = name.rpartition("/")
    assert last not in ("", ".", ".."), f"{name!r} names nothing in a run"
    try:
        with opened_folder(run, folder) as handle:
            yield handle, last
    except Misplaced as error:
        error.filename = str(run / name)
        raise
