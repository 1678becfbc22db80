"""Real processes that are killed or asked to stop, and go on as if they never had."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pytest
from support.resumed_runs import ALL, POINTS, SETTINGS, Cli, assert_same_run, scalars, train

from balancer.record import checkpoint
from balancer.record.signals import read_signals

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


# The command line, which says each step that is done to a pipe.
TELLING = """
import os, sys
from balancer.cli.main import main
from balancer.train.loop import Trainer
pipe, step = int(sys.argv.pop(1)), Trainer.step
def told(trainer, batch):
    step(trainer, batch)
    os.write(pipe, b".")
Trainer.step = told
main()
"""


class Started(NamedTuple):
    """A run in a process of its own, and the pipe to which it says each step."""

    process: "subprocess.Popen[str]"
    steps: BinaryIO

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Look after each step whether the condition holds."""
        while self.steps.read(1):
            if condition():
                return
        raise AssertionError(self.process.communicate())

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.steps.close()


def start(*args: object) -> Started:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", TELLING, str(writing), "train", *map(str, args)],
        env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[writing],
    )  # fmt: skip
    os.close(writing)
    return Started(process, os.fdopen(reading, "rb", buffering=0))


def logged_steps(run: Path) -> int:
    """Whole rows that have reached the file."""
    columns, rows = run / "signals.json", run / "signals.bin"
    if not (columns.exists() and rows.exists()):
        return 0
    return rows.stat().st_size // (8 * (1 + len(read_signals(run))))


ENDLESS = ("--plugins", ALL, *POINTS, *SETTINGS[ALL], "--set", "train.threads=1", "--steps", 1_000_000)


def test_killed_beyond_its_checkpoint(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    started = start(*ENDLESS, "--set", "train.checkpoint_every=100", "--out", run)
    process = started.process
    roots = run / "checkpoints"

    def beyond() -> bool:
        """Hold the process still to look: its logs have gone on past its newest checkpoint, and then some."""
        if not checkpoint.steps(roots):
            return False
        os.kill(process.pid, signal.SIGSTOP)
        if logged_steps(run) > checkpoint.steps(roots)[-1] + 20:
            return True
        os.kill(process.pid, signal.SIGCONT)
        return False

    try:
        started.wait_for(beyond)
    finally:
        started.end()
    assert process.returncode == -signal.SIGKILL
    saved = checkpoint.steps(roots)[-1]
    assert logged_steps(run) > saved
    assert max(step for step, _ in scalars(run)["signal/d_adv"]) >= saved
    result = train(cli, "--resume", run, "--steps", saved + 15, "--quiet")
    assert result.err == ""
    train(cli, *ENDLESS, "--set", "train.checkpoint_every=100", "--steps", saved + 15, "--out", tmp_path / "whole")
    assert_same_run(run, tmp_path / "whole", steps=saved + 15)


def test_every_signal_ends_at_a_step_with_a_checkpoint_and_its_status(tmp_path: Path, cli: Cli) -> None:
    runs = {number: tmp_path / number.name for number in SIGNALS}
    every = ("--set", "train.checkpoint_every=1000000")
    begun = {number: start(*ENDLESS, *every, "--out", run) for number, run in runs.items()}
    try:
        for number, started in begun.items():
            started.wait_for(lambda run=runs[number]: logged_steps(run) > 0)
            started.process.send_signal(number)
        for number, (process, pipe) in begun.items():
            pipe.read()  # to its end, for a full one would hold the run up
            out, err = process.communicate()
            assert process.returncode == 128 + number, err
            (steps,) = checkpoint.steps(runs[number] / "checkpoints")
            onward = f"go on with: balancer train --resume {runs[number]}"
            assert out == f"stopped at step {steps} by {number.name}, with a checkpoint; {onward}\n"
            assert err == ""
            assert read_signals(runs[number])["step"].tolist() == list(range(steps))
    finally:
        for started in begun.values():
            started.end()
    run = runs[signal.SIGTERM]
    (steps,) = checkpoint.steps(run / "checkpoints")
    train(cli, "--resume", run, "--steps", steps + 15, "--quiet")
    train(cli, *ENDLESS, *every, "--steps", steps + 15, "--out", tmp_path / "whole")
    assert_same_run(run, tmp_path / "whole", steps=steps + 15)


# The command line, which says to a pipe when it comes to a place, and stays there until it is told.
HELD = """
import os, sys, time
from balancer.cli.main import main
pipe, place = int(sys.argv.pop(1)), sys.argv.pop(1)
def hold(module, name):
    found = getattr(module, name)
    def held(*args, **more):
        os.write(pipe, b".")
        until = time.monotonic() + 3
        while time.monotonic() < until:  # short waits: a handler acts between them
            time.sleep(0.01)
        return found(*args, **more)
    setattr(module, name, held)
if place == "building":
    from balancer.train import run
    hold(run, "build")
elif place == "first step":
    from balancer.train.step import GanStep
    hold(GanStep, "d_pass")
elif place == "saving":
    from balancer.record import checkpoint
    hold(checkpoint, "_publish")
elif place == "ending":
    from balancer.train.trackers import Trackers
    hold(Trackers, "finish")
main()
"""


def held(place: str, *args: object) -> Started:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, str(writing), place, "train", *map(str, args)],
        env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[writing],
    )  # fmt: skip
    os.close(writing)
    return Started(process, os.fdopen(reading, "rb", buffering=0))


