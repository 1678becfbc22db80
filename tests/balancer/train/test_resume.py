"""A run that stops and goes on is the run that never stopped: weights, logs and curves, after a kill too."""

import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from balancer.record import checkpoint
from balancer.record.signals import read_signals
from balancer.train.stopping import StopRequests

Cli = Callable[..., Any]

ALL = "d_lr_ratio,d_skip,dynamic_lambda,freeze_head,label_smoothing,lambda_schedule"
# 8 steps an epoch; 13 is in the middle of one.
STEPS, STOP = 30, 13
BASE = ("--device", "cpu", "--quiet", "--set", "train.log_every=1", "--set", "train.checkpoint_every=10",
        "--set", "train.keep=9")  # fmt: skip
POINTS = ("--model", "points", "--set", "train.batch_size=64", "--set", "train.lr=5e-3", *BASE)
# What each does something with before and after the step where the run stops.
SETTINGS = {
    "": (),
    "d_lr_ratio": ("--set", "train.lr_decay=0.9"),
    "d_skip": ("--set", "d_skip.every=3", "--set", "d_skip.accuracy_above=0.6"),
    "dynamic_lambda": (
        "--set", "dynamic_lambda.warmup_steps=20", "--set", "dynamic_lambda.half_life=5",
        "--set", "dynamic_lambda.bands=[[0.67, 0.2], [0.69, 0.4]]", "--set", "dynamic_lambda.hysteresis=0.01",
    ),
    "freeze_head": ("--set", "freeze_head.until=11", "--set", "freeze_head.clock=d_update"),
    "label_smoothing": ("--set", "label_smoothing.sides=real"),
    "lambda_schedule": ("--set", "lambda_schedule.steps=[[0, 0.1], [1, 0.2], [3, 0.5]]"),
}  # fmt: skip
SETTINGS[ALL] = tuple(part for parts in SETTINGS.values() for part in parts)


def train(cli: Cli, *args: object) -> Any:
    result = cli("train", *args)
    assert result.status == 0, result.err
    return result


def final_state(run: Path) -> dict[str, Any]:
    return checkpoint.load_latest(run / "checkpoints").state


