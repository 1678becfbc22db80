"""gap_aware_lr: the paper's function on the sum of D's halves, and what D's rate then is."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from balancer_plugins.gap_aware_lr import GapAwareLr, rate_factor
from hypothesis import given
from hypothesis import strategies as st
from support.toy_steps import advance

from balancer import Balancer
from balancer.errors import BalancerWarning, CompositionError
from balancer.testing import replay, toy_trainer

DEFAULT = GapAwareLr.Config()


def paper(loss: float) -> float:
    """The authors' function for BCE, of the sum of D's halves, with their constants."""
    ideal = math.log(4)
    x = abs(loss - ideal)
    above = min(max(2.0 ** (x / (0.1 * ideal)), 1.0), 2.0)
    below = min(max(0.1 ** (x / (0.1 * ideal)), 0.1), 1.0)
    return above if loss > ideal else below


def factors(d_adv: list[float], **config: Any) -> list[float]:
    return replay(["gap_aware_lr"], [{"d_adv": value} for value in d_adv], settings={"gap_aware_lr": config})["lr_d"]


@pytest.mark.parametrize("loss", [0.0, 0.5, 1.2, 1.25, 1.3, 1.38, math.log(4), 1.39, 1.4, 1.45, 1.5, 1.6, 4.0])
def test_it_is_the_papers_function_of_the_sum(loss: float) -> None:
    assert rate_factor(loss / 2, DEFAULT) == pytest.approx(paper(loss), abs=0.005 + 1e-9)


def test_the_average_begins_at_the_ideal_and_moves_by_a_twentieth() -> None:
    average, expected = math.log(2), []
    for _ in range(6):
        average = 0.95 * average + 0.05 * 0.5
        expected.append(paper(2 * average))
    assert expected[0] < 1
    found = factors([0.5] * 6)
    assert found == pytest.approx([1.0, *expected[:-1]], abs=0.005 + 1e-9), "D's next update is the first to feel it"
    assert factors([math.log(2)] * 3) == [1.0] * 3


def test_the_whole_healthy_band_is_below_and_a_losing_d_above() -> None:
    assert factors([0.1] * 99)[-1] == factors([0.4] * 99)[-1] == 0.1
    assert factors([1.0] * 99)[-1] == 2.0
    assert factors([0.25] * 99, ideal=0.25)[-1] == 1.0


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_it_is_bounded_and_rises_with_the_loss(one: float, two: float) -> None:
    low, high = sorted((one, two))
    assert 0.1 <= rate_factor(low, DEFAULT) <= rate_factor(high, DEFAULT) <= 2.0


def script(loss: str = "bce", **config: Any) -> tuple[Balancer, Callable[..., float]]:
    """A script's Balancer, and a step of it that returns the average of d_adv after D's update."""
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    balance = Balancer(
        ["gap_aware_lr"],
        optimizers={"d": optimizer},
        adversarial=loss,
        obeys={"lr_d"},
        supplies={"d_adv"},
        settings={"gap_aware_lr": {"ideal": 0.3, **config}},
    )

    def step(**measured: Any) -> float:
        balance.start_step()
        weight.grad = torch.ones(())
        optimizer.step()
        balance.after_d_step(**measured)
        balance.end_step()
        average: float = balance.composition.plugins[0].state_dict()["average"]
        return average

    return balance, step


def test_what_is_not_measured_moves_nothing() -> None:
    _, step = script()
    averages = [step(d_adv=value) for value in (0.1, math.nan, 0.1)]
    assert averages == pytest.approx([0.29, 0.29, 0.2805])


@pytest.mark.parametrize(("loss", "logit"), [("bce", 0.0), ("hinge", 0.0), ("lsgan", 0.5), ("relativistic", 7.0)])
def test_a_d_that_cannot_tell_is_at_ln_2_in_every_loss_with_levels(loss: str, logit: float) -> None:
    _, step = script(loss, decay=0.0)
    told = torch.full((4,), logit)
    assert step(real_logits=told, fake_logits=told) == pytest.approx(math.log(2))
    with pytest.raises(CompositionError, match="no level of a perfect or of a guessing D"):
        script("wasserstein")


def test_d_steps_with_the_rate() -> None:
    trainer = toy_trainer(["gap_aware_lr"], {"gap_aware_lr": {"decay": 0.0, "ideal": 2.0, "lowest": 0.25}}, lr=1e-3)
    rates = []
    for _ in range(3):
        advance(trainer, 1)
        rates.append(trainer.balance.last_row["lr/d"])
    assert trainer.balance.last_row["signal/d_adv"] < 1.8
    assert rates == pytest.approx([1e-3, 2.5e-4, 2.5e-4])


def test_what_lies_in_the_composition_is_told() -> None:
    def said(*plugins: str, **settings: Any) -> str:
        return " ".join(toy_trainer(["gap_aware_lr", *plugins], settings).balance.composition.warnings)

    assert "below a d_adv of 0.624 it holds lr_d at 0.1 of its base" in said()
    assert said(gap_aware_lr={"ideal": 0.3}) == ""
    assert "together with d_lr_ratio D may get 0.025 of its usual training" in said("d_lr_ratio")
    assert "together with d_skip D may get 0.05" in said("d_skip")
    assert "lifts the d_adv" in said("instance_noise")
    assert "both answer to d_adv through different knobs" in said("dynamic_lambda")
    with pytest.warns(BalancerWarning, match="the source document calls healthy"):
        script(ideal=0.6)
