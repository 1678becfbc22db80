"""gradient_balance: its three laws as numbers, what settings go together, and that runs have their papers' weights."""

import copy
import itertools
import math
from typing import Any

import pytest
import torch
from balancer_plugins.gradient_balance import GradientBalance, approach, encodec_weights, vqgan_factor
from hypothesis import given, settings
from hypothesis import strategies as st
from support.published import EncodecBalance, VqganWeight
from support.shapes_runs import shapes_trainer
from support.toy_steps import advance
from torch import nn

from balancer import Balancer
from balancer.errors import CompositionError, ConfigError
from balancer.testing import check_plugin
from balancer.train.loop import Trainer

# The laws.


@pytest.mark.parametrize(
    ("rec", "adv", "factor"),
    [(2.0, 0.9999, 2.0), (0.0, 1.0, 0.0), (1.0, 0.0, 1e4), (1e9, 1e-9, 1e4), (0.5, 4.9999, 0.1)],
)
def test_vqgans_factor(rec: float, adv: float, factor: float) -> None:
    assert vqgan_factor(rec, adv) == pytest.approx(factor)


def test_encodecs_weights_give_each_gradient_its_share() -> None:
    norms = {"adv": 0.5, "l1": 4.0}
    weights = encodec_weights({"adv": 3.0, "l1": 1.0}, norms)
    assert {term: weights[term] * norms[term] for term in norms} == {"adv": 0.75, "l1": 0.25}
    assert encodec_weights({"adv": 1.0, "l1": 1.0}, {"adv": 0.0}) == {}, "nothing to divide by, and none measured yet"
    assert encodec_weights({"adv": 1.0}, {"adv": 1e-30}) == {"adv": 1e6}


POSITIVE = st.floats(1e-6, 1e6)


@given(POSITIVE, st.floats(0, 1e9), st.floats(0.001, 1), st.floats(0.01, 1), st.floats(1, 100))
@settings(max_examples=80)
def test_a_set_point_is_approached_within_its_bounds_and_its_slew(
    value: float, aim: float, slew: float, low: float, high: float
) -> None:
    after = approach(value, aim, slew, low, high)
    before, wanted = (min(max(one, low), high) for one in (value, aim))
    assert low <= after <= high
    assert max(after / before, before / after) <= (1 + slew) * (1 + 1e-12)
    assert abs(after - wanted) <= abs(before - wanted)
    assert after != before or math.isclose(before, wanted)


