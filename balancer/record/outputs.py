"""Writing a file whose name somebody gave: whole or not at all, through links, and into what is no file."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from balancer.record.handles import opened_folder, put, refuse_other


def write_atomically(path: Path, data: bytes, *, durable: bool = True, follow: bool = True) -> None:
    """Put `data` into `path`.

    A file is replaced at once: a crash leaves the old content or the new, and when this returns, a power cut keeps the
    new (unless it need not be `durable`). Where `path` is a link, the file that it leads to is replaced, and the link
    stays. What is no file, such as a device or a pipe, is written to. Without `follow` all of these are
    refused, as in a directory that somebody else filled.

    Raises:
        OSError: a file was not changed, and nothing is left beside it. Only an error of the last step, the directory's
            fsync, leaves the new content in place, without the promise that it survives a power cut.
    """
    if follow:
        if _is_no_file(path):
            with os.fdopen(os.open(path, os.O_WRONLY), "wb") as file:
                file.write(data)
            return
        path = Path(os.path.realpath(path))
    with opened_folder(path.parent) as handle:
        if not follow:
            refuse_other(handle, path.name)
        with put(handle, path.name, durable=durable) as file:
            file.write(data)


def _is_no_file(path: Path) -> bool:
    """Whether a device, pipe or socket is there.

    Raises:
        OSError: a folder is, or nobody may look.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return not stat.S_ISREG(mode)
