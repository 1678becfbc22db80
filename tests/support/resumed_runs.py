"""Runs that stop and go on, and what must then be the same."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from balancer.record import checkpoint
from balancer.record.signals import read_signals
from support.checkpoint_states import same

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


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
