"""The fault matrix of a run: `python tests/faults/matrix.py [--every N]` tries, prints and fails on a loss.

Each row is one kind of fault. A trial does something to a small run, lets it go on as its maker would, and compares it
with the run that nothing befell: weights, optimizers, random generators, signals, decisions, curves. A difference that
nothing told of is a loss. Rows of hostile input try commands on what somebody made to do harm: a traceback, another end
than with one line and exit status 2, a wait, or a file outside that was touched is a loss.

Rows come in groups, which `--only` names, and which two processes share with `--jobs 2`.
"""

from __future__ import annotations

import argparse
import errno
import random
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if __name__ == "__main__":  # as pytest has it: the root first, since tests/balancer would pass for the package
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import torch

from faults import runs
from faults.flips import Flips
from faults.glyphs import Glyphs
from faults.hostile import rows as hostile
from faults.operations import kills, refuses
from faults.processes import Processes
from faults.ranks import Ranks
from faults.row import Row, Trial

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)


class Matrix:
    """Trials on runs beneath a folder, compared with one whole run."""

    def __init__(self, folder: Path, *, every: int = 1, seed: int = 0) -> None:
        self.folder = folder
        # Of so many points one is tried; which one, the seed says.
        self.every = every
        self._random = random.Random(seed)
        self.whole = runs.whole(folder / "whole")
        # A run that was killed on its way, and how many operations there are from either start.
        self.half = folder / "half"
        new = runs.operations(folder / "run")
        runs.befallen(self.half, kills(2 * new // 3, "before"))
        assert runs.has_checkpoint(self.half)
        # One that was killed before its first checkpoint, and is begun anew in its folder.
        self.early = folder / "early"
        for at in range(new // 2, 0, -1):
            shutil.rmtree(self.early, ignore_errors=True)
            runs.befallen(self.early, kills(at, "before"))
            if not runs.has_checkpoint(self.early):
                break
        self.starts = {"new": None, "killed": self.half, "early": self.early}
        self.counts = {"new": new, "killed": runs.operations(self.half), "early": runs.operations(self.early)}

    def rows(self, *starts: str) -> Iterator[Row]:
        """All rows, or those of these starts, as they are done."""
        for start in starts or self.counts:
            yield self.row(start, "killed before, in and after an operation", self.killed)
            if start == "early":
                continue
            yield self.row(start, "power cut: contents not synchronised", self.cut("contents"))
            yield self.row(start, "power cut: names not synchronised", self.cut("names"))
            for number in ERRORS:
                yield self.row(start, f"{errno.errorcode[number]} once", self.refused(number, once=True))
                yield self.row(start, f"{errno.errorcode[number]} from there on", self.refused(number, once=False))

    def row(self, start: str, kind: str, trials: Callable[[int], Iterator[Trial]], *, until: int | None = None) -> Row:
        """The trials at each operation, or every so many-th, from this start; `until` so many are lost."""
        row = Row(f"{start} run, {kind}")
        every = self.every if until is None else 1
        first = 1 + self._random.randrange(min(every, self.counts[start]))
        for at in range(first, self.counts[start] + 1, every):
            if until is not None and len(row.lost) >= until:
                break
            for name, trial in trials(at):
                folder = self.folder / "run"
                shutil.rmtree(folder, ignore_errors=True)
                if (begun := self.starts[start]) is not None:
                    shutil.copytree(begun, folder)
                row.tried += 1
                if lost := trial(folder):
                    row.lost.append(f"{row.kind}, {name} {at}: {lost}")
        return row

    def killed(self, at: int) -> Iterator[Trial]:
        """A kill at an operation."""
        for when in ("before", "half", "after"):

            def trial(folder: Path, when: str = when) -> str:
                runs.befallen(folder, kills(at, when))
                return self._compared(folder)

            yield when, trial

    def cut(self, lost: str) -> Callable[[int], Iterator[Trial]]:
        """A power cut after an operation."""

        def trials(at: int) -> Iterator[Trial]:
            def trial(folder: Path) -> str:
                runs.cut_off(folder, at, lost)
                runs.emptied(folder)
                return self._compared(folder)

            yield "after", trial

        return trials

    def refused(self, number: int, *, once: bool) -> Callable[[int], Iterator[Trial]]:
        """An error of the disk at an operation."""

        def trials(at: int) -> Iterator[Trial]:
            def trial(folder: Path) -> str:
                ended = runs.befallen(folder, refuses(at, number, once=once))
                if ended.status not in (0, 2) or "Traceback" in ended.err:
                    return f"exit status {ended.status}: {ended.err[-300:]}"
                runs.emptied(folder)
                lost = self._compared(folder)
                # What a run gave up it said; its weights it never gives up.
                return "" if ended.err and lost != "weights" else lost

            yield "at", trial

        return trials

    def _compared(self, folder: Path) -> str:
        ended = runs.completed(folder)
        if ended.status:
            return f"it does not go on: {ended.err[-300:]}"
        return runs.differs(folder, self.whole)


def _flips(folder: Path, every: int, seed: int) -> Iterator[Row]:
    for name, tried, found in Flips(folder, seed=seed).rows(800 // every, 8 // min(every, 8)):
        yield Row(f"bit flips in {name}", tried, found)


def _processes(folder: Path, every: int, seed: int) -> Iterator[Row]:
    yield from Processes(folder, runs.whole(folder / "whole"), share=1 / every, seed=seed).rows()
    yield Glyphs(folder / "glyphs", share=1 / every, seed=seed).row()


def _hostile(folder: Path, every: int, seed: int) -> Iterator[Row]:
    for kind in hostile.KINDS:
        yield Row(f"hostile {kind}", *hostile.tried(folder, kind, every=every, seed=seed))


# Rows that one process tries; the longest first.
GROUPS: dict[str, Callable[[Path, int, int], Iterator[Row]]] = {
    "new": lambda folder, every, seed: Matrix(folder, every=every, seed=seed).rows("new"),
    "hostile": _hostile,
    "killed": lambda folder, every, seed: Matrix(folder, every=every, seed=seed).rows("killed", "early"),
    "processes": _processes,
    "flips": _flips,
    "ranks": lambda folder, every, seed: Ranks(folder, share=1 / every, seed=seed).rows(),
}


def _tried(group: str, every: int, seed: int) -> list[str]:
    """Print a group's rows as they are done; what was lost."""
    lost = []
    with tempfile.TemporaryDirectory() as folder:
        for row in GROUPS[group](Path(folder), every, seed):
            print(row, flush=True)
            lost += row.lost
    for sentence in lost:
        print(sentence, flush=True)
    return lost


def _alone(group: str, every: int, seed: int) -> int:
    """The same in a process of its own; its exit status."""
    words = [sys.executable, __file__, "--only", group, "--every", str(every), "--seed", str(seed)]
    return subprocess.run(words, check=False).returncode


def main() -> None:
    """Print the table, and fail on a loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="try one of so many operations, moments and inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=GROUPS, action="append", help="a group of rows; may be given again")
    parser.add_argument("--jobs", type=int, default=1, help="groups that are tried at a time")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    chosen = given.only or [*GROUPS]
    if len(chosen) == 1:
        sys.exit(bool(_tried(chosen[0], given.every, given.seed)))
    print(f"{'fault':<64}{'tried':>7}{'survived':>10}{'lost':>6}", flush=True)
    with ThreadPoolExecutor(given.jobs) as pool:
        ended = list(pool.map(lambda group: _alone(group, given.every, given.seed), chosen))
    sys.exit(any(ended))


if __name__ == "__main__":
    main()
