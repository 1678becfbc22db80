"""Real runs of the points model, resumed with other plugins, and settings under which every law has something to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from balancer.record.run_config import make_config, parse_set
from balancer.train.run import config_for_resume, train

# 8 steps an epoch.
BASE = ("train.batch_size=64", "train.lr=1e-2", "train.device=cpu", "train.checkpoint_every=10", "train.keep=9")
DYNAMIC = (
    "dynamic_lambda.warmup_steps=3", "dynamic_lambda.bands=[[0.66, 0.2], [0.69, 0.4]]",
    "dynamic_lambda.hysteresis=0.002", "dynamic_lambda.half_life=1",
)  # fmt: skip
SCHEDULE = ("lambda_schedule.steps=[[0, 0.3], [1, 0.5], [2, 0.35], [3, 0.7], [4, 0.2]]",)
SKIP = ("d_skip.every=2", "d_skip.accuracy_above=0.6")
DECAY = ("train.lr_decay=0.8", "train.lr_floor=5e-3", "train.lr_d=2e-2")


def ran(out: Path, plugins: str, items: Sequence[str] = (), steps: int = 40) -> Path:
    """A run of the points model."""
    names = [name for name in plugins.split(",") if name]
    made = make_config({}, parse_set([*BASE, *items, f"train.steps={steps}"]), plugins=names, model="points")
    train(made, out=out, resume=None, quiet=True)
    return out


def resumed(folder: Path, plugins: str | None, items: Sequence[str], steps: int) -> Path:
    """The run, gone on with other plugins and settings."""
    overrides = parse_set([*items, f"train.steps={steps}"])
    allowed = ["run.plugins", *(key for item in items if (key := item.partition("=")[0]).startswith("train."))]
    made = config_for_resume(folder, None, overrides, None if plugins is None else plugins.split(","), allowed)
    train(made, out=None, resume=folder, quiet=True)
    return folder
