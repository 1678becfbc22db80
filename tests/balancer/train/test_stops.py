"""What stops a run: a loss that is not finite before the optimizer's step, a signal after the step."""

import math
import os
import signal
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from support.toy_steps import advance, equal, weights
from torch import Tensor

from balancer import Plugin, StepContext, hookimpl
from balancer.errors import TrainingError
from balancer.record import checkpoint
from balancer.record.signals import read_signals
from balancer.testing import toy_trainer
from balancer.train.progress import Progress


class Poison(Plugin):
    """Adds a term that is not finite at one step."""

    name = "poison"
    brings_terms: ClassVar = {"d": ("poisoned",), "g": ("poisoned",)}
    side, value, at = "d", math.nan, 5

    def term(self, ctx: StepContext, side: str) -> dict[str, Tensor]:
        value = self.value if ctx.step == self.at and side == self.side else 0.0
        shown = ctx.fake_logits if side == "d" else ctx.fake
        assert isinstance(shown, Tensor)
        return {"poisoned": value + 0.0 * shown.sum()}

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> dict[str, Tensor]:
        return self.term(ctx, "d")

    @hookimpl
    def g_loss_terms(self, ctx: StepContext) -> dict[str, Tensor]:
        return self.term(ctx, "g")


class PoisonG(Poison):
    side = "g"


class PoisonInfinite(Poison):
    value = math.inf


@pytest.mark.parametrize(
    ("poison", "named"),
    [(Poison, "d_poisoned is nan"), (PoisonG, "poisoned is nan"), (PoisonInfinite, "d_poisoned is inf")],
)
def test_a_loss_that_is_not_finite_stops_before_the_optimizer_step(
    poison: type[Plugin], named: str, tmp_path: Path
) -> None:
    settings = {"dynamic_lambda": {"warmup_steps": 50}}
    trainer = toy_trainer(["dynamic_lambda", "d_lr_ratio", poison], settings, tmp_path / "run", checkpoint_every=2)
    seen: list[dict[str, Tensor]] = []
    trainer.optimizers["d"].register_step_post_hook(lambda *args: seen.append(weights(trainer)))
    trainer.optimizers["g"].register_step_post_hook(lambda *args: seen.append(weights(trainer)))
    with pytest.raises(TrainingError) as stopped:
        trainer.run(20, Progress(20, quiet=True))
    assert equal(weights(trainer), seen[-1]), "no optimizer step was taken on it"
    assert len(seen) == (11 if poison is PoisonG else 10)
    message = str(stopped.value)
    assert message.startswith("step 5: ")
    assert f" {named};" in message
    assert "dynamic_lambda set lambda_adv 0.25" in message
    assert "d_lr_ratio ratio lr_d 0.25" in message
    assert "\n" not in message
    loaded = checkpoint.load_latest(tmp_path / "run" / "checkpoints")
    assert loaded.step == 4
    assert loaded.skipped == []
    columns = read_signals(tmp_path / "run")
    assert columns["step"].tolist() == [0, 1, 2, 3, 4]
    assert all(np.isfinite(values).all() for values in columns.values())
    # From there it goes on once the cause is gone.
    again = toy_trainer(["dynamic_lambda", "d_lr_ratio"], settings)
    again.load_state_dict(loaded.state)
    advance(again, 3)
    assert again.balance.step == 7


class Interrupt(Plugin):
    """Asks for an end while step 4 is under way."""

    name = "interrupt"

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        if ctx.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(("steps", "finished"), [(9, False), (5, True)])
def test_a_signal_ends_the_run_after_the_step_and_a_finished_run_is_finished(
    steps: int, finished: bool, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    trainer = toy_trainer([Interrupt], folder=tmp_path / "run")
    assert trainer.run(steps, Progress(steps, quiet=True)) is finished
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [5]
    assert read_signals(tmp_path / "run")["step"].tolist() == [0, 1, 2, 3, 4]
    assert equal(weights(trainer), weights(advance(toy_trainer([]), 5)))
    assert signal.getsignal(signal.SIGTERM) == before
