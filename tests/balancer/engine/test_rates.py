"""Learning rates as optimizers step with them: a ratio to a rate that is turned, and groups of parameters."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from balancer import Balancer, Plugin, RunInfo, StepContext, hookimpl
from balancer.testing import toy_trainer


class Third(Plugin):
    """Multiplies G's rate by a third from step 2 on."""

    name = "third"
    writes = {"lr_g": ("mul",)}

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        if ctx.step == 2:
            self.knobs["lr_g"].mul(1 / 3)


class Doubled(Plugin):
    """Doubles the rate of D."""

    name = "doubled"
    writes = {"lr_d": ("mul",)}

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        self.knobs["lr_d"].mul(2)


def descent(*rates: float) -> tuple[torch.optim.Optimizer, list[torch.Tensor]]:
    """Gradient descent on weights at 0, each in a group of its own with its rate."""
    weights = [torch.zeros(1, requires_grad=True) for _ in rates]
    groups = [{"params": [weight], "lr": rate} for weight, rate in zip(weights, rates, strict=True)]
    return torch.optim.SGD(groups), weights


def stepped(optimizer: torch.optim.Optimizer, weights: Sequence[torch.Tensor]) -> list[float]:
    """How far each weight goes in one step against a gradient of 1: the rate it was given."""
    before = [weight.item() for weight in weights]
    for weight in weights:
        weight.grad = torch.ones(1)
    optimizer.step()
    return [one - weight.item() for one, weight in zip(before, weights, strict=True)]


def rates_of(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_ratio_is_one_to_the_rate_of_g_as_plugins_turned_it(order: tuple[int, int]) -> None:
    opt_d, of_d = descent(8.0)
    opt_g, of_g = descent(0.75)
    plugins = [(Third, "d_lr_ratio")[index] for index in order]
    balance = Balancer(plugins, obeys={"lr_d", "lr_g"}, optimizers={"d": opt_d, "g": opt_g})
    d_rates, g_rates = [], []
    for _ in range(4):
        balance.start_step(epoch=0)
        d_rates += stepped(opt_d, of_d)
        balance.after_d_step()
        g_rates += stepped(opt_g, of_g)
    assert g_rates == pytest.approx([0.75, 0.75, 0.25, 0.25])
    assert d_rates == pytest.approx([0.1875, 0.1875, 0.0625, 0.0625])
    assert (rates_of(opt_d), rates_of(opt_g)) == ([8.0], [0.75])


def test_in_our_loop_too() -> None:
    turned = toy_trainer(["d_lr_ratio", Third], lr=3e-3)
    for _ in range(2):
        turned.step(turned.next_batch())
    used: list[float] = []
    for role in ("d", "g"):
        turned.optimizers[role].register_step_pre_hook(
            lambda optimizer, args, kwargs: used.append(optimizer.param_groups[0]["lr"])
        )
    turned.step(turned.next_batch())
    assert used == pytest.approx([2.5e-4, 1e-3])


@pytest.mark.parametrize("further", [[], [0.5], [1.0, 0.125, 0.0]])
def test_groups_keep_their_proportion_to_the_first(further: list[float]) -> None:
    rates = [1.0, *further]
    opt_d, weights = descent(*rates)
    balance = Balancer([Doubled], obeys={"lr_d"}, optimizers={"d": opt_d})
    for _ in range(2):
        balance.start_step(epoch=0)
        assert stepped(opt_d, weights) == [2 * rate for rate in rates]
        balance.after_d_step()
        assert rates_of(opt_d) == rates


def test_after_the_run_an_optimizer_steps_as_it_was_found() -> None:
    opt_d, weights = descent(1.0, 0.5)
    with Balancer([Doubled], obeys={"lr_d"}, optimizers={"d": opt_d}) as balance:
        balance.start_step(epoch=0)
        assert stepped(opt_d, weights) == [2.0, 1.0]
    assert stepped(opt_d, weights) == [1.0, 0.5]


def test_groups_follow_their_own_schedule_and_the_knob_at_once() -> None:
    opt_d, weights = descent(1.0, 0.5)
    schedule = torch.optim.lr_scheduler.LambdaLR(opt_d, [lambda step: 0.5**step, lambda step: 1.0])
    balance = Balancer([Doubled], obeys={"lr_d"}, optimizers={"d": opt_d})
    taken = []
    for _ in range(3):
        balance.start_step(epoch=0)
        taken.append(stepped(opt_d, weights))
        balance.after_d_step()
        schedule.step()
    assert taken == [[2.0, 1.0], [1.0, 1.0], [0.5, 1.0]]


def test_where_the_first_group_rests_a_ratio_is_the_rate_of_all() -> None:
    """No proportion to 0 can be kept."""
    opt_d, of_d = descent(0.0, 0.5)
    opt_g, _ = descent(1.0)
    balance = Balancer(["d_lr_ratio"], obeys={"lr_d"}, optimizers={"d": opt_d, "g": opt_g})
    balance.start_step(epoch=0)
    assert stepped(opt_d, of_d) == [0.25, 0.25]
