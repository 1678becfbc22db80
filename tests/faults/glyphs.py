"""Commands at once on a run of zi2zi: what draws with it, and measures it, while it trains on."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from support.zi2zi_runs import SMALL, arguments

from faults import runs
from faults.row import Row

STEPS = 5


class Glyphs:
    """Each ordered pair of commands, or some, on a run beneath a folder that is half done."""

    def __init__(self, folder: Path, *, share: float = 1.0, seed: int = 0) -> None:
        self.folder = folder
        self._share = share
        self._random = random.Random(seed)
        self._whole, self._half, self._run = (folder / name for name in ("whole", "half", "run"))
        words = [*arguments(self._whole, STEPS, **SMALL), "--set", "train.checkpoint_every=1", "--set", "train.keep=1"]
        folder.mkdir(parents=True, exist_ok=True)
        assert runs.command(*words, "--set", "train.batch_size=8").status == 0
        words[words.index(str(STEPS))], words[words.index(str(self._whole))] = "2", str(self._half)
        began = time.monotonic()
        assert runs.command(*words, "--set", "train.batch_size=8").status == 0
        self._length = time.monotonic() - began

    def row(self) -> Row:
        """The pairs."""
        run, out = self._run, self.folder / "out"
        commands: dict[str, Sequence[object]] = {
            "resume": ("train", "--resume", run, "--steps", STEPS, "--quiet"),
            "infer": ("zi2zi", "infer", run, "--out", out, "--text", "永"),
            "font": ("zi2zi", "font", run, "--out", self.folder / "out.ttf", "--text", "永"),
            "evaluate": ("zi2zi", "evaluate", run),
            "compare": ("zi2zi", "compare", self._half, run, "--out", self.folder / "compare.png"),
        }
        pairs = [(first, second) for first in commands for second in commands]
        row = Row("two commands of zi2zi at once")
        for first, second in self._random.sample(pairs, max(1, round(len(pairs) * self._share))):
            for path in (run, out):
                shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(self._half, run)
            pause = self._random.uniform(0, self._length)
            row.tried += 1
            if lost := self._together(commands[first], commands[second], pause):
                row.lost.append(f"{row.kind}, {first}, {second} {pause:.3f} s later: {lost}")
        return row

    def _together(self, first: Sequence[object], second: Sequence[object], pause: float) -> str:
        for words, ended in runs.together(first, second, pause):
            if wrong := runs.wrong_beside(words, ended):
                return wrong
        if not runs.finished(self._run, STEPS):
            ended = runs.command("train", "--resume", self._run, "--steps", STEPS, "--quiet")
            if ended.status:
                return f"it does not go on: {ended.err[-300:]}"
        return runs.differs(self._run, self._whole)
