"""A file that somebody names is read only where it is one, and only as far as such a file may reach."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

# Cards, plugins, lists of characters, manifests; and TOML, whose parser is slow.
MOST_TEXT_BYTES: Final = 64 * 2**20
MOST_TOML_BYTES: Final = 4 * 2**20


def read_input(path: Path, most: int = MOST_TEXT_BYTES) -> bytes:
    """All bytes of a regular file of at most `most` bytes; waits for no pipe and reads no device.

    Raises:
        OSError: it cannot be read, is no regular file, or holds more; `strerror` says which.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError:  # a name with a null byte
        raise OSError(errno.EINVAL, "no file can have that name", str(path)) from None
    held = os.fstat(handle)
    mode = held.st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        kind = "pipe" if stat.S_ISFIFO(mode) else "device"
        raise OSError(errno.EINVAL, f"it is a {kind}, not a file", str(path))
    with os.fdopen(handle, "rb") as file:
        # Python makes room for as much as a read may bring, so it is not asked for `most`.
        content = file.read() if held.st_size <= most else None
    if content is None or len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most / 2**20:,.0f} MiB", str(path))
    return content
