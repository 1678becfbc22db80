"""A run that stops and goes on is the run that never stopped: weights, logs and curves."""

import os
import shutil
import tomllib
from pathlib import Path

import pytest
from support.checkpoint_states import same
from support.resumed_runs import (
    ALL,
    BASE,
    POINTS,
    SETTINGS,
    STEPS,
    STOP,
    Cli,
    assert_same_run,
    final_state,
    snapshot,
    train,
)

from balancer.record import checkpoint
from balancer.record.signals import read_signals


@pytest.mark.parametrize("plugins", SETTINGS, ids=lambda names: "all" if names == ALL else names or "baseline")
def test_resumed_mid_epoch_it_is_bit_identical(plugins: str, tmp_path: Path, cli: Cli) -> None:
    args = ("--plugins", plugins, *POINTS, *SETTINGS[plugins])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(cli, *args, "--steps", STEPS, "--out", whole)
    train(cli, *args, "--steps", STOP, "--out", parts)
    stopped = final_state(parts)
    assert not same(stopped, final_state(whole))
    result = train(cli, "--resume", parts, "--steps", STEPS, "--quiet")
    assert result.out.startswith(f"done: {STEPS} steps")
    assert_same_run(whole, parts, steps=STEPS)
    assert (parts / "config.toml").read_bytes() == (whole / "config.toml").read_bytes()
    # What ran before the resume stays on record.
    before = tomllib.loads((parts / f"config.until_{STOP:08d}.toml").read_text())
    assert before["train"]["steps"] == STOP


@pytest.mark.parametrize("stop", [8, 11, 16])
def test_a_change_that_is_due_where_the_run_stops(stop: int, tmp_path: Path, cli: Cli) -> None:
    """Epochs begin at 8 and 16, the head thaws at 11: each change is decided once, at the same moment."""
    settings = ("--set", "freeze_head.until=11", "--set", "freeze_head.clock=step")
    args = ("--plugins", "freeze_head,lambda_schedule", *POINTS, *settings, *SETTINGS["lambda_schedule"])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(cli, *args, "--steps", 20, "--out", whole)
    train(cli, *args, "--steps", stop, "--out", parts)
    train(cli, "--resume", parts, "--steps", 20, "--quiet")
    assert_same_run(whole, parts, steps=20)


def test_zi2zi_with_dropout_and_skipped_steps(tmp_path: Path, cli: Cli) -> None:
    # 30 characters give 3 steps an epoch; batch norm and spectral norm are buffers that must come back.
    args = (
        "--plugins", "d_skip", *BASE, "--set", "model.dropout=0.5", "--set", "model.norm=batch",
        "--set", "model.spectral_norm=true", "--set", "model.max_characters=30", "--set", "model.g_channels=8",
        "--set", "model.d_channels=8", "--set", "model.max_channels=32",
    )  # fmt: skip
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(cli, *args, "--steps", 7, "--out", whole)
    train(cli, *args, "--steps", 4, "--out", parts)
    train(cli, "--resume", parts, "--steps", 7, "--quiet")
    assert_same_run(whole, parts, steps=7)
    last = "step_00000007.png"
    assert (whole / "sheets" / last).read_bytes() == (parts / "sheets" / last).read_bytes()


def test_resumed_twice_and_from_any_checkpoint(tmp_path: Path, cli: Cli) -> None:
    args = ("--plugins", ALL, *POINTS, *SETTINGS[ALL])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(cli, *args, "--steps", STEPS, "--out", whole)
    train(cli, *args, "--steps", 4, "--out", parts)
    train(cli, "--resume", parts, "--steps", STOP, "--quiet")
    train(cli, "--resume", parts, "--steps", STEPS, "--quiet")
    assert_same_run(whole, parts, steps=STEPS)
    # The newest two are gone: the run is taken back to step 13, its logs with it, and goes the same way again.
    for step in (20, 30):
        shutil.rmtree(parts / "checkpoints" / f"step_{step:08d}")
    assert checkpoint.steps(parts / "checkpoints") == [4, 10, 13]
    train(cli, "--resume", parts, "--quiet")
    assert_same_run(whole, parts, steps=STEPS)


class TestDamage:
    @pytest.fixture
    def run(self, tmp_path: Path, cli: Cli) -> Path:
        train(cli, "--plugins", "dynamic_lambda", *POINTS, "--steps", 20, "--out", tmp_path / "run")
        return tmp_path / "run"

    def test_the_previous_checkpoint_serves_and_it_says_so(self, run: Path, tmp_path: Path, cli: Cli) -> None:
        shutil.copytree(run, tmp_path / "whole")
        newest = run / "checkpoints" / "step_00000020" / "tensors.safetensors"
        damaged = bytearray(newest.read_bytes())
        damaged[len(damaged) // 2] ^= 4
        newest.write_bytes(damaged)
        result = cli("train", "--resume", run)
        assert result.status == 0, result.err
        warning, onward = [line for line in result.err.splitlines() if line.startswith("warning:")]
        assert onward == "warning: going on from step 10"
        assert "step_00000020" in warning
        assert "tensors.safetensors is damaged" in warning
        assert_same_run(tmp_path / "whole", run, steps=20)

    def test_none_is_good(self, run: Path, cli: Cli) -> None:
        for path in (run / "checkpoints").glob("*/state.json"):
            path.write_bytes(path.read_bytes()[:-1])
        before = snapshot(run)
        result = cli("train", "--resume", run, "--steps", 30)
        assert result.status == 2
        assert result.err.startswith("balancer: there is no checkpoint that can be used")
        assert result.err.count("state.json is damaged") == 2
        assert result.err.count("\n") == 1
        assert snapshot(run) == before

    def test_signals_that_the_disk_had_no_room_for_are_missing_and_no_others(
        self, run: Path, tmp_path: Path, cli: Cli
    ) -> None:
        """The log was given up within step 5, the checkpoint at step 20 was saved all the same."""
        rows, whole = run / "signals.bin", read_signals(run)
        width = 8 * (1 + len(whole))
        os.truncate(rows, 5 * width + 44)
        train(cli, "--resume", run, "--steps", 25, "--quiet")
        columns = read_signals(run)
        assert rows.stat().st_size == 10 * width
        assert columns["step"].tolist() == [*range(5), *range(20, 25)]
        assert columns["d_adv"][:5].tolist() == whole["d_adv"][:5].tolist()
        # The run is taken back once more: what is cut goes by the step, not by the row.
        shutil.rmtree(run / "checkpoints" / "step_00000025")
        train(cli, "--resume", run, "--steps", 22, "--quiet")
        assert read_signals(run)["step"].tolist() == [*range(5), 20, 21]


def test_the_config_of_a_run_repeats_it(tmp_path: Path, cli: Cli) -> None:
    first, again, shuffled = tmp_path / "first", tmp_path / "again", tmp_path / "shuffled"
    args = (*POINTS, *SETTINGS[ALL], "--steps", STEPS, "--seed", 3)
    train(cli, "--plugins", ALL, *args, "--out", first)
    train(cli, "--config", first / "config.toml", "--out", again, "--quiet")
    assert_same_run(first, again, steps=STEPS)
    assert (first / "config.toml").read_bytes() == (again / "config.toml").read_bytes()
    # The order on the command line leaves no trace.
    train(cli, "--plugins", ",".join(ALL.split(",")[::-1]), *args, "--out", shuffled)
    assert_same_run(first, shuffled, steps=STEPS)
    assert (first / "config.toml").read_bytes() == (shuffled / "config.toml").read_bytes()
