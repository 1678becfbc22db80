"""lambda_adv as a multiple of the author's own, and the warning where a law would set something else altogether."""

from typing import Any

import pytest

from balancer import Balancer
from balancer.errors import BalancerWarning
from balancer.testing import replay

FACTORS = [0.2, 0.35, 0.5, 0.6]
ROWS = [{"d_adv": value} for value in (0.005, 0.03, 0.12, 0.25)]


def script(plugins: list[str], base: float | None, **settings: Any) -> Balancer:
    told = {} if base is None else {"lambda_adv": base}
    return Balancer(plugins, settings=settings, base=told, supplies={"d_adv"}, obeys={"lambda_adv"})


def test_relative_bands_multiply_the_base() -> None:
    settings = {"dynamic_lambda": {"warmup_steps": 0, "relative": True}}
    run = replay(["dynamic_lambda"], ROWS, settings=settings, lambda_adv=0.005)
    assert run["lambda_adv"] == pytest.approx([0.005 * factor for factor in FACTORS])
    assert [decision.new for decision in run.decisions] == [0.25, *FACTORS], "the factors are what the law decides"
    assert {decision.op for decision in run.decisions} == {"mul"}


def test_until_the_warm_up_is_over_the_initial_factor_holds() -> None:
    settings = {"dynamic_lambda": {"warmup_steps": 2, "relative": True, "ceiling": 0.5}}
    run = replay(["dynamic_lambda"], ROWS, settings=settings, lambda_adv=4.0)
    assert run["lambda_adv"] == pytest.approx([1.0, 1.0, 2.0, 2.0])


def test_a_relative_schedule_multiplies_the_base_or_what_a_law_sets() -> None:
    rows = [{"d_adv": 0.25, "epoch": epoch} for epoch in (0, 5, 20)]
    schedule = {"relative": True}
    alone = replay(["lambda_schedule"], rows, settings={"lambda_schedule": schedule}, lambda_adv=0.005)
    assert alone["lambda_adv"] == pytest.approx([0.0005, 0.0015, 0.0025])
    both = {"lambda_schedule": schedule, "dynamic_lambda": {"warmup_steps": 0}}
    run = replay(["lambda_schedule", "dynamic_lambda"], rows, settings=both)
    assert run["lambda_adv"] == pytest.approx([0.06, 0.18, 0.3])


def test_a_relative_law_multiplies_what_a_schedule_sets() -> None:
    rows = [{"d_adv": 0.25, "epoch": epoch} for epoch in (0, 5, 20)]
    settings = {"dynamic_lambda": {"warmup_steps": 0, "relative": True}}
    run = replay(["lambda_schedule", "dynamic_lambda"], rows, settings=settings)
    assert run["lambda_adv"] == pytest.approx([0.06, 0.18, 0.3])


@pytest.mark.parametrize(("plugin", "range_"), [("dynamic_lambda", "0.2–0.6"), ("lambda_schedule", "0.1–0.5")])
@pytest.mark.parametrize("base", [0.005, 0.02, 2.0, 10.0])
def test_a_base_far_from_what_a_law_sets_is_warned_about_with_both_figures(
    plugin: str, range_: str, base: float
) -> None:
    with pytest.warns(BalancerWarning, match="relative = true"):
        (warning,) = script([plugin], base).composition.warnings
    assert f"lambda_adv is {base:g} in this script" in warning
    assert f"sets it to {range_}: set relative = true" in warning
    assert script([plugin], base, **{plugin: {"relative": True}}).composition.warnings == ()


@pytest.mark.parametrize("plugin", ["dynamic_lambda", "lambda_schedule"])
@pytest.mark.parametrize("base", [None, 1.0, 0.5, 0.1, 1.2])
def test_a_base_that_nobody_gave_or_that_lies_near_is_not(plugin: str, base: float | None) -> None:
    assert script([plugin], base).composition.warnings == ()


def test_a_base_of_1_is_not_warned_about_beside_low_bands_either() -> None:
    assert script(["dynamic_lambda"], 1.0, dynamic_lambda={"ceiling": 0.05}).composition.warnings == ()
