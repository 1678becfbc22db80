"""A run directory that goes while the run goes on: noticed and said, never made anew; one that comes back is used."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.resumed_runs import POINTS, Cli, train

from balancer.record import checkpoint

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

# The command line, in whose process a step ends with this piece of code; `run` is the run directory.
AFTER_A_STEP = """
import os, shutil, sys, threading
from pathlib import Path
from balancer.cli.main import main
from balancer.train.loop import Trainer
code, run, step = sys.argv.pop(1), Path(sys.argv.pop(1)), Trainer.step
def then(trainer, batch):
    step(trainer, batch)
    if trainer.balance.step == 7:
        exec(code)
Trainer.step = then
main()
"""
ENDING = (*POINTS, "--plugins", "", "--set", "train.checkpoint_every=5", "--set", "train.threads=1")


def after_a_step(code: str, run: Path, *args: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", AFTER_A_STEP, code, str(run), "train", *map(str, args), "--out", str(run)]
    return subprocess.run(command, env=ENVIRONMENT, text=True, capture_output=True, check=False)


@pytest.mark.parametrize(
    "code",
    [
        "shutil.rmtree(run)",
        "shutil.rmtree(run); run.mkdir()",
        "run.rename(run.with_name('moved'))",
        "run.rename(run.with_name('moved')); run.write_text('a file')",
    ],
)
@pytest.mark.parametrize("log_every", [1, 100])
def test_a_directory_that_goes_ends_the_run(code: str, log_every: int, tmp_path: Path, cli: Cli) -> None:
    run, moved = tmp_path / "run", tmp_path / "moved"
    done = after_a_step(code, run, *ENDING, "--set", f"train.log_every={log_every}", "--steps", 20)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"balancer: run directory {run} was removed, moved or replaced while the run went on: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (run / "checkpoints").exists()
    if moved.exists():
        assert checkpoint.steps(moved / "checkpoints") == [5]
        train(cli, "--resume", moved, "--steps", 20)


def test_a_directory_that_comes_back_within_a_second_is_used(tmp_path: Path, cli: Cli) -> None:
    run, plain = tmp_path / "run", tmp_path / "plain"
    away = "run.rename(run.with_name('away'))"
    back = "threading.Timer(0.3, lambda: run.with_name('away').rename(run)).start()"
    done = after_a_step(f"{away}; {back}", run, *ENDING, "--steps", 20)
    assert done.returncode == 0, done.stderr
    train(cli, *ENDING, "--steps", 20, "--out", plain)
    assert checkpoint.steps(run / "checkpoints") == checkpoint.steps(plain / "checkpoints")
    shutil.rmtree(plain)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="everything is writable to root")
def test_a_directory_that_may_not_be_written_ends_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = after_a_step("(run / 'checkpoints').chmod(0o500)", run, *ENDING, "--steps", 20)
    (run / "checkpoints").chmod(0o700)
    assert done.returncode == 2
    assert "cannot save checkpoint" in done.stderr
    assert checkpoint.steps(run / "checkpoints") == [5]
