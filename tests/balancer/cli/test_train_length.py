"""How long `balancer train` trains: by steps or by epochs, on the command line and in a config file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from balancer.record import checkpoint

Cli = Callable[..., Any]


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    """A config file of the points model, two steps an epoch, with further lines for `[train]`."""

    def write(lines: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(
            '[run]\nmodel = "points"\nplugins = []\n[model]\npoints = 64\n'
            f'[train]\nbatch_size = 32\ndevice = "cpu"\n{lines}\n'
        )
        return path

    return write


def trained(cli: Cli, out: Path, *args: object) -> int:
    """How many steps the run has done."""
    result = cli("train", *args, "--quiet")
    assert result.status == 0, result.err
    (done,) = checkpoint.steps(out / "checkpoints")[-1:]
    assert result.out.startswith(f"done: {done} steps; ")
    return done


@pytest.mark.parametrize(
    ("lines", "flags", "steps"),
    [
        ("steps = 3", (), 3),
        ("epochs = 3", (), 6),
        ("steps = 3\nepochs = 4", (), 3),
        ("steps = 3", ("--epochs", 2), 4),
        ("epochs = 3", ("--epochs", 2), 4),
        ("steps = 3\nepochs = 4", ("--epochs", 2), 4),
        ("epochs = 3", ("--steps", 5), 5),
        ("steps = 3", ("--set", "train.steps=7", "--epochs", 1), 2),
    ],
)
def test_the_command_line_goes_before_the_file_and_there_steps_before_epochs(
    lines: str, flags: tuple[object, ...], steps: int, config: Callable[[str], Path], tmp_path: Path, cli: Cli
) -> None:
    run = tmp_path / "run"
    assert trained(cli, run, "--config", config(lines), "--out", run, *flags) == steps


def test_a_run_of_so_many_steps_goes_on_to_so_many_epochs(
    config: Callable[[str], Path], tmp_path: Path, cli: Cli
) -> None:
    run = tmp_path / "run"
    assert trained(cli, run, "--config", config("steps = 3"), "--out", run) == 3
    assert trained(cli, run, "--resume", run, "--epochs", 3) == 6
    # What was asked for last is what the run's config says.
    again = tmp_path / "again"
    assert trained(cli, again, "--config", run / "config.toml", "--out", again) == 6


def test_both_at_once_contradict_each_other(config: Callable[[str], Path], tmp_path: Path, cli: Cli) -> None:
    result = cli("train", "--config", config(""), "--steps", 3, "--epochs", 2, "--out", tmp_path / "run")
    assert (result.status, result.err) == (2, "balancer: --steps and --epochs contradict each other: give one\n")
    assert not (tmp_path / "run").exists()
