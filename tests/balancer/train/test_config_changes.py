"""A run keeps each config under which it took steps, by the step it held until, however often it goes on or back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from balancer.record.config_files import run_segments
from balancer.record.signals import read_signals

Cli = Callable[..., Any]


class Run:
    """A run of the points model with a checkpoint every five steps, told apart by its learning rates."""

    def __init__(self, folder: Path, cli: Cli) -> None:
        self.folder = folder
        self._cli = cli
        self._train("--model", "points", "--plugins", "", "--out", folder, "--device", "cpu", "--steps", 10,
                    "--set", "train.lr=0.001", "--set", "train.checkpoint_every=5", "--set", "train.keep=99",
                    "--set", "train.batch_size=64", "--set", "model.points=512")  # fmt: skip

    def _train(self, *args: object) -> None:
        result = self._cli("train", *args, "--quiet")
        assert result.status == 0, result.err

    def resume(self, steps: int, lr: float | None = None) -> None:
        """On to so many steps, with another rate or the same."""
        change = () if lr is None else ("--set", f"train.lr={lr}", "--allow-change", "train.lr")
        self._train("--resume", self.folder, "--steps", steps, *change)

    def back_to(self, step: int) -> None:
        """Take the checkpoints of later steps away."""
        for path in (self.folder / "checkpoints").glob("step_*"):
            if int(path.name.removeprefix("step_")) > step:
                shutil.rmtree(path)

    def held(self) -> list[tuple[int, int | None, float]]:
        """From which step until which one which rate held, as the configs say; the files are named by their step."""
        segments = run_segments(self.folder)
        names = ["config.toml" if one.until is None else f"config.until_{one.until:08d}.toml" for one in segments]
        assert [one.path.name for one in segments] == names
        assert sorted(path.name for path in self.folder.glob("config*.toml")) == sorted(names)
        rates = [one.tables["train"]["lr"] for one in segments]
        # What the configs say is what the optimizer did.
        used = read_signals(self.folder)["lr_g"].tolist()
        for segment, rate in zip(segments, rates, strict=True):
            assert set(used[segment.first : segment.until]) == {rate}
        return [(one.first, one.until, rate) for one, rate in zip(segments, rates, strict=True)]


@pytest.fixture
def run(tmp_path: Path, cli: Cli) -> Run:
    return Run(tmp_path / "run", cli)


def test_a_change_is_kept_by_the_step_before_which_it_was_made(run: Run) -> None:
    run.resume(15, lr=0.002)
    assert run.held() == [(0, 10, 0.001), (10, None, 0.002)]
    run.resume(25, lr=0.003)
    assert run.held() == [(0, 10, 0.001), (10, 15, 0.002), (15, None, 0.003)]


def test_a_longer_run_of_the_same_settings_holds_them_throughout(run: Run) -> None:
    run.resume(15)
    run.resume(20)
    assert {rate for _, _, rate in run.held()} == {0.001}


def test_from_an_earlier_checkpoint_what_was_changed_after_it_is_forgotten(run: Run) -> None:
    run.resume(15, lr=0.002)
    run.resume(25, lr=0.003)
    run.back_to(5)
    run.resume(12, lr=0.004)
    assert run.held() == [(0, 5, 0.001), (5, None, 0.004)]


def test_from_a_checkpoint_between_two_changes_the_first_one_stays(run: Run) -> None:
    run.resume(20, lr=0.002)
    run.resume(25, lr=0.003)
    run.back_to(15)
    run.resume(22, lr=0.004)
    assert run.held() == [(0, 10, 0.001), (10, 15, 0.002), (15, None, 0.004)]


def test_from_the_checkpoint_at_which_it_was_changed_it_may_be_changed_anew(run: Run) -> None:
    run.resume(15, lr=0.002)
    run.back_to(10)
    run.resume(15, lr=0.003)
    assert run.held() == [(0, 10, 0.001), (10, None, 0.003)]
    run.back_to(10)
    run.resume(15, lr=0.004)
    assert run.held() == [(0, 10, 0.001), (10, None, 0.004)]
