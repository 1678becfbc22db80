"""Knobs: how contributions meet, and that nothing lingers."""

import json
import math

import pytest
from support.knob_boards import SPECS, Change, board

from balancer.engine.clock import Clock
from balancer.engine.knob_board import KnobBoard
from balancer.errors import KnobError

# How contributions meet.


def test_without_a_contribution_the_base_holds() -> None:
    knobs = board({"lambda_adv": 0.3})
    assert knobs.value("lambda_adv") == 0.3
    assert knobs.value("lr_d") == 1.0
    assert knobs.value("d_update") is True
    assert knobs.value("d_frozen") == ()


def test_a_set_owner_replaces_the_base_and_factors_multiply_it() -> None:
    knobs = board({"lambda_adv": 7.0})
    knobs.write("b", "lambda_adv", "mul", 0.5)
    assert knobs.value("lambda_adv") == 3.5
    knobs.write("a", "lambda_adv", "set", 0.4)
    assert knobs.value("lambda_adv") == 0.2
    knobs.write("c", "lambda_adv", "mul", 3)
    assert knobs.value("lambda_adv") == pytest.approx(0.6)


def test_bounds_apply_after_factors() -> None:
    knobs = board()
    knobs.write("a", "lambda_adv", "set", 0.4)
    knobs.write("b", "lambda_adv", "max", 0.5)
    assert knobs.value("lambda_adv") == 0.4
    knobs.write("c", "lambda_adv", "mul", 2.0)
    assert knobs.value("lambda_adv") == 0.5
    knobs.write("a", "lambda_adv", "max", 0.45)
    assert knobs.value("lambda_adv") == 0.45, "the lowest of several upper bounds holds"
    knobs.write("c", "lambda_adv", "mul", 0.1)
    knobs.write("b", "lambda_adv", "min", 0.2)
    knobs.write("a", "lambda_adv", "min", 0.1)
    assert knobs.value("lambda_adv") == 0.2, "the highest of several lower bounds holds"


def test_where_bounds_cross_the_upper_one_wins_and_the_decision_that_crosses_them_says_so() -> None:
    changes: list[Change] = []
    knobs = board(changes=changes)
    knobs.write("a", "lambda_adv", "max", 0.3)
    knobs.write("b", "lambda_adv", "min", 0.5)
    assert knobs.value("lambda_adv") == 0.3
    knobs.write("b", "lambda_adv", "min", 0.6)  # still crossed: said once
    knobs.write("b", "lambda_adv", "min", 0.2)
    knobs.write("a", "lambda_adv", "max", 0.1)  # crossed anew
    notes = [note for *_, note in changes]
    assert [bool(note) for note in notes] == [False, True, False, False, True]
    assert "upper one holds" in notes[1]


@pytest.mark.parametrize("is_open", [True, False])
def test_every_gate_and_every_period_must_agree(is_open: bool) -> None:
    clock = Clock()
    knobs = board(clock=clock)
    knobs.write("a", "d_update", "period", 2)
    knobs.write("b", "d_update", "period", 3)
    knobs.write("c", "d_update", "gate", is_open)
    steps = []
    for step in range(13):
        clock.step = step
        if knobs.value("d_update"):
            steps.append(step)
    assert steps == ([0, 6, 12] if is_open else [])


def test_one_closed_gate_outvotes_an_open_one() -> None:
    knobs = board()
    knobs.write("a", "d_update", "gate", True)
    assert knobs.value("d_update") is True
    knobs.write("b", "d_update", "gate", False)
    assert knobs.value("d_update") is False


def test_a_ratio_means_a_multiple_of_the_rate_of_g_whatever_the_base_of_d_is() -> None:
    knobs = board({"lr_d": 5e-3, "lr_g": 2e-4})
    knobs.write("a", "lr_d", "ratio", 0.25)
    assert knobs.value("lr_d") == 5e-5
    knobs.write("b", "lr_d", "mul", 0.1)
    assert knobs.value("lr_d") == pytest.approx(5e-6)
    knobs.write("a", "lr_d", "ratio", None)
    assert knobs.value("lr_d") == pytest.approx(5e-4)


