"""`ctx.discriminate`: D may be asked once more, with and without gradients, and stays as it was."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.toy_steps import advance, equal, weights
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from balancer import Plugin, StepContext, hookimpl
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
