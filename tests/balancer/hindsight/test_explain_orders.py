"""`explain` on logs of scripts in which G comes first, or gathers gradients: from what was recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.explained import assert_true
from support.orders import Script
from support.replayed import assert_exact

from balancer.hindsight.explain import explain
from balancer.show.explanation import explanation_lines

LAW = {"dynamic_lambda": {"warmup_steps": 2, "bands": [[0.01, 0.1]], "above": 0.5}, "d_skip": {"every": 2}}


def recorded(folder: Path, ops: str) -> Script:
    script = Script(["dynamic_lambda", "d_skip", "d_lr_ratio"], LAW, log_dir=folder)
    for _ in range(6):
        script.play(ops)
    script.end()
    return script


@pytest.mark.parametrize(
    "ops", ["s pdr qg", "s qg pdr", "s mg pdr pdr", "s pr q s pr q dg", "s q pr s q pr gd", "s qg pr s qg pr d"]
)
def test_every_knob_of_every_step_is_explained_as_recorded(ops: str, tmp_path: Path) -> None:
    recorded(tmp_path, ops)
    assert_true(tmp_path)


@pytest.mark.parametrize(("ops", "late"), [("s pdr qg", 0), ("s qg pdr", 1)])
def test_what_is_decided_on_d_acts_from_the_next_step_where_g_came_first(ops: str, late: int, tmp_path: Path) -> None:
    script = recorded(tmp_path, ops)
    weights = script.column("knob/lambda_adv")
    turned = weights.index(0.5)
    told = explain(tmp_path, turned - late)
    (taken,) = [one for one in told.decisions if one.decision.knob == "lambda_adv"]
    assert (taken.decision.moment, taken.decision.new) == ("after_d_step", 0.5)
    assert taken.acts_from == turned
    text = "\n".join(explanation_lines(told))
    assert (f"acting from step {turned} on" in text) == bool(late)
    (start,) = explain(tmp_path, 0).decisions[:1]
    assert start.acts_from == 0


@pytest.mark.parametrize("ops", ["s pdr qg", "s qg pdr", "s qg pdr qg"])
def test_a_replay_has_the_order_of_the_run(ops: str, tmp_path: Path) -> None:
    recorded(tmp_path, ops)
    assert_exact(tmp_path)