# Settings.


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mode": "encodec"}, 'mode = "encodec" needs weights, such as {adv = 3.0, l1 = 1.0}'),
        ({"weights": {"adv": 1.0}}, 'weights does nothing with mode = "vqgan": leave it out'),
        ({"mode": "encodec", "weights": {"adv": 1.0}, "ratio": 2.0}, 'ratio does nothing with mode = "encodec"'),
        ({"mode": "set_point", "beta": 0.9}, 'beta does nothing with mode = "set_point"'),
        ({"mode": "set_point", "low": 2.0, "high": 1.0}, "low = 2 is above high = 1"),
        ({"rec": {"l1": 1.0, "adv": 1.0}}, "leave adv out of it"),
        ({"rec": {"l1": -1.0}}, "rec holds weights of 0 or more, one above 0 at least"),
        ({"rec": {}}, "rec holds weights of 0 or more, one above 0 at least"),
        ({"mode": "encodec", "weights": {"l1": 0.0}}, "weights holds weights of 0 or more, one above 0 at least"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        shapes_trainer(["gradient_balance"], {"gradient_balance": given})
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("config", [{}, {"mode": "set_point"}, {"mode": "encodec", "weights": {"adv": 1.0}}])
def test_beside_another_law_on_the_same_weight_it_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(CompositionError, match=r"dynamic_lambda and gradient_balance .*lambda_adv"):
        shapes_trainer(["dynamic_lambda", "gradient_balance"], {"gradient_balance": config})


def test_shares_of_other_terms_leave_lambda_adv_to_another_law() -> None:
    own = {"gradient_balance": {"mode": "encodec", "weights": {"l1": 1.0, "shape": 1.0}}}
    assert shapes_trainer(["dynamic_lambda", "gradient_balance"], own).balance.composition.warnings == ()


def test_a_base_far_from_the_bounds_of_a_set_point_is_warned_of() -> None:
    own = {"gradient_balance": {"mode": "set_point"}}
    (said,) = shapes_trainer(["gradient_balance"], own, lambda_adv=0.005).balance.composition.warnings
    assert "lambda_adv is 0.005" in said and "within 0.1–10: set low and high around it" in said


# Runs: G's terms are adv, l1 (weight 10) and shape (weight 1).

REC = {"l1": 10.0, "shape": 1.0}


def rows(plugins: Any, config: Any, steps: int = 4, **train: Any) -> list[dict[str, float]]:
    trainer = shapes_trainer(plugins, config, **train)
    return [advance(trainer, 1).balance.last_row for _ in range(steps)]


def own(**config: Any) -> dict[str, Any]:
    return {"gradient_balance": config}


@pytest.mark.parametrize("train", [{}, {"micro_batches": 2, "g_updates": 2}])
@pytest.mark.parametrize("given", [{}, {"rec": REC}], ids=["all others", "named"])
def test_vqgans_weight_is_that_of_the_paper(given: dict[str, Any], train: dict[str, Any]) -> None:
    ours = rows(["gradient_balance"], own(**given), lambda_adv=0.8, **train)
    paper = rows([VqganWeight], {"vqgan_weight": {"rec": REC, "weight": 0.8}}, lambda_adv=0.8, **train)
    assert ours == paper and len({row["knob/lambda_adv"] for row in ours}) == 4


@pytest.mark.parametrize("train", [{}, {"micro_batches": 2, "g_updates": 2}])
def test_encodecs_weights_are_those_of_the_paper(train: dict[str, Any]) -> None:
    shares = {"adv": 3.0, "l1": 1.0}
    ours = rows(["gradient_balance"], own(mode="encodec", weights=shares, beta=0.9), **train)
    paper = rows([EncodecBalance], {"encodec_balance": {"shares": shares, "beta": 0.9}}, **train)
    for term in shares:
        held = [[row[f"knob/lambda_{term}"] for row in found] for found in (ours, paper)]
        assert held[0] == pytest.approx(held[1], rel=1e-5)
    assert {row["knob/lambda_shape"] for row in ours} == {1.0}


def test_a_set_point_holds_the_ratio_of_the_weighted_gradients_at_the_images() -> None:
    free = own(mode="set_point", ratio=0.3, slew=1.0, low=1e-4, high=1e4)
    found = rows(["gradient_balance"], free, steps=12, gradients_every=1)[-4:]
    for row in found:
        held = row["knob/lambda_adv"] * row["signal/g_grad_adv"] / row["signal/g_grad_rec"]
        assert held == pytest.approx(0.3, rel=1e-3)


def test_it_moves_by_its_slew_and_stays_in_its_bounds() -> None:
    held = [1.0, *(row["knob/lambda_adv"] for row in rows(["gradient_balance"], own(mode="set_point", ratio=100), 6))]
    assert [after / before for before, after in itertools.pairwise(held)] == pytest.approx([1.02] * 6)
    capped = rows(["gradient_balance"], own(mode="set_point", ratio=100, slew=1.0, high=3.0))
    assert [row["knob/lambda_adv"] for row in capped] == [2.0, 3.0, 3.0, 3.0]
    bounded = rows(["gradient_balance", "lambda_schedule"], own(mode="set_point", ratio=100))
    assert [row["knob/lambda_adv"] for row in bounded] == [0.1] * 4, "the schedule's first row is an upper bound"


def test_it_measures_in_every_kth_step_and_holds_between() -> None:
    held = [row["knob/lambda_adv"] for row in rows(["gradient_balance"], own(every=3), 7)]
    assert [held[step] != held[step - 1] for step in range(1, 7)] == [False, False, True, False, False, True]


def test_a_late_start_goes_on_top() -> None:
    start = {"step": 2, "d_warmup": 1}
    found = rows(["gradient_balance", "adversarial_start"], {**own(), "adversarial_start": start})
    assert [row["knob/lambda_adv"] > 0 for row in found] == [False, False, False, True]


def test_a_frozen_term_is_none_of_the_others() -> None:
    frozen = {"freeze_head": {"head": "shape", "until": 9}}
    ours = rows(["gradient_balance", "freeze_head"], {**own(), **frozen})
    assert ours == rows(["gradient_balance", "freeze_head"], {**own(rec={"l1": 10.0}), **frozen})


def test_a_resume_with_another_mode_leaves_nothing_of_the_old_one() -> None:
    def made(**config: Any) -> Trainer:
        return shapes_trainer(["gradient_balance"], own(**config))

    first = advance(made(mode="encodec", weights={"adv": 1.0, "l1": 1.0}), 2)
    assert first.balance.last_row["knob/lambda_l1"] != 10.0
    second = made(mode="set_point")
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    row = advance(second, 1).balance.last_row
    assert row["knob/lambda_l1"] == 10.0
    assert 1 / 1.03 < row["knob/lambda_adv"] < 1.03, "from the base on"


# In a script.


def script(base: dict[str, float], **config: Any) -> Balancer:
    return Balancer(
        ["gradient_balance"],
        settings=own(**config),
        base=base,
        obeys={"lambda_adv"},
        supplies={"adv", "rec", "gradients"},
    )


def g_part(balance: Balancer, adv: float, rec: float, dtype: torch.dtype = torch.float32) -> float:
    """One step whose terms have these gradients at one image; what lambda_adv then is."""
    image = nn.Parameter(torch.ones((), dtype=dtype))
    fake = image * 1.0
    balance.start_step()
    balance.before_g_backward(fake=fake, adv=adv * fake, rec=rec * fake)
    weight: float = balance.lambda_adv
    balance.after_g_step()
    return weight


def test_a_script_tells_what_its_terms_weigh_or_is_told_so() -> None:
    assert g_part(script({"lambda_adv": 0.5, "lambda_rec": 10.0}), 1.9999, 0.2) == pytest.approx(0.5)
    assert g_part(script({"lambda_adv": 0.5}, rec={"rec": 20.0}), 1.9999, 0.2) == pytest.approx(1.0)
    with pytest.raises(
        ConfigError, match=r"does not tell what they weigh: give their weights in base, or in gradient_"
    ):
        g_part(script({"lambda_adv": 0.5}), 1.0, 1.0)


@pytest.mark.parametrize("mode", ["vqgan", "set_point"])
def test_gradients_that_are_no_numbers_or_nothing_change_nothing(mode: str) -> None:
    balance = script({"lambda_adv": 1.0, "lambda_rec": 1.0}, mode=mode)
    held = g_part(balance, 1.0, 3.0)
    assert held != 1.0
    for adv, rec in ((math.inf, 1.0), (1.0, math.nan)):
        assert g_part(balance, adv, rec) == held
    assert mode == "vqgan" or g_part(balance, 0.0, 1.0) == held


def test_an_average_goes_on_over_a_measurement_that_is_no_number() -> None:
    balance = script({"lambda_adv": 1.0}, mode="encodec", weights={"adv": 1.0}, beta=0.5)
    assert [g_part(balance, norm, 1.0) for norm in (2.0, math.inf, 5.0, 0.0)] == pytest.approx(
        [1 / 2.0, 1 / 2.0, 1 / 4.0, 1 / (4.0 * 3 / 7)]
    )


@pytest.mark.parametrize(
    "config", [{"mode": "set_point"}, {"mode": "encodec", "weights": {"adv": 3.0, "category": 1.0}}]
)
def test_it_keeps_every_promise_of_a_plugin(config: dict[str, Any]) -> None:
    check_plugin(GradientBalance, config, strict=True)