SHORT = ("--plugins", "", *POINTS, "--set", "train.threads=1", "--steps", 3)


@pytest.mark.parametrize(
    ("place", "saved", "said"),
    [
        ("building", [], "SIGTERM: ended before the first step; nothing was trained\n"),
        ("first step", [1], "stopped at step 1 by SIGTERM, with a checkpoint; go on with: balancer train --resume "),
        ("saving", [3], "done: 3 steps; "),
        ("ending", [3], "done: 3 steps; "),
    ],
)
def test_a_signal_means_the_same_from_start_to_end(place: str, saved: list[int], said: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    started = held(place, *SHORT, "--out", run)
    try:
        assert started.steps.read(1) == b"."
        started.process.send_signal(signal.SIGTERM)
        out, err = started.process.communicate()
        assert started.process.returncode == 128 + signal.SIGTERM, err
        assert (out + err).startswith(said)
        assert "Traceback" not in err
        assert checkpoint.steps(run / "checkpoints") == saved
    finally:
        started.end()


def test_a_second_signal_ends_at_once_and_leaves_whole_checkpoints(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    train(cli, *SHORT, "--out", run)
    started = held("saving", "--resume", run, "--steps", 6, "--quiet")
    try:
        assert started.steps.read(1) == b"."
        started.process.send_signal(signal.SIGINT)
        time.sleep(1.3)
        started.process.send_signal(signal.SIGTERM)
        out, err = started.process.communicate()
        assert started.process.returncode == 128 + signal.SIGTERM
        assert (out, err) == ("", "ended at once; the newest checkpoint is whole\n")
    finally:
        started.end()
    assert checkpoint.load_latest(run / "checkpoints").step == 3
    train(cli, "--resume", run, "--steps", 6, "--quiet")


def test_a_terminal_that_closes_ends_the_run_with_a_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "balancer", "train", *map(str, ENDLESS[:-2]), "--steps", "1000000"]
    child, terminal = pty.fork()
    if child == 0:
        os.execve(sys.executable, [*(part for part in command if part != "--quiet"), "--out", str(run)], ENVIRONMENT)
    while logged_steps(run) == 0:
        os.read(terminal, 1024)
    os.close(terminal)  # the kernel sends SIGHUP
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGHUP
    (steps,) = checkpoint.steps(run / "checkpoints")[-1:]
    assert read_signals(run)["step"].tolist() == list(range(steps))


def test_what_nohup_ignores_stays_ignored() -> None:
    kept = "import signal; from balancer.train.stopping import stop_requests\nwith stop_requests() as stop:\n"
    code = f"{kept}    signal.raise_signal(signal.SIGHUP)\nprint(stop.number)"
    done = subprocess.run(["nohup", sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
