"""Mounts for the calling process alone; what it mounts goes with it."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 1 << 14, 1 << 18
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000


class MountRefusedError(Exception):
    pass


def own_mounts() -> Callable[..., None]:
    """`mount(2)`, in a namespace of the calling process's own."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNS) != 0:  # not root: in a user namespace everybody may mount, if there are any
        if libc.unshare(CLONE_NEWNS | CLONE_NEWUSER) != 0:
            raise MountRefusedError(f"unshare: {os.strerror(ctypes.get_errno())}")
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            try:
                Path(f"/proc/self/{name}").write_text(text)
            except OSError as error:
                raise MountRefusedError(f"{name}: {error.strerror}") from error
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    return mount


def mount(source: Path | str, target: Path | str, kind: str, flags: int, options: str = "") -> None:
    texts = [os.fsencode(text) for text in (source, target, kind)]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(*texts, ctypes.c_ulong(flags), os.fsencode(options) or None) != 0:
        raise MountRefusedError(f"mount: {os.strerror(ctypes.get_errno())}")


def mount_tmpfs(folder: Path, options: str, flags: int = 0) -> None:
    """A file system of its own at `folder`, or other options for the one that was mounted there."""
    if not flags & MS_REMOUNT:
        own_mounts()
    mount("tmpfs", folder, "tmpfs", flags, options)
