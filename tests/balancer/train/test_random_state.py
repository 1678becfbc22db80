"""A model may draw from Python's and NumPy's global generators: one seed is one run, which resumes to the same bits."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from balancer import Plugin, StepContext, hookimpl
from balancer.record import checkpoint
from balancer.record.run_config import make_config
from balancer.testing import toy_trainer
from balancer.train.progress import Progress
from balancer.train.run import build

Cli = Callable[..., Any]

# The points model, whose batches are moved by what Python and NumPy draw, as an augmentation would.
SHAKEN = """
import random

import numpy as np

from balancer.train.points import PointsFamily, PointsModel


class Shaken(PointsModel):
    def batch(self, indices):
        batch = super().batch(indices)
        return {**batch, "points": batch["points"] + random.gauss(0, 0.1) + np.random.normal(0, 0.1)}


class ShakenFamily(PointsFamily):
    def build(self, settings):
        return Shaken(settings, self.spec(settings))
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a distribution that brings the model `shaken`."""
    folder = tmp_path / "site"
    info = folder / "shaken-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "shaken_points.py").write_text(SHAKEN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shaken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[balancer.models]\nshaken = shaken_points:ShakenFamily\n")
    monkeypatch.syspath_prepend(str(folder))
    return folder


def train(site: Path, *args: object) -> None:
    """`balancer train` in a fresh process."""
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "balancer", "train", *map(str, args), "--quiet", "--device", "cpu"]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    found, state = checkpoint.load(run / "checkpoints" / f"step_{step:08d}")
    assert found == step
    return {**state["generator"], **state["discriminator"]}


def equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return all(map(torch.equal, one.values(), two.values()))


def test_two_runs_of_one_seed_are_one_and_it_resumes_to_the_same_bits(site: Path, tmp_path: Path, cli: Cli) -> None:
    first, second, other = tmp_path / "first", tmp_path / "second", tmp_path / "other"
    new = ("--model", "shaken", "--plugins", "", "--set", "train.threads=1", "--set", "train.checkpoint_every=5")
    train(site, *new, "--steps", 12, "--seed", 3, "--out", first)
    train(site, *new, "--steps", 5, "--seed", 3, "--out", second)
    # In this process both generators stand somewhere else.
    assert cli("train", *new, "--steps", 5, "--seed", 4, "--out", other, "--quiet", "--device", "cpu").status == 0
    assert cli("train", "--resume", second, "--steps", 12, "--quiet").status == 0
    assert equal(weights(first, 5), weights(second, 5))
    assert not equal(weights(first, 5), weights(other, 5))
    assert equal(weights(first, 12), weights(second, 12))


def drawn() -> tuple[float, float, float]:
    return random.random(), np.random.random(), torch.rand(1).item()


def from_the_command_line(seed: int) -> None:
    build(make_config({}, {"train": {"seed": seed, "device": "cpu"}}, plugins=[], model="points"), None)


@pytest.mark.parametrize("made", [from_the_command_line, lambda seed: toy_trainer([], seed=seed)], ids=["run", "toy"])
def test_the_seed_is_that_of_every_generator(made: Callable[[int], object]) -> None:
    draws = []
    for seed in (3, 3, 4):
        made(seed)
        draws.append(drawn())
    assert draws[0] == draws[1]
    assert all(one != two for one, two in zip(draws[0], draws[2], strict=True))


def test_the_seed_is_that_of_the_order_of_the_data() -> None:
    one, again, other = (toy_trainer([], seed=seed).next_batch()["points"] for seed in (3, 3, 4))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_a_state_brings_every_generator_back() -> None:
    trainer = toy_trainer([])
    random.gauss(0, 1), np.random.normal()  # each keeps a second draw for the next call
    state = trainer.state_dict()

    def draws() -> list[Any]:
        return [[random.gauss(0, 1), np.random.normal(), *drawn()] for _ in range(3)]

    expected = draws()
    trainer.load_state_dict(state)
    assert draws() == expected


class Drawing(Plugin):
    """Weighs a term of its own by what Python's and NumPy's global generators draw."""

    name = "drawing"
    brings_terms: ClassVar = {"g": ("drawn",)}

    @hookimpl
    def g_loss_terms(self, ctx: StepContext) -> dict[str, torch.Tensor]:
        assert ctx.fake is not None
        return {"drawn": (random.random() + float(np.random.rand())) * ctx.fake.abs().mean()}


def test_a_plugin_may_draw_from_the_global_generators(tmp_path: Path) -> None:
    def run(folder: Path, steps: int, resume: bool = False) -> dict[str, torch.Tensor]:
        trainer = toy_trainer([Drawing], folder=folder, seed=3, checkpoint_every=4)
        if resume:
            trainer.load_state_dict(checkpoint.load_latest(folder / "checkpoints").state)
        trainer.run(steps, Progress(steps, quiet=True))
        return weights(folder, steps)

    first, second = run(tmp_path / "first", 9), run(tmp_path / "second", 9)
    assert equal(first, second)
    run(tmp_path / "third", 4)
    random.seed(99), np.random.seed(99)
    assert equal(first, run(tmp_path / "third", 9, resume=True))
