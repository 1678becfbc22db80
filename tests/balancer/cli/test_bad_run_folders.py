"""Run directories that are in the way, damaged or no run at all end with one line that says what to do."""

import shutil
from pathlib import Path

import pytest
from support.refusals import RUN, Cli, assert_refused, refused

from balancer.record import checkpoint

pytestmark = pytest.mark.usefixtures("here")


def test_a_run_directory_that_exists(here: Path, cli: Cli) -> None:
    assert cli("train", *RUN, "--out", "run").status == 0
    assert "run directory run exists: choose another --out, or go on with --resume run" in refused(
        cli, *RUN, "--out", "run"
    )
    (here / "file").write_text("mine")
    assert "run directory file exists" in refused(cli, *RUN, "--out", "file")
    (here / "empty").mkdir()
    assert cli("train", *RUN, "--out", "empty").status == 0, "an empty one is as good as none"


def test_a_directory_that_cannot_be_made(here: Path, cli: Cli) -> None:
    (here / "file").write_text("in the way")
    message = refused(cli, *RUN, "--out", "file/run")
    assert message.startswith("run directory file/run")
    assert "Not a directory" in message
    assert "File name too long" in refused(cli, *RUN, "--out", "x" * 300)


def test_resuming_what_is_no_run(here: Path, cli: Cli) -> None:
    (here / "empty").mkdir()
    (here / "file").write_text("")
    for folder in ("none", "empty", "file"):
        message = refused(cli, "--resume", folder, "--steps", 9)
        assert message == f"--resume {folder}: no run there (config.toml is missing)"


class TestDamagedRun:
    @pytest.fixture
    def run(self, here: Path, cli: Cli) -> Path:
        assert cli("train", *RUN, "--set", "train.checkpoint_every=2", "--out", "run").status == 0
        return here / "run"

    def test_every_checkpoint_is_damaged(self, run: Path, cli: Cli) -> None:
        for path in (run / "checkpoints").glob("*/tensors.safetensors"):
            path.write_bytes(b"\0" * path.stat().st_size)
        message = refused(cli, "--resume", "run", "--steps", 9)
        assert message.startswith("there is no checkpoint that can be used in run/checkpoints")
        assert message.count("tensors.safetensors is damaged") == 2

    def test_there_is_no_checkpoint(self, run: Path, cli: Cli) -> None:
        shutil.rmtree(run / "checkpoints")
        assert refused(cli, "--resume", "run", "--steps", 9).startswith("there is no checkpoint in run/checkpoints")

    @pytest.mark.parametrize("text", ["", "[run]\n", "[run", "run = 1", "[run]\nmodel = 'points'\nplugins = 'd_skip'"])
    def test_its_config_is_damaged(self, text: str, run: Path, cli: Cli) -> None:
        (run / "config.toml").write_text(text)
        assert "config" in refused(cli, "--resume", "run", "--steps", 9)

    def test_the_state_of_another_model_size(self, run: Path, cli: Cli) -> None:
        change = ("--set", "model.width=8", "--allow-change", "model.width")
        assert "model" in refused(cli, "--resume", "run", "--steps", 9, *change)

    @pytest.mark.parametrize("name", ["signals.json", "decisions.jsonl"])
    def test_damaged_logs_do_not_keep_it_from_going_on(self, name: str, run: Path, cli: Cli) -> None:
        (run / name).write_bytes(b'{"step": \xff\n')
        result = cli("train", "--resume", "run", "--steps", 9, "--quiet")
        assert "Traceback" not in result.err
        if result.status:
            assert_refused(*result)
        else:
            assert checkpoint.steps(run / "checkpoints")[-1] == 9


def test_a_run_that_stopped_before_its_first_checkpoint_is_not_offered_for_resuming(here: Path, cli: Cli) -> None:
    (here / "begun").mkdir()
    (here / "begun" / "config.toml").write_text("")
    result = cli("train", "--model", "points", "--plugins", "", "--steps", 2, "--device", "cpu", "--out", "begun")
    assert result.status == 2
    assert "stopped before its first checkpoint: choose another --out" in result.err
    assert "--resume" not in result.err
