"""Writing a file so that a crash leaves the old content or the new, never a part of it."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def write_atomically(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Put `data` into `path`, durably: when this returns, a power cut keeps the new content; before, the old.
    `data` may come in pieces.

    One writer per path at a time. A kill may leave `.NAME.tmp` beside it, which the next write reuses.

    Raises:
        OSError: nothing was changed, and the temporary file is gone. Only an error of the last step, the directory's
            fsync, leaves the new content in place, without the promise that it survives a power cut.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            if isinstance(data, bytes):
                file.write(data)
            else:
                file.writelines(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    fsync_directory(path.parent)


def fsync_directory(path: Path) -> None:
    """Make the names created, renamed and removed in a directory durable.

    Raises:
        OSError: the directory cannot be opened or synchronised.
    """
    if os.name == "nt":  # Windows opens no directories
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE file systems do not know fsync for directories; there is nothing better to ask them for.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
