"""A gradient or weight that is not finite: nothing steps on it, no checkpoint holds it, a resume passes it over."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from support.toy_steps import equal, weights
from torch import Tensor

from balancer import Plugin, StepContext, hookimpl
from balancer.errors import CheckpointError, NotFiniteError
from balancer.record import checkpoint
from balancer.testing import toy_trainer
from balancer.train.progress import Progress

Cli = Callable[..., Any]


class NanGradient(Plugin):
    """At one step adds a term of value 0 whose gradient is NaN: the root at 0 has an infinite slope, times 0."""

    name = "nan_gradient"
    brings_terms: ClassVar = {"d": ("flat",), "g": ("flat",)}
    side, at = "g", 19

    def term(self, ctx: StepContext, side: str, shown: Any) -> dict[str, Tensor]:
        assert isinstance(shown, Tensor)
        bad = ctx.step == self.at and side == self.side
        return {"flat": torch.sqrt(shown * 0.0).sum() * 0.0 if bad else 0.0 * shown.sum()}

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> dict[str, Tensor]:
        return self.term(ctx, "d", ctx.fake_logits)

    @hookimpl
    def g_loss_terms(self, ctx: StepContext) -> dict[str, Tensor]:
        return self.term(ctx, "g", ctx.fake)


class NanGradientInD(NanGradient):
    side = "d"


@pytest.mark.parametrize("micro_batches", [1, 2])
@pytest.mark.parametrize(("plugin", "network"), [(NanGradient, "G"), (NanGradientInD, "D")])
def test_a_gradient_that_is_not_finite_stops_before_the_step(
    plugin: type[Plugin], network: str, micro_batches: int, tmp_path: Path
) -> None:
    settings = {"dynamic_lambda": {"warmup_steps": 50}}
    trainer = toy_trainer(
        ["dynamic_lambda", plugin], settings, tmp_path / "run", checkpoint_every=5, micro_batches=micro_batches
    )
    stepped: list[dict[str, Tensor]] = []
    for optimizer in trainer.optimizers.values():
        optimizer.register_step_post_hook(lambda *args: stepped.append(weights(trainer)))
    with pytest.raises(NotFiniteError) as stopped:
        trainer.run(20, Progress(20, quiet=True))
    assert equal(weights(trainer), stepped[-1])
    assert len(stepped) == 38 + (network == "G")
    message = str(stopped.value)
    assert message.startswith(f"step 19: the norm of {network}'s gradient is nan, in ")
    assert "dynamic_lambda set lambda_adv 0.25" in message
    assert f"{network.lower()}_loss_terms of plugin nan_gradient of class " in message
    loaded = checkpoint.load_latest(tmp_path / "run" / "checkpoints")
    assert (loaded.step, loaded.skipped) == (15, [])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_never_saved(value: float, tmp_path: Path) -> None:
    trainer = toy_trainer([], folder=tmp_path / "run", checkpoint_every=2)
    trainer.run(4, Progress(4, quiet=True))
    with torch.no_grad():
        next(trainer.D.parameters()).view(-1)[3] = value
    with pytest.raises(NotFiniteError, match=r"after 4 steps 1 of \d+ weights of D are not finite, .* first"):
        trainer.save()
    with torch.no_grad():
        next(trainer.D.parameters()).view(-1)[3] = 0.0
    assert checkpoint.load_latest(tmp_path / "run" / "checkpoints").step == 4
    if math.isnan(value):
        state = trainer.state_dict()
        state["generator"] = {name: one * value for name, one in state["generator"].items()}
        with pytest.raises(CheckpointError, match="holds NaN after 6 steps: no checkpoint is written"):
            checkpoint.save(tmp_path / "run" / "checkpoints", 6, state, keep=3)
        assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [2, 4]


POINTS = ("--model", "points", "--plugins", "", "--device", "cpu", "--quiet", "--set", "train.checkpoint_every=5")


def test_a_resume_passes_a_checkpoint_of_nan_over(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    run, plain = tmp_path / "run", tmp_path / "plain"
    assert cli("train", *POINTS, "--steps", 10, "--out", run).status == 0
    # As a version that did not look wrote it.
    root = run / "checkpoints"
    _, state = checkpoint.load(root / "step_00000010")
    state["generator"] = {name: one * math.nan for name, one in state["generator"].items()}
    with monkeypatch.context() as earlier:
        earlier.setattr(checkpoint, "_spoiled", lambda state: None)
        checkpoint.save(root, 10, state, keep=9)
    result = cli("train", "--resume", run, "--steps", 15)
    assert result.status == 0
    assert cli("train", *POINTS, "--steps", 15, "--out", plain).status == 0
    ends = [checkpoint.load(path / "checkpoints" / "step_00000015")[1]["generator"] for path in (run, plain)]
    assert all(map(torch.equal, ends[0].values(), ends[1].values()))


@pytest.mark.parametrize("step", [5, 10])
def test_a_resume_from_an_earlier_step_is_that_run(step: int, tmp_path: Path, cli: Cli) -> None:
    run, plain = tmp_path / "run", tmp_path / "plain"
    keep = ("--set", "train.keep=9", "--set", "train.threads=1")
    for out in (run, plain):
        assert cli("train", *POINTS, *keep, "--steps", 20, "--out", out).status == 0
    refused = cli("train", "--resume", run, "--from-step", 7, "--steps", 30)
    assert refused.status == 2
    assert "there is no checkpoint of step 7 in" in refused.err and "of steps 5, 10, 15, 20" in refused.err
    assert checkpoint.steps(run / "checkpoints") == [5, 10, 15, 20]
    result = cli("train", "--resume", run, "--from-step", step, "--steps", 12)
    assert result.status == 0
    assert checkpoint.steps(run / "checkpoints") == [*range(5, step + 1, 5), *([10] if step == 5 else []), 12]
    assert cli("train", "--resume", run, "--steps", 20).status == 0
    ends = [checkpoint.load(path / "checkpoints" / "step_00000020")[1]["generator"] for path in (run, plain)]
    assert all(map(torch.equal, ends[0].values(), ends[1].values()))


def test_from_step_goes_with_resume(cli: Cli, tmp_path: Path) -> None:
    result = cli("train", *POINTS, "--steps", 5, "--from-step", 5, "--out", tmp_path / "run")
    assert (result.status, result.err) == (2, "balancer: --from-step goes with --resume\n")
