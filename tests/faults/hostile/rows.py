"""The rows of hostile input: each kind through the commands that take it, and what was wrong with how they ended."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

from faults.hostile import configs, distributions, folders, fonts, full_disks, picture_cases, weights
from faults.hostile.trial import Bench, Case

# Of each kind: what makes cases, of how many inputs. A folder goes through six commands, a distribution through three.
KINDS: dict[str, tuple[Callable[..., Iterator[Case]], int]] = {
    "configs and settings": (configs.cases, 300),
    "pictures and data sets": (picture_cases.cases, 500),
    "fonts": (fonts.cases, 100),
    "weights": (weights.cases, 300),
    "plugin distributions": (distributions.cases, 60),
    "run directories": (folders.cases, 50),
    "full disks": (full_disks.cases, 80),
}


def tried(folder: Path, kind: str, *, every: int = 1, seed: int = 0) -> tuple[int, list[str]]:
    """How many cases of a kind were tried, or one in so many of them, and each fault in a sentence."""
    make, count = KINDS[kind]
    given = {"folder": folder / "good"} if "folder" in inspect.signature(make).parameters else {}
    bench = Bench(folder / kind)
    number, lost = 0, []
    for at, case in enumerate(make(count, seed, **given)):
        if at % every == seed % every:
            number += 1
            if fault := bench.tried(case):
                lost.append(f"{case.name}: {fault}")
    return number, lost
