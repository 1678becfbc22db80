"""`ctx.discriminate`: D may be asked once more, with and without gradients, and stays as it was."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.toy_steps import advance, equal, weights
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from balancer import Plugin, SignalSpec, StepContext, hookimpl
from balancer.testing import toy_trainer
from balancer.train import points
from balancer.train.loop import Trainer


class Looks(Plugin):
    """Looks at D, and adds nothing."""

    name = "looks"

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        assert ctx.discriminate is not None and ctx.real is not None
        with torch.no_grad():
            ctx.discriminate(ctx.real, ctx.condition)


class LooksWithGradients(Plugin):
    """Looks at D in the graph, and adds nothing."""

    name = "looks_with_gradients"

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        assert ctx.discriminate is not None and ctx.real is not None
        ctx.discriminate(ctx.real, ctx.condition)


class R1(Plugin):
    """The penalty of Mescheder et al. 2018 on D's gradient at real images."""

    name = "r1"
    brings_terms = ("r1",)

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> dict[str, Tensor]:
        assert ctx.discriminate is not None and ctx.real is not None
        real = ctx.real.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(ctx.discriminate(real, ctx.condition).sum(), real, create_graph=True)
        return {"r1": gradient.square().sum(dim=1).mean()}


def trained(plugins: list[Any], norm: str, change: Callable[[nn.Module], object] | None) -> Trainer:
    """Four steps of a toy run, D changed as it is built."""
    build = points._discriminator

    def changed(settings: points.PointsSettings) -> nn.Module:
        D = build(settings)
        if change is not None:
            change(D)
        return D

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(points, "_discriminator", changed)
        trainer = toy_trainer(plugins, {"model": {"norm": norm}})
    return advance(trainer, 4)


def spectral(D: nn.Module) -> None:
    spectral_norm(D.get_submodule("body.3"))
    spectral_norm(D.get_submodule("binary"))


def dropout(D: nn.Module) -> None:
    D.get_submodule("body").append(nn.Dropout(0.3))  # type: ignore[operator]


CASES = [("none", None), ("batch", None), ("none", spectral), ("batch", spectral)]


@pytest.mark.parametrize("look", [Looks, LooksWithGradients])
@pytest.mark.parametrize(("norm", "change"), CASES)
def test_a_look_at_d_leaves_no_trace_in_the_run(norm: str, change: Any, look: type[Plugin]) -> None:
    assert equal(weights(trained([], norm, change)), weights(trained([look], norm, change)))


def test_a_look_without_gradients_draws_no_random_numbers_of_the_run() -> None:
    assert equal(weights(trained([], "none", dropout)), weights(trained([Looks], "none", dropout)))


@pytest.mark.parametrize(("norm", "change"), CASES)
def test_a_penalty_through_it_is_differentiated_twice_and_leaves_the_statistics_to_the_run(
    norm: str, change: Any
) -> None:
    plain, penalised = trained([], norm, change), trained([R1], norm, change)
    assert not equal(weights(plain), weights(penalised)), "it trains D"
    assert penalised.balance.last_row["loss/d_r1"] > 0
    seen = [buffer for name, buffer in penalised.D.named_buffers() if name.endswith("num_batches_tracked")]
    # A real and a generated batch for D, one for G, in each of four steps.
    assert [int(buffer) for buffer in seen] == ([12] if norm == "batch" else [])


class Shift(Plugin):
    """Moves what D sees, and remembers how far."""

    name = "a_shift"
    brings_signals = (SignalSpec("moved", "plugin", "by how much"),)

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Tensor, condition: Tensor | None) -> Any:
        self.publish("moved", 1.0)
        return images + 1.0, condition


class AsksAndTurns(Plugin):
    """Asks what D would see, then turns a knob."""

    name = "asks_and_turns"
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        assert ctx.transform_d_input is not None and ctx.d_halves is not None and ctx.real is not None
        seen, _ = ctx.transform_d_input(ctx.real, None)
        assert torch.equal(seen, ctx.real + 1.0)
        halves = ctx.d_halves(torch.tensor([2.0]), torch.tensor([-2.0]))
        torch.testing.assert_close(halves.real + halves.fake, 2 * nn.functional.softplus(torch.tensor(-2.0)))
        self.knobs["lambda_adv"].mul(0.5)


def test_a_plugin_may_ask_what_d_would_see_within_a_hook_of_its_own_and_go_on() -> None:
    trainer = advance(toy_trainer([Shift, AsksAndTurns]), 2)
    assert trainer.balance.last_row["knob/lambda_adv"] == 0.5
    assert trainer.balance.last_row["signal/moved"] == 1.0
