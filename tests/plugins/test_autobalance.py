"""autobalance lands on its set point from any base, backs off where structure goes, and nothing breaks it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from balancer_plugins.autobalance import RatioLaw, StructureGuard
from hypothesis import given
from hypothesis import strategies as st
from support.point_runs import ran

from balancer import read_signals
from balancer.errors import CompositionError
from balancer.record.decisions import read_decisions
from balancer.testing import recorded, replay


def law() -> RatioLaw:
    return RatioLaw(slew=0.5, bound=100.0, window=5)


@pytest.mark.parametrize("base", [0.1, 1.0, 10.0])
def test_the_ratio_comes_to_its_set_point_whatever_the_base(base: float) -> None:
    """G answers: the more the adversarial term weighs, the smaller its gradient becomes."""
    made, factor, ratios = law(), 1.0, []
    for _ in range(120):
        weight = base * factor
        adv, others = 0.02 / math.sqrt(0.1 + weight), 0.04
        ratios.append(weight * adv / others)
        factor = made.next_factor(factor, base, adv, others, 0.9)
    assert abs(ratios[0] / 0.9 - 1) > 0.4, "it has something to do"
    assert ratios[-1] == pytest.approx(0.9, rel=0.02)


def test_lambda_rises_by_its_slew_at_most_and_stays_in_its_bounds_and_comes_back_at_once() -> None:
    made, factor = law(), 1.0
    for _ in range(100):
        following = made.next_factor(factor, 1.0, 1e-6, 1.0, 1.0)
        assert following / factor <= 1.5 + 1e-9
        factor = following
    assert factor == 100.0
    steps = 0
    while factor == 100.0:  # nothing has wound up but the median, which follows within its window
        factor = made.next_factor(factor, 1.0, 1.0, 1.0, 1.0)
        steps += 1
    assert steps == 3 and factor == pytest.approx(1.0), "it falls at once"


def test_two_wild_measurements_of_five_are_left_out() -> None:
    made = law()
    factors = [made.next_factor(1.0, 1.0, adv, 1.0, 1.2) for adv in (1.0, 1.0, 1.0, 1e-9, 1e9)]
    assert factors == pytest.approx([1.2] * 5)


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=50))
def test_whatever_is_measured_the_factor_stays_a_number_in_its_bounds(measured: list[tuple[float, float]]) -> None:
    made, factor = law(), 1.0
    for adv, others in measured:
        factor = made.next_factor(factor, 1.0, adv, others, 0.9)
        assert 0.01 <= factor <= 100.0


def guard() -> StructureGuard:
    return StructureGuard(tolerance=0.04, patience=2, lowered_to=0.7, lowest=0.1)


def test_structure_that_goes_lowers_the_set_point_and_structure_that_holds_gives_it_back() -> None:
    made = guard()
    assert [made.look(error) for error in (0.5, 0.4, 0.3, 0.305)] == [""] * 4
    assert made.look(0.32) == ""  # one bad look may be chance
    said = made.look(0.33)
    assert made.share == pytest.approx(0.7) and "10% above its best 0.3: backs off" in said
    for _ in range(40):
        made.look(0.36)
    assert made.share == 0.1
    for _ in range(14):
        made.look(0.3)
    assert made.share == 1.0


def test_structure_that_gets_better_by_itself_is_left_alone_and_noise_within_the_tolerance_too() -> None:
    made = guard()
    for look in range(300):
        assert made.look(0.3 + 0.3 / (1 + look) + 0.004 * (-1) ** look) == ""
    assert made.share == 1.0
    for broken in (math.nan, math.inf, -1.0):
        assert made.look(broken) == ""


def test_a_run_lands_near_the_set_point_and_says_why_it_moved(tmp_path: Path) -> None:
    items = ["autobalance.set_point=0.5", "autobalance.guard=false", "train.lambda_adv=0.02", "train.gradients_every=4"]
    run = ran(tmp_path / "run", "autobalance", items, steps=400)
    moves = [*read_decisions(run)]
    assert all(move.knob == "lambda_adv" and "set point" in move.note for move in moves)
    columns = read_signals(run)
    ratio = columns["lambda_adv"] * columns["g_grad_adv"] / columns["g_grad_rec"]
    assert np.nanmedian(ratio[:20]) < 0.1
    assert 0.4 < np.nanmedian(ratio[40:]) < 0.8, "of gradients that differ tenfold from batch to batch"


def test_a_replay_of_its_own_run_says_what_the_run_did(tmp_path: Path) -> None:
    items = ["train.gradients_every=2", "train.probe_every=3", "autobalance.tolerance=0.001", "autobalance.patience=1"]
    run = ran(tmp_path / "run", "autobalance", items, steps=40)
    again = replay(
        ["autobalance"], recorded(run), settings={"autobalance": {"tolerance": 0.001, "patience": 1}}, lambda_adv=1.0
    )
    assert again["lambda_adv"] == pytest.approx(list(read_signals(run)["lambda_adv"]), rel=1e-5)
    assert any("backs off" in decision.note for decision in read_decisions(run)), "the guard acted too"


def test_a_host_that_looks_at_nothing_held_out_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CompositionError, match=r"reads val/structure_error, but train.probe_every is 0: set it"):
        ran(tmp_path / "refused", "autobalance", ["train.probe_every=0"])
    ran(tmp_path / "run", "autobalance", ["train.probe_every=0", "autobalance.guard=false"], steps=2)
