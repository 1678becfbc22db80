"""The audit of optimizers: each of several steps, all that update D were passed, and steps begin and end."""

from __future__ import annotations

import warnings

import pytest
import torch
from support.two_ds import TwoDs
from support.wired import Wired

from balancer import Balancer
from balancer.errors import BalancerWarning


def test_another_optimizer_s_step_without_gradients_is_no_step_either() -> None:
    loop = TwoDs("anew", plugins=["d_skip"])
    (said,) = loop.run(20)
    assert said.startswith("step 0: D is updated by another Adam than the optimizer that was passed")
    assert loop.balance.d_updates == 10


def test_exchanged_optimizers_are_not_taken_for_a_skip_that_is_not_honoured() -> None:
    said = Wired("exchanged", plugins=["d_skip"]).run(20)
    assert [text for text in said if "D's outputs come from the weights of the optimizer" in text]
    assert not [text for text in said if "plugins said to skip D" in text]


@pytest.mark.parametrize("never", ["a", "b"])
def test_one_of_several_optimizers_that_never_steps_is_said_by_its_place(never: str) -> None:
    (said,) = TwoDs(never=never).run(140)
    assert said.startswith(f"step 127: optimizers['d'][{'ab'.index(never)}], one Adam of several, has not stepped once")


@pytest.mark.parametrize("turns", [0, 1, 60])
@pytest.mark.parametrize("plugins", [[], ["dynamic_lambda", "d_skip", "d_lr_ratio"]])
def test_discriminators_trained_in_turn_are_left_alone(turns: int, plugins: list[str]) -> None:
    assert TwoDs(turns=turns, plugins=plugins).run(150) == []


def test_an_optimizer_of_d_that_was_not_passed_is_said() -> None:
    (said,) = TwoDs("a").run(6)
    assert said.startswith("step 0: D's outputs also come from weights of an optimizer (Adam) that was not passed")
    assert said.endswith("pass all that update D, optimizers={'d': [a, b], …}")


def test_gradients_that_are_asked_of_real_images_are_no_weights_of_an_optimizer() -> None:
    """As for an R1 penalty; a third network's optimizer steps beside, and is none of D's."""
    loop = TwoDs()
    other = torch.nn.Linear(2, 2)
    beside = torch.optim.Adam(other.parameters())
    real = loop.logits

    def logits(points: torch.Tensor) -> list[torch.Tensor]:
        other(points.detach()).sum().backward()
        beside.step()
        return real(points if points.requires_grad else points.clone().requires_grad_())

    loop.logits = logits  # type: ignore[method-assign]
    assert loop.run(20) == []


def test_a_loop_that_begins_one_step_for_all_its_rounds_is_told_so() -> None:
    loop = TwoDs()
    loop.balance.start_step()
    with pytest.warns(BalancerWarning, match="D and G have been updated in turn 32 times since start_step") as caught:
        for _ in range(70):
            loop.step()
    assert len(caught) == 1
    assert "call balance.start_step() at the top of each iteration" in str(caught[0].message)


def test_many_updates_of_d_to_one_of_g_and_a_few_rounds_in_one_step_are_left_alone() -> None:
    wired, loop = Wired(), TwoDs()
    for _ in range(3):
        wired.balance.start_step()
        for _ in range(100):
            wired.d_part(torch.randn(16, 4), torch.randn(16, 2))
        wired.g_part(torch.randn(16, 4), torch.randn(16, 2))
        loop.balance.start_step()
        for _ in range(20):
            loop.step()


@pytest.mark.parametrize(
    ("terms", "base", "said"),
    [
        (("gan", "l1"), {"lambda_adv": 1.0, "lambda_l1": 1.0}, "if gan is the adversarial one"),
        (("cheat", "l1"), {"lambda_adv": 1.0, "lambda_l1": 1.0}, "if cheat is the adversarial one"),
        (("g_gan",), {}, "if g_gan is the adversarial one"),
        (("l1",), {"lambda_adv": 1.0}, ""),
        (("l1", "mel"), {"lambda_adv": 1.0}, ""),
        (("adv", "adv_local"), {"lambda_adv": 1.0}, ""),
        (("adv_local",), {"lambda_adv": 1.0, "lambda_adv_local": 1.0}, ""),
    ],
)
def test_an_adversarial_term_of_another_name_is_asked_about(
    terms: tuple[str, ...], base: dict[str, float], said: str
) -> None:
    weights = [torch.nn.Parameter(torch.ones(1)) for _ in "dg"]
    opt_d, opt_g = (torch.optim.SGD([weight], lr=0.1) for weight in weights)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", BalancerWarning)
        with Balancer(optimizers={"d": opt_d, "g": opt_g}, base=base, obeys={"lambda_adv"}) as balance:
            for _ in range(8):
                balance.start_step()
                weights[0].grad = weights[1].grad = torch.ones(1)
                opt_d.step()
                balance.after_d_step(d_adv=0.6)
                balance.before_g_backward(**dict.fromkeys(terms, 0.5))
                assert balance.lambda_adv == 1.0
                opt_g.step()
    assert [said in str(one.message) for one in caught] == ([True] if said else [])
