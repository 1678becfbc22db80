"""Real processes that are killed or asked to stop, and go on as if they never had."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pytest
from support.resumed_runs import ALL, POINTS, SETTINGS, Cli, assert_same_run, scalars, train

from balancer.record import checkpoint
from balancer.record.signals import read_signals
from balancer.train.stopping import StopRequests

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
    return rows.stat().st_size // (8 * len(read_signals(run)))


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


def test_a_second_ctrl_c_breaks_off() -> None:
    stop = StopRequests()
    stop(signal.SIGINT, None)
    assert stop.requested
    stop(signal.SIGTERM, None)
    with pytest.raises(KeyboardInterrupt):
        stop(signal.SIGINT, None)


def test_ctrl_c_and_sigterm_end_at_a_step_with_a_checkpoint(tmp_path: Path, cli: Cli) -> None:
    runs = {number: tmp_path / number.name for number in (signal.SIGINT, signal.SIGTERM)}
    every = ("--set", "train.checkpoint_every=1000000")
    begun = {number: start(*ENDLESS, *every, "--out", run) for number, run in runs.items()}
    try:
        for number, started in begun.items():
            started.wait_for(lambda run=runs[number]: logged_steps(run) > 0)
            started.process.send_signal(number)
        for number, (process, pipe) in begun.items():
            pipe.read()  # to its end, for a full one would hold the run up
            out, err = process.communicate()
            assert process.returncode == 0, err
            (steps,) = checkpoint.steps(runs[number] / "checkpoints")
            assert out == f"stopped at step {steps}; go on with: balancer train --resume {runs[number]}\n"
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