def test_names_are_united() -> None:
    knobs = board()
    knobs.write("b", "d_frozen", "add", ("style", "style"))
    assert knobs.value("d_frozen") == ("style",)
    knobs.write("a", "d_frozen", "add", ("category",))
    assert knobs.value("d_frozen") == ("category", "style")
    knobs.write("b", "d_frozen", "add", None)
    assert knobs.value("d_frozen") == ("category",)


# Withdrawing, remembering.


def test_withdrawing_gives_the_base_back_not_the_last_value() -> None:
    knobs = board({"lambda_adv": 0.3})
    for op, value in (("set", 0.6), ("mul", 2.0), ("max", 0.9), ("min", 0.8)):
        knobs.write("a", "lambda_adv", op, value)
    for op in ("set", "mul", "max", "min"):
        knobs.write("a", "lambda_adv", op, None)
    assert knobs.value("lambda_adv") == 0.3
    assert knobs.contributions("lambda_adv") == []


def test_a_change_is_reported_once_with_old_new_and_effective() -> None:
    changes: list[Change] = []
    knobs = board({"lambda_adv": 1.0}, changes=changes)
    knobs.write("b", "lambda_adv", "mul", 0.5)
    knobs.write("b", "lambda_adv", "mul", 0.5)
    knobs.write("a", "lambda_adv", "set", 0.4)
    knobs.write("a", "lambda_adv", "set", None)
    knobs.write("a", "lambda_adv", "set", None)
    assert changes == [
        ("b", "lambda_adv", "mul", None, 0.5, 0.5, ""),
        ("a", "lambda_adv", "set", None, 0.4, 0.2, ""),
        ("a", "lambda_adv", "set", 0.4, None, 0.5, ""),
    ]


def filled() -> KnobBoard:
    knobs = board({"lambda_adv": 1.0})
    knobs.write("a", "lambda_adv", "set", 0.35)
    knobs.write("b", "lambda_adv", "max", 0.3)
    knobs.write("b", "d_update", "period", 3)
    knobs.write("c", "d_update", "gate", False)
    knobs.write("c", "d_frozen", "add", ("style", "category"))
    knobs.write("a", "lr_d", "ratio", 0.25)
    return knobs


def test_contributions_survive_a_round_trip_through_json() -> None:
    before = filled()
    after = board({"lambda_adv": 1.0})
    after.load_state_dict(json.loads(json.dumps(before.state_dict())), lambda *_: True)
    for knob in SPECS:
        assert after.contributions(knob) == before.contributions(knob)
        assert after.value(knob) == before.value(knob)
    assert type(after.own("b", "d_update", "period")) is int


def test_what_is_not_allowed_any_more_is_dropped_when_a_state_is_loaded() -> None:
    after = board({"lambda_adv": 1.0})
    after.load_state_dict(filled().state_dict(), lambda plugin, knob, op: (plugin, op) != ("a", "set"))
    assert after.contributions("lambda_adv") == [("b", "max", 0.3)]
    assert after.own("a", "lr_d", "ratio") == 0.25


def test_what_a_resume_withdraws_is_a_change_and_a_knob_that_is_gone_has_no_value() -> None:
    state = {**filled().state_dict(), "zeal": [["c", "set", 2.0]]}
    after = board({"lambda_adv": 1.0})
    withdrawn = list(after.withdrawals(after.load_state_dict(state, lambda plugin, *_: plugin == "b")))
    assert [(c.plugin, c.knob, c.op, c.old, c.new, c.effective) for c in withdrawn] == [
        ("a", "lambda_adv", "set", 0.35, None, 0.3),
        ("a", "lr_d", "ratio", 0.25, None, 1.0),
        ("c", "d_update", "gate", False, None, True),
        ("c", "d_frozen", "add", ("category", "style"), None, ()),
        ("c", "zeal", "set", 2.0, None, None),
    ]
    assert all("withdrawn" in change.note for change in withdrawn)


def test_a_damaged_state_does_not_get_past_the_board() -> None:
    with pytest.raises(KnobError, match=r"plugin a wrote nan to lambda_adv \(set\)"):
        board().load_state_dict({"lambda_adv": [["a", "set", math.nan]]}, lambda *_: True)


def test_loading_a_state_forgets_what_was_contributed_since() -> None:
    knobs = board()
    state = knobs.state_dict()
    knobs.write("a", "lambda_adv", "set", 0.2)
    knobs.load_state_dict(state, lambda *_: True)
    assert knobs.value("lambda_adv") == 1.0
