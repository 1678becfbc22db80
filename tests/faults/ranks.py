"""What befalls one of two ranks that train together over gloo: the other never waits for ever, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from accelerate.state import AcceleratorState, GradientState

from faults import runs
from faults.row import Row, Trial

# Beyond what the time-out allows: a rank that is still there then hangs.
HANGS = 60.0  # seconds
PLUGIN = '''
import os, time
from balancer import Plugin, hookimpl


class Faulty(Plugin):
    """Does on one rank, in step 3, what the environment says."""

    name = "faulty"
    brings_terms = {"g": ("flat",)}

    def _now(self, step, fault):
        return step == 3 and os.environ.get("FAULT") == fault + os.environ["RANK"]

    @hookimpl
    def after_d_step(self, ctx):
        if self._now(ctx.step, "raise"):
            raise RuntimeError("as it was told")
        if self._now(ctx.step, "slow"):
            time.sleep(2)

    @hookimpl
    def g_loss_terms(self, ctx):
        flat = 0.0 * ctx.fake.sum()
        if self._now(ctx.step, "nan"):
            os.environ["FAULT"] = "done"
            flat = (ctx.fake * 0.0).sqrt().sum() * 0.0
        return {"flat": flat}
'''


class Ranks:
    """Trials on two ranks, `share` of them all, on runs beneath a folder, compared with one whole run."""

    def __init__(self, folder: Path, *, share: float = 1.0, seed: int = 0) -> None:
        self.folder = folder
        self._share = share
        self._random = random.Random(seed)
        self._run = folder / "run"
        self._plugin = folder / "faulty.py"
        folder.mkdir(parents=True, exist_ok=True)
        self._plugin.write_text(PLUGIN)
        self.whole = folder / "whole"
        began = time.monotonic()
        assert [ended.status for ended in self._both(self.whole)] == [0, 0]
        # How long a run takes, in seconds.
        self._length = time.monotonic() - began

        # How often each is tried, and its trials.
        self.kinds: dict[str, tuple[int, Callable[[], Iterator[Trial]]]] = {
            "killed": (16, lambda: self._sent(signal.SIGKILL)),
            "stopped for good": (6, lambda: self._sent(signal.SIGSTOP)),
            "a signal to it alone": (16, lambda: self._sent(self._random.choice(runs.SIGNALS))),
            "a plugin raises": (2, self._raises),
            "they differ": (1, self._differ),
            "slow, within the time-out": (2, self._slow),
            "NaN in its gradients, rolled back": (1, self._nan),
        }

    def rows(self) -> Iterator[Row]:
        """All rows, as they are done."""
        yield from map(self.row, self.kinds)

    def row(self, kind: str) -> Row:
        """One of them."""
        row = Row(f"one of two ranks: {kind}")
        count, trials = self.kinds[kind]
        for _ in range(max(1, round(count * self._share))):
            for name, trial in trials():
                shutil.rmtree(self._run, ignore_errors=True)
                row.tried += 1
                if lost := trial(self._run):
                    row.lost.append(f"{row.kind}, {name}: {lost}")
        return row

    def _sent(self, number: signal.Signals) -> Iterator[Trial]:
        rank, moment = self._random.choice((0, 1)), self._random.uniform(0, 1.1 * self._length)
        lost = number in (signal.SIGKILL, signal.SIGSTOP)

        def trial(folder: Path) -> str:
            ranks = self._begun(folder)
            time.sleep(moment)
            ranks[rank].send(number)
            gone = ranks[rank] if number == signal.SIGSTOP else None
            ended = _ends(ranks, gone)
            statuses = (0, 2) if lost else (0, 2, 128 + number)
            if wrong := _wrong(ended[1 - rank], statuses) or ("" if lost else _wrong(ended[rank], statuses)):
                return wrong
            return self._goes_on(folder)

        yield f"{number.name} to rank {rank} after {moment:.3f} s", trial

    def _raises(self) -> Iterator[Trial]:
        rank = self._random.choice((0, 1))

        def trial(folder: Path) -> str:
            ended = self._both(folder, fault=f"raise{rank}")
            if wrong := _wrong(ended[rank], (2,)) or _wrong(ended[1 - rank], (2,)):
                return wrong
            if "plugin faulty" not in ended[rank].err or "lost another rank" not in ended[1 - rank].err:
                return f"said {[one.err for one in ended]}"
            return self._goes_on(folder)

        yield f"rank {rank}", trial

    def _differ(self) -> Iterator[Trial]:
        for name, words in {
            "seed": ("--seed", 5),
            "steps": ("--steps", runs.STEPS + 1),
            "lambda": ("--set", "train.lambda_adv=0.5"),
            "plugin": ("--plugins", "d_skip"),
        }.items():

            def trial(folder: Path, words: tuple[object, ...] = words) -> str:
                ended = self._both(folder, words=words)
                if wrong := _wrong(ended[0], (2,)) or _wrong(ended[1], (2,)):
                    return wrong
                if "ranks differ" not in ended[0].err or ended[1].err:
                    return f"said {[one.err for one in ended]}"
                return f"{folder} is there" if folder.exists() else ""

            yield name, trial

    def _slow(self) -> Iterator[Trial]:
        rank = self._random.choice((0, 1))

        def trial(folder: Path) -> str:
            ended = self._both(folder, fault=f"slow{rank}")
            return _wrong(ended[0], (0,)) or _wrong(ended[1], (0,)) or runs.differs(folder, self.whole)

        yield f"rank {rank}", trial

    def _nan(self) -> Iterator[Trial]:
        rolled = self.folder / "rolled"
        shutil.rmtree(rolled, ignore_errors=True)
        for rank in (0, 1):

            def trial(folder: Path, rank: int = rank) -> str:
                words = ("--set", "train.on_nan=rollback")
                ended = self._both(folder, fault=f"nan{rank}", words=words, every_rank=True)
                if wrong := _wrong(ended[0], (0,)) or _wrong(ended[1], (0,)):
                    return wrong
                if runs.final_state(folder)["rollbacks"] != 1:
                    return "it did not go back"
                if not rolled.exists():
                    folder.rename(rolled)
                    return ""
                # On whichever rank it was, all went back, and on from one set of weights.
                return runs.differs(folder, rolled)

            yield f"rank {rank}", trial

    def _goes_on(self, folder: Path) -> str:
        if not runs.finished(folder):
            ended = self._both(folder)
            if [one.status for one in ended] != [0, 0]:
                return f"it does not go on: {[one.err[-300:] for one in ended]}"
        return runs.differs(folder, self.whole)

    def _begun(
        self, folder: Path, fault: str = "", words: tuple[object, ...] = (), *, every_rank: bool = False
    ) -> list[runs.Begun]:
        """Both ranks of the run's next command, without a launcher, which would end the other by itself.

        `words` are added to the command of rank 1, or of both.
        """
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        meet = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        meet |= {"OMP_NUM_THREADS": "1", "FAULT": fault}
        command = runs.train(folder)
        if "--resume" not in command:
            plugins = ("--plugins", f"dynamic_lambda,{self._plugin}:Faulty", "--set", "train.timeout=10")
            command = (*command, *plugins)
        added = [words if every_rank else (), words]
        return [
            runs.Begun(*command, *added[rank], within=lambda rank=rank: _rank(rank, meet))  # type: ignore[misc]
            for rank in (0, 1)
        ]

    def _both(self, folder: Path, **given: Any) -> list[runs.Ended]:
        return _ends(self._begun(folder, **given))


@contextlib.contextmanager
def _rank(rank: int, meet: Mapping[str, str]) -> Iterator[None]:
    """A process that begins as a launcher would have it, though its maker has trained by itself."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    with patch.dict(os.environ, {**meet, "RANK": str(rank), "LOCAL_RANK": str(rank)}):
        yield


def _ends(ranks: list[runs.Begun], stopped: runs.Begun | None = None) -> list[runs.Ended]:
    """How they ended; one that stands still is killed when the other has ended, and one that hangs, too."""
    until = time.monotonic() + HANGS
    hung = False
    while any(not one.gone() for one in ranks if one is not stopped):
        time.sleep(0.02)
        if time.monotonic() > until:
            hung = True
            break
    for one in ranks:
        if one is stopped or hung:
            one.send(signal.SIGKILL)
    ended = [one.ended() for one in ranks]
    return [runs.Ended(one.status, f"it hung: {one.err}") for one in ended] if hung else ended


def _wrong(ended: runs.Ended, statuses: tuple[int, ...]) -> str:
    if ended.status not in statuses or "Traceback" in ended.err or ended.err.startswith("it hung"):
        return f"exit status {ended.status}: {ended.err[-1500:]}"
    return ""
