"""LeCam, lazy R1 and lazy R2: the terms they add to D's loss are those of the papers, computed apart."""

from typing import Any

import numpy as np
import pytest
import torch
from support.published import LazyR1, LazyR2, LeCam
from support.shapes_runs import shapes_trainer
from support.toy_steps import advance

from balancer import Plugin, StepContext, hookimpl
from balancer.testing import check_plugin
from balancer.train.loop import Trainer

RUNS: list[dict[str, Any]] = [{}, {"micro_batches": 2}, {"precision": "bf16"}, {"micro_batches": 2, "g_updates": 2}]


class Watch(Plugin):
    """Keeps D's logits and D's input of each part of each step in which D is updated."""

    name = "watch"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.logits: dict[int, list[tuple[Any, Any]]] = {}
        self.inputs: dict[int, list[Any]] = {}

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        assert isinstance(ctx.real_logits, torch.Tensor) and isinstance(ctx.fake_logits, torch.Tensor)
        pair = tuple(logits.detach().float().numpy() for logits in (ctx.real_logits, ctx.fake_logits))
        self.logits.setdefault(ctx.step, []).append(pair)
        shown = (ctx.real, ctx.condition, ctx.fake, ctx.fake_condition)
        self.inputs.setdefault(ctx.step, []).append([x.detach().clone() for x in shown if x is not None])


def watched(trainer: Trainer) -> Watch:
    (found,) = [plugin for plugin in trainer.balance.composition.plugins if isinstance(plugin, Watch)]
    return found


@pytest.mark.parametrize("train", RUNS)
def test_lecam_follows_the_averages_of_the_updates_before(train: dict[str, Any]) -> None:
    settings = {"lecam": {"decay": 0.7}, "d_skip": {"every": 2}}
    trainer = shapes_trainer([LeCam, Watch, "d_skip"], settings, **train)
    rows = []
    for _ in range(7):
        advance(trainer, 1)
        rows.append(trainer.balance.last_row.get("loss/d_lecam"))
    assert [row is not None for row in rows] == [step > 0 and step % 2 == 0 for step in range(7)]
    ema = None
    for step, parts in watched(trainer).logits.items():
        real, fake = (np.concatenate(side) for side in zip(*parts, strict=True))
        if ema is not None:
            # An average over parts of equal size is one over the batch.
            apart = np.maximum(real - ema[1], 0) ** 2 + np.maximum(ema[0] - fake, 0) ** 2
            assert rows[step] == pytest.approx(0.3 * apart.mean(), rel=2e-3 if "precision" in train else 1e-5)
        now = np.array([real.mean(), fake.mean()])
        ema = now if ema is None else 0.7 * ema + 0.3 * now


@pytest.mark.parametrize("train", RUNS)
@pytest.mark.parametrize(("penalty", "term", "side"), [(LazyR1, "r1", 0), (LazyR2, "r2", 2)])
def test_a_lazy_penalty_counts_updates_of_d(penalty: type[Plugin], term: str, side: int, train: dict[str, Any]) -> None:
    settings = {penalty.name: {"every": 3, "gamma": 4.0}, "d_skip": {"every": 2}}
    trainer = shapes_trainer([penalty, Watch, "d_skip"], settings, **train)
    for step in range(12):
        before = {name: value.clone() for name, value in trainer.D.state_dict().items()}
        advance(trainer, 1)
        found = trainer.balance.last_row.get(f"loss/d_{term}")
        assert (found is not None) == (step % 6 == 0), "every third update, and D rests in every second step"
        if found is None:
            continue
        now = {name: value.clone() for name, value in trainer.D.state_dict().items()}
        trainer.D.load_state_dict(before)
        slopes = []
        for shown in watched(trainer).inputs[step]:
            for image, condition in zip(shown[side], shown[side + 1], strict=True):
                # One image at a time: the gradient of its own logit.
                at = image[None].requires_grad_()
                logit = trainer.model.discriminate(trainer.D, at, condition[None]).logits
                assert isinstance(logit, torch.Tensor)
                slopes.append(float(torch.autograd.grad(logit.sum(), at)[0].square().sum()))
        trainer.D.load_state_dict(now)
        assert found == pytest.approx(3 * 4.0 / 2 * np.mean(slopes), rel=0.1 if "precision" in train else 1e-4)


def test_they_keep_every_promise_of_a_plugin() -> None:
    for plugin in (LeCam, LazyR1, LazyR2):
        check_plugin(plugin, {"every": 2} if plugin is not LeCam else {}, steps=6, skip=["card"])
