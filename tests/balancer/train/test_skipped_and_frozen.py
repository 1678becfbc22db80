"""Steps that D skips and heads that are frozen: what stands still, and what goes on."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.toy_steps import advance, equal, weights
from torch import Tensor

from balancer import Plugin, StepContext, hookimpl
from balancer.contract.compose import compose
from balancer.contract.host import model_host
from balancer.contract.model import HeadSpec
from balancer.record.train_settings import TrainSettings
from balancer.testing import toy_trainer
from balancer.train.accelerator import make_accelerator
from balancer.train.loop import Trainer
from balancer.train.points import PointsFamily, PointsSettings


class TestSkippedStep:
    SETTINGS: Mapping[str, Any] = {"model": {"norm": "batch"}, "d_skip": {"every": 2}}

    def test_d_is_left_as_it_was_but_measured(self) -> None:
        at: dict[str, Any] = {}

        class Spy(Plugin):
            name = "spy"
            reads = ("d_adv", "d_acc", "d_loss", "d_loss_real", "d_category", "d_logit_fake")

            @hookimpl
            def after_d_step(self, ctx: StepContext) -> None:
                at["D"] = {name: value.clone() for name, value in trainer.D.state_dict().items()}
                at["skipped"] = ctx.d_skipped
                readings = [self.signals[name] for name in self.reads]
                at["fresh"] = [reading is not None and reading.fresh for reading in readings]
                at["d_adv"] = readings[0] and readings[0].value

        trainer = toy_trainer(["d_skip", Spy], self.SETTINGS)
        advance(trainer, 1)
        assert not at["skipped"]
        before = {name: value.clone() for name, value in trainer.D.state_dict().items()}
        optimizer = checkpoint_of(trainer.optimizers["d"])
        first = at["d_adv"]
        advance(trainer, 1)
        assert at["skipped"]
        assert at["fresh"] == [True] * 6
        assert at["d_adv"] != first
        assert any(name.endswith("running_mean") for name in before)
        assert equal(before, at["D"]), "weights and batch norm's statistics"
        assert checkpoint_of(trainer.optimizers["d"]) == optimizer
        assert trainer.balance.d_updates == 1

    def test_the_probe_draws_no_random_numbers_of_the_run(self) -> None:
        class Dice(Plugin):
            """D with noise on its input: a forward pass of D that takes random numbers."""

            name = "dice"

            @hookimpl
            def transform_d_input(
                self, ctx: StepContext, images: Tensor, condition: Tensor | None
            ) -> tuple[Tensor, Tensor | None]:
                states.append(torch.get_rng_state())
                return images + 0.1 * torch.randn_like(images), condition

        states: list[Tensor] = []
        trainer = toy_trainer(["d_skip", Dice], self.SETTINGS)
        advance(trainer, 1)
        states.clear()
        advance(trainer, 1)
        real, fake, in_g = states
        assert not torch.equal(real, fake)
        assert torch.equal(real, in_g), "G's pass goes on where the random state stood before the probe"


def checkpoint_of(optimizer: torch.optim.Optimizer) -> list[tuple[str, Any]]:
    """An optimizer's state as plain values."""
    rows = []
    for index, moments in optimizer.state_dict()["state"].items():
        rows += [(f"{index}.{name}", torch.as_tensor(value).tolist()) for name, value in moments.items()]
    return rows


class TestFrozenHead:
    def test_parameters_rest_bit_by_bit_and_thaw(self) -> None:
        settings = {"freeze_head": {"until": 3, "clock": "step"}}
        trainer = toy_trainer(["freeze_head"], settings)
        assert trainer.D.category is not None
        head = list(trainer.D.category.parameters())
        start = [parameter.detach().clone() for parameter in head]
        body = trainer.D.body[0].weight.detach().clone()
        for step in range(3):
            advance(trainer, 1)
            assert trainer.balance.d_frozen == ("category",), step
            assert all(map(torch.equal, head, start)), step
            assert all(parameter.grad is None for parameter in head)
            assert not any(trainer.optimizers["d"].state.get(parameter) for parameter in head)
        assert not torch.equal(trainer.D.body[0].weight, body)
        advance(trainer, 1)
        assert trainer.balance.d_frozen == ()
        assert not any(map(torch.equal, head, start))
        assert all(trainer.optimizers["d"].state[parameter]["step"] == 1 for parameter in head)

    def test_a_head_frozen_later_rests_although_adam_has_momentum(self) -> None:
        class Later(Plugin):
            name = "later"
            writes = {"d_frozen": ("add",)}

            @hookimpl
            def on_step_start(self, ctx: StepContext) -> None:
                if ctx.step == 3:
                    self.knobs["d_frozen"].add("category")

        trainer = toy_trainer([Later])
        advance(trainer, 3)
        assert trainer.D.category is not None
        head = list(trainer.D.category.parameters())
        moments = [trainer.optimizers["d"].state[parameter]["exp_avg"].clone() for parameter in head]
        assert all(bool(moment.any()) for moment in moments)
        start = [parameter.detach().clone() for parameter in head]
        advance(trainer, 3)
        assert all(map(torch.equal, head, start))
        for parameter, moment in zip(head, moments, strict=True):
            assert torch.equal(trainer.optimizers["d"].state[parameter]["exp_avg"], moment)

    def test_a_group_in_the_way_of_the_binary_loss_rests_too(self) -> None:
        """No term falls away with D's trunk, so its gradients have to be kept from it at every step."""
        settings = PointsSettings(points=64)
        torch.manual_seed(0)
        model = PointsFamily().build(settings)
        model.spec = replace(model.spec, heads={"body": HeadSpec()})
        options = TrainSettings(device="cpu", batch_size=32, lr=2e-3)
        freeze = {"freeze_head": {"head": "body", "until": 3, "clock": "step"}}
        composition = compose(["freeze_head"], freeze, host=model_host("points", model.spec, 1.0))
        trainer = Trainer(model, composition, options, make_accelerator(options, composition), None)
        start = weights(trainer)
        for _ in range(3):
            advance(trainer, 1)
            moved = {name for name, value in weights(trainer).items() if not torch.equal(value, start[name])}
            assert not any(name.startswith("D.body") for name in moved)
            assert {"D.binary.weight", "D.category.weight", "G.0.weight"} <= moved
        advance(trainer, 1)
        thawed = weights(trainer)
        assert not any(torch.equal(thawed[name], start[name]) for name in thawed if name.startswith("D.body"))

    def test_its_terms_weigh_nothing_for_d_and_for_g(self) -> None:
        # The same networks, data and random numbers, without a category term at all.
        without = toy_trainer([])
        without.model.d_terms = lambda real, fake, batch: {}  # type: ignore[method-assign]
        without.model.g_terms = lambda fake, judged, batch: {}  # type: ignore[method-assign]
        advance(without, 3)
        frozen = advance(toy_trainer(["freeze_head"], {"freeze_head": {"until": 3, "clock": "step"}}), 3)
        assert equal(weights(frozen), weights(without))
        row = frozen.balance.last_row
        assert row["loss/d_category"] > 0, "it is measured all the same"
        assert row["loss/d_loss"] == pytest.approx(0.5 * (row["loss/d_loss_real"] + row["loss/d_loss_fake"]))
        assert row["share/category"] == 0.0
        assert row["share/adv"] == 1.0
        advance(frozen, 1)
        row = frozen.balance.last_row
        halves = 0.5 * (row["loss/d_loss_real"] + row["loss/d_loss_fake"])
        assert row["loss/d_loss"] == pytest.approx(halves + row["loss/d_category"])
        assert row["share/category"] > 0
