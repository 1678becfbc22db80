"""Commands that write one thing, on a disk that is full from one of their operations on."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from faults.hostile.bases import Bases
from faults.hostile.trial import Case

REFUSED = ("open", "mkdir", "write", "rename", "replace")
# Operations of these kinds that a command has at most, with those of each write in halves.
MOST = 8


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """Each command, with the disk full from its first such operation on, from its second, and so on."""
    bases = Bases(folder)

    def lay(folder: Path) -> None:
        shutil.copytree(bases.points, folder / "points")
        shutil.copytree(bases.glyphs, folder / "glyphs")
        shutil.copytree(bases.data, folder / "data")
        (folder / "old").write_text("old")

    commands: tuple[tuple[object, ...], ...] = (
        ("report", "points", "--out", "page.html"), ("report", "points", "--out", "old"),
        ("diagnose", "points", "--html", "page.html"), ("diagnose", "points", "--html", "old"),
        ("replay", "points", "--plugins", "d_skip", "--csv", "knobs.csv"),
        ("zi2zi", "compare", "glyphs", "glyphs", "--out", "old"), ("zi2zi", "evaluate", "glyphs"),
        ("zi2zi", "data", "show", "data"), ("zi2zi", "data", "build", "--max-characters", 12, "--out", "new"),
        ("zi2zi", "font", "glyphs", "--text", "口合京", "--name", "New", "--out", "new.ttf"),
    )  # fmt: skip
    made = [(command, at) for at in range(1, MOST + 1) for command in commands]
    for command, at in made[:count]:
        yield Case(f"full disk at {at}, {' '.join(map(str, command[:3]))}", command, lay, full(at))


def full(at: int) -> Callable[[int, str, str], None]:
    """A full disk from the operation of this number on, of those that need room."""
    seen = 0

    def befalls(number: int, name: str, now: str) -> None:
        nonlocal seen
        if name in REFUSED and now == "before":
            seen += 1
            if seen >= at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return befalls