def same(one: Any, two: Any) -> bool:
    """Equal in structure and in bits."""
    if isinstance(one, torch.Tensor):
        return isinstance(two, torch.Tensor) and one.dtype == two.dtype and torch.equal(one, two)
    if isinstance(one, dict):
        return isinstance(two, dict) and list(one) == list(two) and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(two) and len(one) == len(two) and all(map(same, one, two))
    return type(one) is type(two) and one == two


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Every point of every curve that TensorBoard would draw, in the order it was written."""
    curves = defaultdict(list)

    def written(path: Path) -> list[int]:
        """When, from a name such as events.out.tfevents.SECOND.HOST.PROCESS.NUMBER."""
        return [int(path.name.split(".")[at]) for at in (3, -1)]

    for path in sorted(run.glob("events.out.tfevents.*"), key=written):
        for raw in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(raw)
            for value in event.summary.value:
                if value.HasField("tensor") and value.tensor.float_val:
                    curves[value.tag].append((event.step, value.tensor.float_val[0]))
                elif value.HasField("simple_value"):
                    curves[value.tag].append((event.step, value.simple_value))
    return curves


def logs(run: Path) -> tuple[bytes, bytes, bytes]:
    decisions = run / "decisions.jsonl"
    return (
        (run / "signals.json").read_bytes(),
        (run / "signals.bin").read_bytes(),
        decisions.read_bytes() if decisions.exists() else b"",
    )


def assert_same_run(one: Path, two: Path, *, steps: int) -> None:
    assert same(final_state(one), final_state(two))
    assert logs(one) == logs(two)
    assert read_signals(one)["step"].tolist() == list(range(steps))
    curves = scalars(one)
    assert curves.keys() == scalars(two).keys()
    for tag, points in curves.items():
        assert points == scalars(two)[tag], tag
        assert [step for step, _ in points] == list(range(steps)), f"{tag}: a step twice, or one missing"
    assert {"signal/d_adv", "loss/adv", "knob/lambda_adv", "lr/d", "share/adv"} <= curves.keys()


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
        width = 8 * len(whole)
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


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestChanges:
    @pytest.fixture
    def run(self, tmp_path: Path, cli: Cli) -> Path:
        args = ("--plugins", "dynamic_lambda,d_lr_ratio", *POINTS, "--set", "train.lambda_adv=0.7")
        train(cli, *args, "--set", "dynamic_lambda.warmup_steps=0", "--steps", STOP, "--out", tmp_path / "run")
        return tmp_path / "run"

    def refused(self, cli: Cli, run: Path, *args: object) -> str:
        before = snapshot(run)
        result = cli("train", "--resume", run, "--steps", STEPS, *args)
        assert result.status == 2
        assert result.err.startswith("balancer: ")
        assert result.err.count("\n") == 1
        assert snapshot(run) == before
        return str(result.err)

    def test_a_changed_setting_is_refused_field_by_field(self, run: Path, cli: Cli) -> None:
        message = self.refused(
            cli, run, "--set", "train.lr=1e-3", "--set", "model.width=16", "--set", "dynamic_lambda.ceiling=0.5",
            "--set", "d_lr_ratio.ratio=0.25", "--seed", 4,
        )  # fmt: skip
        for row in (
            "train.lr: 0.005 -> 0.001", "model.width: 32 -> 16", "dynamic_lambda.ceiling: 0.6 -> 0.5",
            "train.seed: 0 -> 4", "--allow-change dynamic_lambda.ceiling",
        ):  # fmt: skip
            assert row in message
        assert "d_lr_ratio" not in message, "the same value is no change"

    def test_a_changed_plugin_set_is_refused(self, run: Path, cli: Cli) -> None:
        message = self.refused(cli, run, "--plugins", "dynamic_lambda,d_skip")
        assert "run.plugins: ['d_lr_ratio', 'dynamic_lambda'] -> ['d_skip', 'dynamic_lambda']" in message
        assert "--allow-change run.plugins" in message

    def test_another_order_of_the_same_plugins_is_no_change(self, run: Path, cli: Cli) -> None:
        train(cli, "--resume", run, "--steps", STEPS, "--plugins", "d_lr_ratio,dynamic_lambda", "--quiet")

    def test_only_what_is_named_may_change(self, run: Path, cli: Cli) -> None:
        changes = ("--set", "train.lr=1e-3", "--set", "dynamic_lambda.ceiling=0.3")
        message = self.refused(cli, run, *changes, "--allow-change", "train.lr")
        assert "dynamic_lambda.ceiling" in message
        assert "train.lr:" not in message
        assert "no such setting: did you mean train.lr" in self.refused(cli, run, "--allow-change", "train.lrr")
        train(cli, "--resume", run, "--steps", STEPS, "--quiet", *changes,
              "--allow-change", "train.lr", "--allow-change", "dynamic_lambda.ceiling")  # fmt: skip
        columns = read_signals(run)
        assert set(columns["lr_g"][:STOP]) == {5e-3}
        assert set(columns["lr_g"][STOP:]) == {1e-3}
        assert max(columns["lambda_adv"][:STOP]) == 0.6
        assert max(columns["lambda_adv"][STOP:]) == 0.3
        assert tomllib.loads((run / "config.toml").read_text())["train"]["lr"] == 1e-3
        assert tomllib.loads((run / f"config.until_{STOP:08d}.toml").read_text())["train"]["lr"] == 5e-3

    def test_a_plugin_that_is_switched_off_gives_the_base_back(self, run: Path, cli: Cli) -> None:
        train(cli, "--resume", run, "--steps", STEPS, "--plugins", "", "--allow-change", "run.plugins", "--quiet")
        columns = read_signals(run)
        assert set(columns["lambda_adv"][STOP:]) == {0.7}
        assert columns["lr_d"][:STOP] == pytest.approx(0.25 * 5e-3)
        assert set(columns["lr_d"][STOP:]) == {5e-3}
        state = final_state(run)["balance"]
        assert state["plugins"] == {}
        assert not any(state["knobs"].values())
        config = tomllib.loads((run / "config.toml").read_text())
        assert config["run"]["plugins"] == []
        assert "dynamic_lambda" not in config

    def test_a_plugin_that_comes_later_starts_fresh(self, run: Path, cli: Cli) -> None:
        plugins = ("--plugins", "dynamic_lambda,d_lr_ratio,label_smoothing", "--allow-change", "run.plugins")
        train(cli, "--resume", run, "--steps", STEPS, "--quiet", *plugins, "--set", "label_smoothing.real=0.8")
        columns = read_signals(run)
        assert set(columns["real_label"][:STOP]) == {1.0}
        assert set(columns["real_label"][STOP:]) == {0.8}

    def test_a_run_that_is_done_stays_as_it_is(self, run: Path, cli: Cli) -> None:
        # As after a kill: the logs went on for a while beyond the checkpoint.
        rows = (run / "signals.bin").read_bytes()
        (run / "signals.bin").write_bytes(rows + rows[-80:])
        before = snapshot(run)
        result = cli("train", "--resume", run, "--steps", 5)
        assert result.status == 2
        assert f"it has done {STOP} steps already" in result.err
        assert snapshot(run) == before

    def test_flags_that_belong_to_a_new_run(self, run: Path, cli: Cli) -> None:
        for flags in (("--out", "elsewhere"), ("--model", "points")):
            assert "--resume takes model and directory from the run" in self.refused(cli, run, *flags)
        result = cli("train", *POINTS, "--steps", 3, "--allow-change", "train.lr")
        assert (result.status, result.err) == (2, "balancer: --allow-change goes with --resume\n")

    def test_a_recipe_for_a_starved_run_that_is_resumed(self, run: Path, cli: Cli) -> None:
        assert "train.lambda_adv: 0.7 -> 0.2" in self.refused(cli, run, "--config", "document_resume")
        train(cli, "--resume", run, "--config", "document_resume", "--steps", STEPS, "--quiet",
              "--allow-change", "run.plugins", "--allow-change", "train.lambda_adv")  # fmt: skip
        assert set(read_signals(run)["lambda_adv"][STOP:]) == {0.2}

    def test_other_bands_than_the_state_was_saved_with(self, run: Path, cli: Cli) -> None:
        train(cli, "--resume", run, "--steps", STEPS, "--quiet", "--set", "dynamic_lambda.preset=three_bands",
              "--allow-change", "dynamic_lambda.preset")  # fmt: skip
        assert set(read_signals(run)["lambda_adv"][STOP:]) <= {0.2, 0.4, 0.6}

    def test_other_data_is_noticed(self, run: Path, cli: Cli) -> None:
        message = self.refused(cli, run, "--set", "model.points=300", "--allow-change", "model.points")
        assert "training items: 300, the run had 512" in message


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


# Real processes.

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


def kept(run: Path) -> dict[str, float]:
    """The learning rate of each config that a run keeps, by file name."""
    return {path.name: tomllib.loads(path.read_text())["train"]["lr"] for path in sorted(run.glob("config*.toml"))}


def test_every_config_that_held_for_some_steps_is_kept_and_no_other(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    train(cli, *POINTS, "--plugins", "", "--steps", 10, "--out", run)

    def resume(lr: str, steps: int) -> None:
        train(cli, "--resume", run, "--steps", steps, "--set", f"train.lr={lr}", "--allow-change", "train.lr", *BASE)

    resume("1e-3", 20)
    assert kept(run) == {"config.toml": 1e-3, "config.until_00000010.toml": 5e-3}
    # As if killed before its first step was saved: what held until step 20 is still the config from step 10 on.
    resume("2e-3", 21)
    shutil.rmtree(run / "checkpoints" / "step_00000021")
    resume("4e-3", 21)
    assert kept(run) == {
        "config.toml": 4e-3,
        "config.until_00000010.toml": 5e-3,
        "config.until_00000020.toml": 1e-3,
    }
    # Back to step 10: what held after it is forgotten, and the config that held before it is not.
    for step in ("20", "21"):
        shutil.rmtree(run / "checkpoints" / f"step_000000{step}")
    resume("3e-3", 15)
    assert kept(run) == {"config.toml": 3e-3, "config.until_00000010.toml": 5e-3}
