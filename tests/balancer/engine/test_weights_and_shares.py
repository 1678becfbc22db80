"""Weights that a script looks at, turns and keeps to itself: the moment that comes with them, and the shares."""

import pytest
from support.moments import STEP, hooks, recorder, script

from balancer import Balancer, HeadSpec, Plugin, StepContext, hookimpl


def test_the_first_look_at_a_weight_is_the_moment_before_the_backward_pass_of_g() -> None:
    class Late(Plugin):
        name = "late"
        reads = ("d_adv",)
        writes = {"lambda_adv": ("set",)}

        @hookimpl
        def before_g_backward(self, ctx: StepContext) -> None:
            reading = self.signals["d_adv"]
            assert reading is not None
            assert reading.fresh
            self.knobs["lambda_adv"].set(reading.value)

    cls, events = recorder()
    balance = script(cls, Late)
    for d_adv in (0.2, 0.3):
        balance.start_step(epoch=0)
        balance.after_d_step(d_adv=d_adv)
        assert "before_g_backward" not in hooks(events)
        assert [balance.lambda_adv, balance.weight("adv"), balance.lambda_adv] == [d_adv] * 3
        assert hooks(events).count("before_g_backward") == 1
        balance.end_step()
        events.clear()


def test_a_host_that_looks_at_no_weight_gets_every_moment_all_the_same() -> None:
    cls, events = recorder()
    balance = script(cls)
    balance.start_step(epoch=0)
    balance.start_step(epoch=0)
    balance.end_step()
    assert hooks(events) == ["on_run_start", "on_epoch", *STEP, *STEP]
    assert (balance.step, balance.d_updates, balance.g_updates) == (2, 2, 2)


WEIGHTS = {"lambda_adv": 0.5, "lambda_l1": 1.0}


def test_a_weight_that_the_script_told_nobody_makes_no_shares() -> None:
    balance = script()
    balance.start_step(epoch=0)
    balance.after_d_step(d_adv=0.2)
    balance.end_step(adv=4.0, l1=2.0)
    row = balance.last_row
    assert (row["loss/adv"], row["loss/l1"], row["signal/adv_effective"]) == (4.0, 2.0, 2.0)
    assert not [tag for tag in row if tag.startswith("share/") or tag == "loss/g_loss"]


def test_a_weight_that_is_turned_after_the_backward_pass_of_g_counts_from_the_next_step() -> None:
    class After(Plugin):
        name = "after_g"
        writes = {"lambda_adv": ("set",)}

        @hookimpl
        def after_g_step(self, ctx: StepContext) -> None:
            self.knobs["lambda_adv"].set(0.1)

    balance = script(After, base=WEIGHTS)
    rows = []
    for _ in range(2):
        balance.start_step(epoch=0)
        balance.after_d_step(d_adv=0.2)
        balance.before_g_backward(adv=4.0, l1=2.0)
        balance.end_step()
        rows.append((balance.last_row["knob/lambda_adv"], balance.last_row["share/adv"]))
    assert rows == [(0.5, 0.5), (0.1, pytest.approx(0.4 / 2.4))]


def test_terms_that_come_with_the_end_of_the_step_are_losses_and_have_shares() -> None:
    balance = script(base=WEIGHTS)
    balance.start_step(epoch=0)
    balance.after_d_step(d_adv=0.2)
    balance.end_step(adv=4.0, l1=2.0)
    row = balance.last_row
    assert (row["loss/adv"], row["loss/l1"], row["loss/g_loss"]) == (4.0, 2.0, 4.0)
    assert (row["share/adv"], row["share/l1"], row["signal/adv_effective"]) == (0.5, 0.5, 2.0)


def test_terms_of_g_have_shares_whether_they_come_before_the_backward_pass_or_after_a_weight_was_read() -> None:
    balance = script(base=WEIGHTS)
    rows = []
    for late in (False, True):
        balance.start_step(epoch=0)
        balance.after_d_step(d_adv=0.2)
        if late:
            assert balance.lambda_adv == 0.5
            balance.end_step(adv=4.0, l1=6.0)
        else:
            balance.before_g_backward(adv=4.0, l1=6.0)
            balance.end_step()
        rows.append(balance.last_row)
    assert rows[0] == rows[1]
    assert rows[0]["loss/g_loss"] == 8.0
    assert (rows[0]["share/adv"], rows[0]["share/l1"], rows[0]["signal/adv_effective"]) == (0.25, 0.75, 2.0)


def test_a_weight_is_nothing_while_its_head_rests() -> None:
    balance = script(
        "freeze_head",
        obeys={"d_frozen", "lambda_category"},
        base={"lambda_category": 3.0},
        heads={"category": HeadSpec(("category", "style"), ("category",))},
        settings={"freeze_head": {"until": 1}},
    )
    seen = []
    for epoch in (0, 1):
        balance.start_step(epoch=epoch)
        balance.after_d_step()
        seen.append((balance.d_frozen, balance.lambda_category, balance.frozen_d_terms(), balance.weight("l1")))
    assert seen == [(("category",), 0.0, {"category", "style"}, 1.0), ((), 3.0, set(), 1.0)]


def test_a_term_below_zero_has_a_share_by_its_size() -> None:
    """G's hinge loss is below 0 where D is fooled; it still is a part of what G learns from."""
    with Balancer([], obeys={"lambda_adv"}, base={"lambda_adv": 1.0, "lambda_l1": 1.0}) as balance:
        balance.start_step()
        balance.after_d_step()
        balance.end_step(adv=-2.0, l1=6.0)
    row = balance.last_row
    assert (row["share/adv"], row["share/l1"], row["loss/g_loss"]) == (0.25, 0.75, 4.0)
