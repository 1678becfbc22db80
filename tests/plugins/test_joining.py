"""Built-in plugins that join a run in the middle of an epoch, or go on with other settings than they had."""

from __future__ import annotations

from typing import Any

from balancer import Balancer
from balancer.testing import toy_trainer

# Sixteen steps an epoch.
STOP = 5


def going_on(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> Balancer:
    """One step under `after`'s plugins and settings, after five under `before`'s."""
    first = toy_trainer(list(before), before)
    for _ in range(STOP):
        first.step(first.next_batch())
    second = toy_trainer(list(after), after)
    second.load_state_dict(first.state_dict())
    second.step(second.next_batch())
    return second.balance


def test_a_schedule_holds_from_the_step_at_which_it_joins() -> None:
    assert going_on({}, {"lambda_schedule": {}}).lambda_adv == 0.1


def test_other_steps_of_a_schedule_hold_at_once() -> None:
    schedule = {"lambda_schedule": {"steps": [[0, 0.7], [9, 0.9]]}}
    assert going_on({"lambda_schedule": {}}, schedule).lambda_adv == 0.7


def test_a_head_rests_from_the_step_at_which_it_is_told_to() -> None:
    assert going_on({}, {"freeze_head": {"until": 1}}).d_frozen == ("category",)
    assert going_on({"freeze_head": {"until": 1}}, {"freeze_head": {"until": 0}}).d_frozen == ()


def test_labels_of_the_other_side_are_hard_again() -> None:
    balance = going_on({"label_smoothing": {}}, {"label_smoothing": {"sides": "real"}})
    assert (balance.real_label, balance.fake_label) == (0.9, 0.0)


def test_a_gate_goes_with_the_setting_that_closed_it() -> None:
    closed = {"d_skip": {"accuracy_above": 0.0}}
    assert not going_on(closed, closed).d_update
    assert going_on(closed, {"d_skip": {"every": 1}}).d_update
