"""A small run, at whose operations something happens, and what must be the same of it in the end."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.broken_saves import answer, forked
from support.checkpoint_states import same
from support.resumed_runs import final_state, logs, scalars

from balancer.cli.main import main
from balancer.record import checkpoint
from balancer.train.stopping import stop_requests
from faults.operations import Operations
from faults.power import Disk, cuts, restore

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
STEPS = 6
NEW = (
    "--model", "points", "--plugins", "dynamic_lambda,d_skip", "--device", "cpu", "--quiet", "--steps", STEPS,
    "--set", "train.batch_size=64", "--set", "train.log_every=1", "--set", "train.checkpoint_every=2",
    "--set", "train.keep=1", "--set", "train.sheet_every=2",
)  # fmt: skip


@dataclass
class Ended:
    """How a process ended: its exit status, negative where a signal ended it, and what it printed to standard error."""

    status: int
    err: str


class Begun:
    """`balancer ARGS…` in a process of its own, all of whose operations on files happen `within`.

    Signals reach it from its first moment on.
    """

    def __init__(self, *args: object, within: Callable[[], Any] = contextlib.nullcontext) -> None:
        self._args = args
        self._within = within
        self._errors = tempfile.TemporaryFile("w+b")  # noqa: SIM115
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self.process, self._answer = forked(self._work)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _work(self) -> str:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(self._errors.fileno(), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        # As outside pytest, which records warnings and makes errors of them.
        warnings.resetwarnings()
        warnings.showwarning = lambda *shown: print(warnings.formatwarning(*shown[:4]), end="", file=sys.stderr)
        sys.argv = ["balancer", *map(str, self._args)]
        status: object = 0
        try:
            with stop_requests():
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
                with self._within():
                    main()
        except SystemExit as ended:
            status = ended.code or 0
        finally:
            sys.stderr.flush()
        return str(status if isinstance(status, int) else 1)

    def send(self, number: int) -> None:
        """Send it a signal; it may be gone."""
        os.kill(self.process, number)

    def gone(self) -> bool:
        """Whether it has ended."""
        return os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def ended(self) -> Ended:
        """Wait for its end."""
        status, said = answer(self.process, self._answer)
        with self._errors as errors:
            errors.seek(0)
            err = errors.read().decode(errors="replace")
        code = os.waitstatus_to_exitcode(status)
        return Ended(int(said), err) if code == 0 else Ended(code, err + said)


def command(*args: object, within: Callable[[], Any] = contextlib.nullcontext) -> Ended:
    """The same, and its end."""
    return Begun(*args, within=within).ended()


def together(
    first: Sequence[object], second: Sequence[object], pause: float
) -> Iterator[tuple[Sequence[object], Ended]]:
    """Two commands, the second so many seconds after the first: each with its end."""
    one = Begun(*first)
    time.sleep(pause)
    two = Begun(*second)
    yield first, one.ended()
    yield second, two.ended()


def wrong_beside(words: Sequence[object], ended: Ended) -> str:
    """What is wrong with an end beside another command: one that writes may be refused in a line, no reader is."""
    if ended.status not in ((0, 2) if words[0] == "train" else (0,)) or "Traceback" in ended.err:
        return f"{words} ended with {ended.status}: {ended.err[-1500:]}"
    if ended.status == 2 and ended.err.count("\n") != 1:
        return f"{words} said {ended.err[-500:]}"
    return ""


def has_checkpoint(folder: Path) -> bool:
    """Whether a run can go on."""
    return bool(checkpoint.steps(folder / "checkpoints"))


def finished(folder: Path, steps: int = STEPS) -> bool:
    """Whether a run has come to its end."""
    return has_checkpoint(folder) and checkpoint.load_latest(folder / "checkpoints").step >= steps


def train(folder: Path) -> tuple[object, ...]:
    """The command that begins the run, or goes on with it where it has a checkpoint."""
    if has_checkpoint(folder):
        return "train", "--resume", folder, "--steps", STEPS, "--quiet"
    return "train", *NEW, "--out", folder


def completed(folder: Path) -> Ended:
    """Go on to the end, as the run's maker would; a run that never had a checkpoint begins anew in its folder."""
    return Ended(0, "") if finished(folder) else command(*train(folder))


def emptied(folder: Path) -> None:
    """What its maker does with a folder that cannot be gone on with: a disk failed before the first checkpoint."""
    if folder.exists() and not has_checkpoint(folder):
        shutil.rmtree(folder)


def differs(folder: Path, whole: Path) -> str:
    """What is not as in the run that nothing befell; empty where all is."""
    if not same(final_state(folder), final_state(whole)):
        return "weights"
    if logs(folder) != logs(whole):
        return "signals or decisions"
    if scalars(folder) != scalars(whole):
        return "curves"
    return ""


def here(*args: object) -> None:
    """A command in this process, which must do well; what is forked from it then has all modules."""
    arguments, sys.argv = sys.argv, ["balancer", *map(str, args)]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            main()
    except SystemExit as ended:
        assert not ended.code, ended.code
    finally:
        sys.argv = arguments


def whole(folder: Path) -> Path:
    """The run that nothing befalls."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    here(*train(folder))
    return folder


def operations(folder: Path) -> int:
    """How many operations the next command has."""
    counted = folder.with_name("counted")
    shutil.rmtree(counted, ignore_errors=True)
    if folder.exists():
        shutil.copytree(folder, counted)
    told = folder.with_name("count")

    class Counting(Operations):
        def __exit__(self, *error: object) -> None:
            super().__exit__(*error)
            told.write_text(str(self.count))

    command(*train(counted), within=lambda: Counting(counted, lambda *_: None))
    shutil.rmtree(counted)
    return int(told.read_text())


def befallen(folder: Path, befalls: Callable[[int, str, str], None]) -> Ended:
    """The next command of a run, to which something happens."""
    return command(*train(folder), within=lambda: Operations(folder, befalls))


def cut_off(folder: Path, at: int, lost: str) -> bool:
    """The same, with a power cut after one operation; whether it came to that."""
    scratch = folder.with_name("scratch")
    shutil.rmtree(scratch, ignore_errors=True)
    folder.mkdir(exist_ok=True)

    def within() -> Operations:
        disk = Disk(folder, scratch)
        return Operations(folder, cuts(disk, at, lost), disk.synced)

    command(*train(folder), within=within)
    if not (scratch / "left").exists():
        return False
    restore(folder, scratch)
    return True
