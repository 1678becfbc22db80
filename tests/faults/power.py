"""What a power cut may leave: only what was brought to the disk, names and contents alike."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.operations import killed

# A directory's entries, or a file's bytes.
Tree = dict[str, Any]


class Disk:
    """Follows what is durable beneath a folder: a file's content since its fsync, a name since its directory's.

    All that is there at first is durable. `lost` says what a cut takes: "contents" that were not synchronised, under
    the names of now, as file systems do that write names early; or "names" too.
    """

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder = os.path.realpath(folder)
        self._scratch = scratch
        # By inode; those of what was deleted are kept from being used again, by a second name or an open descriptor.
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._pinned: set[int] = set()
        scratch.mkdir(parents=True, exist_ok=True)
        for root, _, files in os.walk(self._folder):
            self._hold(root)
            self._names[os.stat(root).st_ino] = self._entries(root)
            for file in files:
                path = os.path.join(root, file)
                self._contents[self._pin(path)] = Path(path).read_bytes()

    def synced(self, descriptor: int) -> None:
        """A file or a directory was brought to the disk."""
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        inode = os.fstat(descriptor).st_ino
        if os.path.isdir(path):
            self._names[inode] = self._entries(path)
        else:
            with open(f"/proc/self/fd/{descriptor}", "rb") as file:
                self._contents[inode] = file.read()

    def opened(self) -> None:
        """Something may have been made: see that its inode is not used twice."""
        for root, _, files in os.walk(self._folder):
            self._hold(root)
            for file in files:
                self._pin(os.path.join(root, file))

    def cut(self, lost: str) -> None:
        """The power goes: what is left lies in the scratch folder, and the process is gone."""
        tree = self._now(self._folder) if lost == "contents" else self._then(os.stat(self._folder).st_ino)
        (self._scratch / "left").write_bytes(pickle.dumps(tree))
        killed()

    def _entries(self, folder: str) -> dict[str, int]:
        with os.scandir(folder) as entries:
            return {entry.name: entry.inode() for entry in entries}

    def _hold(self, folder: str) -> None:
        if os.stat(folder).st_ino not in self._pinned:
            self._pinned.add(os.stat(folder).st_ino)
            os.open(folder, os.O_RDONLY)  # until the process is gone

    def _pin(self, path: str) -> int:
        inode = os.lstat(path).st_ino
        if inode not in self._pinned:
            self._pinned.add(inode)
            os.link(path, self._scratch / f"pin{inode}")
        return inode

    def _now(self, folder: str) -> Tree:
        tree: Tree = {}
        for name, inode in self._entries(folder).items():
            path = os.path.join(folder, name)
            tree[name] = self._now(path) if os.path.isdir(path) else self._contents.get(inode, b"")
        return tree

    def _then(self, folder: int) -> Tree:
        tree: Tree = {}
        for name, inode in self._names.get(folder, {}).items():
            is_file = (self._scratch / f"pin{inode}").exists()
            tree[name] = self._contents.get(inode, b"") if is_file else self._then(inode)
        return tree


def cuts(disk: Disk, at: int, lost: str) -> Callable[[int, str, str], None]:
    """A power cut after the operation of this number; the ones before it are followed."""

    def befalls(number: int, name: str, now: str) -> None:
        if now != "after":
            return
        disk.opened()
        if number == at:
            disk.cut(lost)

    return befalls


def restore(folder: Path, scratch: Path) -> None:
    """Make a folder what the cut left of it."""
    tree = pickle.loads((scratch / "left").read_bytes())
    shutil.rmtree(folder, ignore_errors=True)
    _lay(folder, tree)


def _lay(folder: Path, tree: Tree) -> None:
    folder.mkdir(parents=True)
    for name, held in tree.items():
        if isinstance(held, dict):
            _lay(folder / name, held)
        else:
            (folder / name).write_bytes(held)
