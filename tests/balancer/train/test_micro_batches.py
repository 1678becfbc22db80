"""Gradient accumulation: a batch in parts trains like the whole, and laws see the whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from balancer import Plugin, StepContext, hookimpl
from balancer.contract.compose import compose
from balancer.contract.host import model_host
from balancer.record.train_settings import TrainSettings
from balancer.testing import toy_trainer
from balancer.train.accelerator import make_accelerator
from balancer.train.loop import Trainer
from zi2zi_model.family import Zi2ziFamily
from zi2zi_model.settings import Zi2ziSettings

Cli = Callable[..., Any]
SMALL = {"max_characters": 40, "held_out": 0.2, "max_channels": 64, "d_channels": 8}


def zi2zi_trainer(plugins: list[Any] | None = None, model: dict[str, Any] | None = None, **train: Any) -> Trainer:
    """Small zi2zi on the CPU, without dropout: a step then depends on weights and data alone."""
    settings = Zi2ziSettings(**{**SMALL, **(model or {})})
    options = TrainSettings(**{"device": "cpu", "batch_size": 8, "lr": 5e-4, **train})
    composition = compose(plugins or [], {}, host=model_host("zi2zi", Zi2ziFamily().spec(settings), options.lambda_adv))
    torch.manual_seed(0)
    return Trainer(Zi2ziFamily().build(settings), composition, options, make_accelerator(options, composition), None)


def run(trainer: Trainer, steps: int) -> list[dict[str, float]]:
    rows = []
    while trainer.balance.step < steps:
        trainer.step(trainer.next_batch())
        rows.append(trainer.balance.last_row)
    return rows


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, network in (("G", trainer.G), ("D", trainer.D))
        for key, value in network.state_dict().items()
    }


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_give_the_gradients_of_the_whole(parts: int) -> None:
    whole, split = zi2zi_trainer(), zi2zi_trainer(micro_batches=parts)
    batch = whole.next_batch()
    whole.step(batch)
    split.step(batch)
    for network in ("G", "D"):
        one, two = (
            torch.cat([p.grad.flatten() for p in getattr(trainer, network).parameters() if p.grad is not None])
            for trainer in (whole, split)
        )
        assert float((one - two).norm() / one.norm()) < 1e-4


@pytest.mark.parametrize("parts", [2, 4])
def test_signals_are_means_over_the_whole_batch(parts: int) -> None:
    (whole,), (split,) = run(zi2zi_trainer(), 1), run(zi2zi_trainer(micro_batches=parts), 1)
    assert split.keys() == whole.keys()
    for tag, value in whole.items():
        assert split[tag] == pytest.approx(value, rel=1e-3, abs=1e-5), tag


def test_d_is_trained() -> None:
    trainer = zi2zi_trainer(micro_batches=2)
    before = weights(trainer)
    run(trainer, 2)
    after = weights(trainer)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert {"D.features.0.weight", "D.category.weight", "G.embedding.weight"} < changed
    assert trainer.balance.d_updates == trainer.balance.g_updates == 2


class Watcher(Plugin):
    """Answers G's adversarial term in the step itself, and notes when it is asked."""

    name = "watcher"
    reads = ("adv", "d_adv")
    writes = {"lambda_adv": ("set",)}

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.seen: list[tuple[str, float]] = []

    def note(self, moment: str, signal: str) -> None:
        reading = self.signals[signal]
        self.seen.append((moment, reading.value if reading is not None and reading.fresh else float("nan")))

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        self.seen.append(("on_step_start", 0.0))

    @hookimpl
    def before_d_backward(self, ctx: StepContext) -> None:
        self.note("before_d_backward", "d_adv")

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.note("after_d_step", "d_adv")

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        self.note("before_g_backward", "adv")
        reading = self.signals["adv"]
        assert reading is not None
        self.knobs["lambda_adv"].set(reading.value / 10)

    @hookimpl
    def after_g_step(self, ctx: StepContext) -> None:
        self.note("after_g_step", "adv")

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        self.seen.append(("on_step_end", 0.0))


def test_moments_come_once_and_a_law_sees_the_whole_batch() -> None:
    whole, split = zi2zi_trainer([Watcher]), zi2zi_trainer([Watcher], micro_batches=4)
    (one,), (two,) = run(whole, 1), run(split, 1)
    seen = [plugin.seen for trainer in (whole, split) for plugin in trainer.balance.composition.plugins]
    assert [moment for moment, _ in seen[0]] == [moment for moment, _ in seen[1]]
    assert [value for _, value in seen[1]] == pytest.approx([value for _, value in seen[0]], rel=1e-3, abs=1e-6)
    assert two["knob/lambda_adv"] == pytest.approx(one["knob/lambda_adv"], rel=1e-3)
    assert two["signal/adv_effective"] == pytest.approx(one["signal/adv_effective"], rel=2e-3)


def test_the_law_is_told_the_very_terms_that_are_trained_on() -> None:
    """With dropout and noise too: what it saw beforehand is what the step then measures."""
    trainer = toy_trainer([Watcher], micro_batches=4)
    rows = run(trainer, 5)
    (plugin,) = trainer.balance.composition.plugins
    told = [value for moment, value in plugin.seen if moment == "before_g_backward"]
    assert told == pytest.approx([row["loss/adv"] for row in rows], rel=1e-6)


def test_a_skipped_d_is_only_looked_at() -> None:
    trainer = toy_trainer(["d_skip"], {"d_skip": {"every": 2}}, micro_batches=2)
    run(trainer, 1)
    before = weights(trainer)
    (row,) = run(trainer, 2)
    after = weights(trainer)
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith("D."))
    assert any(not torch.equal(before[key], after[key]) for key in before if key.startswith("G."))
    assert row["signal/d_adv"] > 0


def test_two_updates_of_g_in_parts() -> None:
    trainer = toy_trainer([], micro_batches=2, g_updates=2)
    run(trainer, 3)
    assert (trainer.balance.g_updates, trainer.balance.d_updates) == (6, 3)


def test_a_resumed_run_is_the_same_to_the_bit(tmp_path: Path, cli: Cli) -> None:
    common = ["train", "--model", "points", "--plugins", "dynamic_lambda", "--quiet", "--set", "train.micro_batches=4"]
    common += ["--set", "train.ema_half_life=500", "--set", "train.threads=1"]
    assert cli(*common, "--steps", "30", "--out", tmp_path / "whole", "--device", "cpu").status == 0
    assert cli(*common, "--steps", "11", "--out", tmp_path / "parts", "--device", "cpu").status == 0
    assert cli("train", "--resume", tmp_path / "parts", "--steps", "30", "--quiet").status == 0
    one, two = (
        (tmp_path / name / "checkpoints" / "step_00000030" / "tensors.safetensors").read_bytes()
        for name in ("whole", "parts")
    )
    assert one == two


def test_a_batch_that_does_not_divide_is_refused(tmp_path: Path, cli: Cli) -> None:
    result = cli("train", "--model", "points", "--plugins", "", "--steps", "2", "--set", "train.micro_batches=3",
                 "--out", tmp_path / "run")  # fmt: skip
    assert result.status == 2
    assert "16 items do not divide evenly into 3 micro-batches" in result.err
