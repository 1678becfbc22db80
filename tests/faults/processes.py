"""What befalls a run as a process: kills and signals at random moments, and commands at once on one run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

from support.checkpoint_states import same
from support.resumed_runs import final_state, logs

from balancer.train import stopping
from faults import runs
from faults.operations import kills
from faults.row import Row, Trial

RUN = (sys.executable, "-c", "import os, sys; from balancer.cli.main import main; os.write(2, b'.'); main()")


class Processes:
    """Trials at random moments, `share` of them all, on runs beneath a folder, compared with one whole run."""

    def __init__(self, folder: Path, whole: Path, *, share: float = 1.0, seed: int = 0) -> None:
        self.folder, self.whole = folder, whole
        self._share = share
        self._random = random.Random(seed)
        self._run = folder / "run"
        self._half = folder / "half"
        runs.befallen(self._half, kills(2 * runs.operations(self._run) // 3, "before"))
        began = time.monotonic()
        self._fresh()
        assert runs.command(*runs.train(self._run)).status == 0
        # How long a run takes, in seconds.
        self._length = time.monotonic() - began

        # How often each is tried, and its trials.
        self.kinds: dict[str, tuple[int, Callable[[], Iterator[Trial]]]] = {
            "killed at random moments, some twice": (200, self._killed),
            "a signal at a random moment": (76, self._signalled),
            "a signal while the command starts": (24, self._started),
            "a second signal": (24, self._twice),
            "two commands at once": (1, self._pairs),
        }

    def rows(self) -> Iterator[Row]:
        """All rows, as they are done."""
        yield from map(self.row, self.kinds)

    def row(self, kind: str) -> Row:
        """One of them."""
        row = Row(kind)
        count, trials = self.kinds[kind]
        for _ in range(max(1, round(count * self._share))):
            for name, trial in trials():
                self._fresh()
                row.tried += 1
                if lost := trial(self._run):
                    row.lost.append(f"{kind}, {name}: {lost}")
        return row

    def _fresh(self) -> None:
        shutil.rmtree(self._run, ignore_errors=True)

    def _moment(self) -> float:
        return self._random.uniform(0, 1.1 * self._length)

    def _killed(self) -> Iterator[Trial]:
        moments = [self._moment() for _ in range(self._random.choice((1, 1, 2)))]

        def trial(folder: Path) -> str:
            for moment in moments:
                self._signals(folder, [(moment, signal.SIGKILL)])
            return self._goes_on(folder)

        yield f"after {moments} s", trial

    def _signalled(self) -> Iterator[Trial]:
        number, moment = self._random.choice(runs.SIGNALS), self._moment()

        def trial(folder: Path) -> str:
            if wrong := self._signals(folder, [(moment, number)]):
                return wrong
            return self._goes_on(folder)

        yield f"{number.name} after {moment:.3f} s", trial

    def _twice(self) -> Iterator[Trial]:
        first, second = (self._random.choice(runs.SIGNALS) for _ in "12")
        moment, after = self._moment(), self._random.uniform(0.01, 0.1)

        def trial(folder: Path) -> str:
            if wrong := self._signals(folder, [(moment, first), (after, second)]):
                return wrong
            return self._goes_on(folder)

        yield f"{first.name} after {moment:.3f} s, {second.name} {after:.3f} s later", trial

    def _started(self) -> Iterator[Trial]:
        number, moment = self._random.choice(runs.SIGNALS), self._random.uniform(0, 4)

        def trial(folder: Path) -> str:
            command = [*RUN, *map(str, runs.train(folder))]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ONE_THREAD)
            assert process.stderr is not None
            process.stderr.read(1)  # where Python itself is still starting, a signal does what Python does
            time.sleep(moment)
            process.send_signal(number)
            err = process.communicate()[1].decode()
            return _wrong(runs.Ended(process.returncode, err), [number]) or self._goes_on(folder)

        yield f"{number.name} after {moment:.3f} s", trial

    def _signals(self, folder: Path, signals: Sequence[tuple[float, signal.Signals]]) -> str:
        """The next command of a run, with these signals, each so long after the one before; what is wrong with it."""
        begun = runs.Begun(*runs.train(folder), within=lambda: patch.object(stopping, "SAME_REQUEST", 0.005))
        for seconds, number in signals:
            time.sleep(seconds)
            begun.send(number)
        return _wrong(begun.ended(), [number for _, number in signals])

    def _goes_on(self, folder: Path) -> str:
        """What is lost where the same command is given once more."""
        if not runs.finished(folder):
            ended = runs.command(*runs.train(folder))
            if ended.status:
                return f"it does not go on: {ended.err[-300:]}"
        return runs.differs(folder, self.whole)

    # Two commands at once.

    def _pairs(self) -> Iterator[Trial]:
        """Each ordered pair of commands on one run that is half done."""
        page = self.folder / "page.html"
        folder = self._run
        onward = ("train", "--resume", folder, "--steps", runs.STEPS, "--quiet")
        commands = {
            "resume": onward,
            "change": (*onward, "--set", "train.log_every=2", "--allow-change", "train.log_every"),
            "back": (*onward, "--from-step", 2),
            "new": ("train", *runs.NEW, "--out", folder),
            "dry": (*onward, "--dry-run"),
            "diagnose": ("diagnose", folder),
            "report": ("report", folder, "--out", page),
            "explain": ("explain", folder, "--step", 1),
            "replay": ("replay", folder, "--plugins", "d_skip"),
        }
        pairs = [(first, second) for first in commands for second in commands]
        for first, second in pairs if self._share == 1 else self._random.sample(pairs, 6):
            pause = self._random.uniform(0, 0.5 * self._length)

            def trial(folder: Path, first: str = first, second: str = second, pause: float = pause) -> str:
                shutil.copytree(self._half, folder)
                return self._together(folder, (commands[first], commands[second]), pause)

            yield f"{first}, {second} {pause:.3f} s later", trial

    def _together(self, folder: Path, commands: tuple[Sequence[object], Sequence[object]], pause: float) -> str:
        for words, ended in runs.together(*commands, pause):
            if wrong := runs.wrong_beside(words, ended):
                return wrong
        lost = self._goes_on(folder)
        # One of them may have changed how often curves are written, which checkpoints keep too.
        changed = any("--allow-change" in words for words in commands)
        return "" if changed and _same_training(folder, self.whole) else lost


ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def _same_training(one: Path, two: Path) -> bool:
    ours, theirs = ({**final_state(run), "settings": None} for run in (one, two))
    return same(ours, theirs) and logs(one) == logs(two)


def _wrong(ended: runs.Ended, signals: Sequence[signal.Signals]) -> str:
    """What is wrong with an end after these signals, of which the last may have come too late."""
    statuses = {0, *(-number if number == signal.SIGKILL else 128 + number for number in signals)}
    if ended.status not in statuses or "Traceback" in ended.err or "Exception" in ended.err:
        return f"exit status {ended.status}: {ended.err[-600:]}"
    return ""
