"""r1: its terms are the papers' penalties, in every k-th update of D, with and without a second derivative."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from balancer_plugins.r1 import approximate_slope, exact_slope
from support.shapes_runs import shapes_trainer
from support.toy_steps import advance
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from balancer import Balancer, Plugin, StepContext, hookimpl
from balancer.errors import ConfigError
from balancer.testing import toy_trainer

SLOPE = torch.tensor([1.0, -2.0, 0.5, 3.0])


def linear(images: Tensor) -> Tensor:
    return images.flatten(1) @ SLOPE


def sines(images: Tensor) -> Tensor:
    return images.flatten(1).sin() @ SLOPE


def noisy(images: Tensor, sigma: float) -> Tensor:
    return images + sigma * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))


def slope_of(discriminate: Callable[[Tensor], Any], images: Tensor) -> float:
    return exact_slope(discriminate, images).item()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(20000, 1, 2, 2, generator=torch.Generator().manual_seed(0))


def test_the_exact_slope_is_the_squared_norm_of_the_gradient(images: Tensor) -> None:
    assert slope_of(linear, images) == pytest.approx(float(SLOPE.square().sum()), rel=1e-5)
    by_hand = float((images.flatten(1).cos() * SLOPE).square().sum(1).mean())
    assert slope_of(sines, images) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("discriminate", [linear, sines])
def test_a_finite_difference_comes_to_the_same(discriminate: Callable[[Tensor], Tensor], images: Tensor) -> None:
    # One ε an image: the deviation of the mean of 20,000 is √(2 / 20,000) or a hundredth of it, or little more.
    found = approximate_slope(discriminate, images, noisy(images, 0.01), 0.01).item()
    assert found == pytest.approx(slope_of(discriminate, images), rel=0.05)


def test_several_logits_of_an_item_are_one_score_and_several_discriminators_a_mean(images: Tensor) -> None:
    def patches(at: Tensor) -> Tensor:
        return linear(at).view(-1, 1, 1, 1) * torch.tensor([0.0, 2.0, 1.0, 1.0]).view(1, 1, 2, 2)

    def two(at: Tensor) -> list[Tensor]:
        return [linear(at), 3 * linear(at)]

    moved = noisy(images, 0.1)
    for slope in (exact_slope, lambda d, x: approximate_slope(d, x, moved, 0.1)):
        one = slope(linear, images).item()
        assert slope(patches, images).item() == pytest.approx(one, rel=1e-4)
        assert slope(two, images).item() == pytest.approx(5 * one, rel=1e-4)


def test_a_finite_difference_needs_no_second_derivative(images: Tensor) -> None:
    weight = torch.nn.Parameter(SLOPE.clone())

    def discriminate(at: Tensor) -> Tensor:
        return scaled_dot_product_attention(at, at, at).flatten(1) @ weight  # fused, so that torch derives it once only

    approximate_slope(discriminate, images[:8], noisy(images[:8], 0.01), 0.01).backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0
    with pytest.raises(RuntimeError, match="not implemented"):
        exact_slope(discriminate, images[:8]).backward()  # type: ignore[no-untyped-call]


class Watch(Plugin):
    """Keeps D's input of each part of each step in which D is updated."""

    name = "watch"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.inputs: dict[int, list[list[Tensor]]] = {}

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        shown = (ctx.real, ctx.condition, ctx.fake, ctx.fake_condition)
        self.inputs.setdefault(ctx.step, []).append([x.detach().clone() for x in shown if x is not None])


@pytest.mark.parametrize("train", [{}, {"micro_batches": 2}, {"precision": "bf16"}])
def test_both_penalties_count_updates_of_d(train: dict[str, Any]) -> None:
    settings = {"r1": {"on": "both", "every": 3, "gamma": 4.0}, "d_skip": {"every": 2}}
    trainer = shapes_trainer(["r1", Watch, "d_skip"], settings, **train)
    (watch,) = [plugin for plugin in trainer.balance.composition.plugins if isinstance(plugin, Watch)]
    for step in range(8):
        before = {name: value.clone() for name, value in trainer.D.state_dict().items()}
        advance(trainer, 1)
        found = [trainer.balance.last_row.get(f"loss/d_{term}") for term in ("r1", "r2")]
        assert [one is not None for one in found] == [step % 6 == 0] * 2, "D rests in every second step"
        if found[0] is None:
            continue
        now = {name: value.clone() for name, value in trainer.D.state_dict().items()}
        trainer.D.load_state_dict(before)
        for side, of_side in zip((0, 2), found, strict=True):
            slopes = []
            for shown in watch.inputs[step]:
                for image, condition in zip(shown[side], shown[side + 1], strict=True):
                    at = image[None].float().requires_grad_()
                    logit = trainer.model.discriminate(trainer.D, at, condition[None]).logits
                    assert isinstance(logit, Tensor)
                    slopes.append(float(torch.autograd.grad(logit.mean(), at)[0].square().sum()))
            # Half of γ/2, since D's loss is the mean of its halves; in full precision under autocast too.
            assert of_side == pytest.approx(0.5 * 3 * 4.0 / 2 * np.mean(slopes), rel=1e-4)
        trainer.D.load_state_dict(now)


@pytest.mark.parametrize("config", [{}, {"mode": "finite_difference"}])
def test_it_flattens_d(config: dict[str, Any]) -> None:
    def slope(gamma: float) -> float:
        settings = {"r1": {"gamma": gamma, "every": 1, **config}}
        trainer = advance(toy_trainer(["r1"], settings, lr_d=2e-2, seed=3), 60)
        real = trainer.model.real(trainer.next_batch())
        return slope_of(lambda at: trainer.model.discriminate(trainer.D, at, None).logits, real)

    assert slope(10.0) < 0.5 * slope(0.0)


def test_a_script_without_discriminate_is_told_what_to_pass() -> None:
    balance = Balancer(["r1"], obeys={"d_loss_terms"})
    balance.start_step()
    with pytest.raises(ConfigError, match=r"pass discriminate= to balance\.d_loss_terms"):
        balance.d_loss_terms(real=torch.zeros(2, 1, 4, 4))


def test_settings_that_would_do_nothing_are_refused_and_d_s_input_is_told_of() -> None:
    with pytest.raises(ConfigError, match='sigma does nothing with mode = "exact"'):
        toy_trainer(["r1"], {"r1": {"sigma": 0.2}})
    composition = toy_trainer(["r1", "instance_noise"]).balance.composition
    assert any("while instance_noise shows D others" in warning for warning in composition.warnings)
