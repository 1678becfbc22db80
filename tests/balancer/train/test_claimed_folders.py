"""One process at a time trains in a run directory; a default one is nobody else's; what hardly began begins anew."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.refusals import RUN, Cli, assert_refused, refused

from balancer.record import checkpoint

pytestmark = pytest.mark.usefixtures("here")
LONG = ("--model", "points", "--plugins", "", "--device", "cpu", "--steps", "1000000", "--set", "train.threads=1")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """`balancer ARGS…` in a process of its own, killed at the end."""
    began: list[subprocess.Popen[str]] = []

    def starting(*args: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "from balancer.cli.main import main; main()", *map(str, args)]
        began.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return began[-1]

    yield starting
    for process in began:
        process.kill()
        process.communicate()


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_who_trains_there_is_named_and_a_dead_process_is_no_obstacle(here: Path, cli: Cli, start: Start) -> None:
    first = start("train", *LONG, "--set", "train.checkpoint_every=5", "--out", "run", "--quiet")
    wait_for(here / "run" / "checkpoints" / "step_00000005", first)
    for again in (("--resume", "run", "--quiet"), (*RUN, "--out", "run")):
        message = assert_refused(*cli("train", *again))
        if "--resume" in again:
            assert message.startswith(f"run directory run is in use: process {first.pid} on {os.uname().nodename} has ")
            assert "trained there since 20" in message
    assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert (here / "run" / ".holder.json").exists()
    (here / "run" / ".config.toml.0123456789abcdef.tmp").write_bytes(b"half")
    done = checkpoint.steps(here / "run" / "checkpoints")[-1]
    assert cli("train", "--resume", "run", "--steps", done + 1, "--quiet").status == 0
    hidden = sorted(path.name for path in (here / "run").iterdir() if path.name.startswith("."))
    assert hidden == [".lock"]


def test_a_lock_that_leads_elsewhere_is_refused(here: Path, cli: Cli) -> None:
    assert cli("train", *RUN, "--out", "run").status == 0
    (here / "mine").write_text("mine")
    (here / "run" / ".lock").unlink()
    for name in (".lock", ".holder.json"):
        (here / "run" / name).symlink_to(here / "mine")
        assert f"{name} is a link" in refused(cli, "--resume", "run", "--steps", 9)
        (here / "run" / name).unlink()
    assert (here / "mine").read_text() == "mine"


def test_runs_that_start_at_once_in_the_default_folder_get_one_each(here: Path, start: Start) -> None:
    args = (*LONG[:6], "--steps", "3", "--quiet")
    began = [start("train", *args, "--seed", seed) for seed in (1, 2, 3)]
    for process in began:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    seeds = {path.parent.name: path.read_text().split("seed = ")[1][0] for path in here.glob("runs/*/config.toml")}
    assert sorted(seeds) == ["points-baseline", "points-baseline-2", "points-baseline-3"]
    assert sorted(seeds.values()) == ["1", "2", "3"]


def begun(here: Path, start: Start) -> Path:
    """A run that was killed before its first checkpoint."""
    process = start("train", *LONG, "--set", "train.checkpoint_every=1000000", "--out", "run", "--quiet")
    wait_for(here / "run" / "signals.bin", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return here / "run"


def test_a_run_that_stopped_before_its_first_checkpoint_begins_anew(here: Path, cli: Cli, start: Start) -> None:
    run = begun(here, start)
    (run / "notes.txt").write_text("mine")
    (run / "sheets").mkdir(exist_ok=True)
    (run / "sheets" / "step_00000099.png").write_bytes(b"of the run that stopped")
    (run / "sheets" / "mine.png").write_bytes(b"mine")
    result = cli("train", *RUN[:-1], "--out", "run")
    assert result.status == 0, result.err
    assert "run held a run that stopped before its first checkpoint; it is begun anew" in result.err
    assert checkpoint.steps(run / "checkpoints") == [3]
    assert [json.loads(line)["step"] for line in (run / "compositions.jsonl").read_text().splitlines()] == [0]
    assert len(list(run.glob("events.*"))) == 1
    assert (run / "notes.txt").read_text() == "mine"
    assert [path.name for path in (run / "sheets").iterdir() if path.name != "step_00000003.png"] == ["mine.png"]


def test_a_config_that_somebody_wrote_is_no_run_that_stopped(here: Path, cli: Cli, start: Start) -> None:
    run = begun(here, start)
    (here / "mine").mkdir()
    shutil.copy(run / "config.toml", here / "mine" / "config.toml")
    assert "choose another --out" in refused(cli, *RUN, "--out", "mine")


def test_a_folder_that_was_made_for_nothing_goes_again(here: Path, cli: Cli) -> None:
    refused(cli, *RUN, "--set", "train.micro_batches=7")
    refused(cli, *RUN, "--set", "train.micro_batches=7", "--out", "deep/run")
    (here / "empty").mkdir()
    refused(cli, *RUN, "--set", "train.micro_batches=7", "--out", "empty")
