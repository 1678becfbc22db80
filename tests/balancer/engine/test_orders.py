"""The order of a step is the host's: rows, updates, weights and skips, in any order and number of D's and G's parts."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.orders import Script

from balancer import Plugin, StepContext, hookimpl
from balancer.errors import AuditError

LAW: dict[str, Any] = {"dynamic_lambda": {"warmup_steps": 0, "bands": [[0.01, 0.1]], "above": 0.5}}
SKIP = {"d_skip": {"every": 2}}


def counted() -> tuple[type[Plugin], list[str]]:
    """A plugin class, and the list of its moments that it fills."""
    events: list[str] = []

    class Counted(Plugin):
        name = "counted"

        @hookimpl
        def after_d_step(self, ctx: StepContext) -> None:
            events.append("after_d_step")

        @hookimpl
        def before_g_backward(self, ctx: StepContext) -> None:
            events.append("before_g_backward")

        @hookimpl
        def after_g_step(self, ctx: StepContext) -> None:
            events.append("after_g_step")

    return Counted, events


def played(ops: str, rounds: int, *plugins: Any, **settings: Any) -> Script:
    script = Script(plugins, settings)
    for _ in range(rounds):
        script.play(ops)
    script.end()
    return script


# One round, in letters: s start_step; p d r pass, step and report of D; q (m: with its moment) g pass and step of G.
@pytest.mark.parametrize(
    ("ops", "d", "g"),
    [
        ("s pdr qg", 1, 1),
        ("s pdr mg e", 1, 1),
        ("s prd qg", 1, 1),
        ("s qg pdr", 1, 1),
        ("s mg pdr", 1, 1),
        ("s qg prd", 1, 1),
        ("s pdr pdr pdr qg", 3, 1),
        ("s prd prd prd qg", 3, 1),
        ("s mg pdr pdr pdr", 3, 1),
        ("s pdr mg mg", 1, 2),
        ("s pdr qg qg", 1, 2),
        ("s mg mg pdr", 1, 2),
        ("s pdr mg pdr mg", 2, 2),
        ("s pdr", 1, 0),
        ("s qg", 0, 1),
        ("s mg e", 0, 1),
    ],
)
def test_a_round_has_a_row_with_the_updates_that_were_done(ops: str, d: int, g: int) -> None:
    script = played(ops, 6)
    assert script.updates("d") == [d] * 6
    assert script.updates("g") == [g] * 6
    assert [not math.isnan(value) for value in script.column("signal/d_adv")] == [d > 0] * 6


# Windows of two rounds: all of D's passes first, or D and G in turn, or G first, with the steps at the window's end.
WINDOWS = {
    "in turn": ("s pr q", "s pr q dg"),
    "in turn, reported after the step": ("s pr q", "s p d r q g"),
    "G first": ("s q pr", "s q pr gd"),
    "G first, steps in each part": ("s q pr", "s q g p d r"),
    "with moments": ("s pr m e", "s pr m dg e"),
    "one call for the window": ("s pr pr d q q g", ""),
    "one call, G first": ("s m m g pr pr d", ""),
}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_a_window_of_micro_batches_is_a_step(window: tuple[str, str]) -> None:
    script = played("".join(window), 6)
    assert script.updates("d") == script.updates("g") == [1] * 6


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_d_that_is_skipped_every_second_step_trains_on_every_second_window(window: tuple[str, str]) -> None:
    script = played("".join(window), 6, "d_skip", **SKIP)
    assert script.updates("d") == [1, 0] * 3
    assert script.updates("g") == [1] * 6
    assert script.column("knob/d_update") == [1, 0] * 3


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_a_moment_comes_once_for_an_update_of_d(window: tuple[str, str]) -> None:
    plugin, events = counted()
    script = Script([plugin])
    for _ in range(4):
        script.play("".join(window))
    script.end()
    assert {name: events.count(name) for name in ("after_d_step", "before_g_backward", "after_g_step")} == {
        "after_d_step": 4,
        "before_g_backward": 4,
        "after_g_step": 4,
    }


@pytest.mark.parametrize(
    "window", [w for name, w in WINDOWS.items() if "one call" not in name and "moments" not in name]
)
def test_gradients_that_g_leaves_in_d_are_noticed_in_a_window_too(window: tuple[str, str]) -> None:
    script = Script()
    script.D.requires_grad_ = lambda requires_grad=True: script.D  # type: ignore[method-assign]  # never frozen
    with pytest.raises(AuditError, match="D's update also takes the gradients that G's backward pass left in D"):
        for _ in range(4):
            script.play("".join(window))


def test_signals_of_a_window_are_means_over_its_micro_batches() -> None:
    halves, whole = Script(), Script()
    for _ in range(3):
        seen = []
        for ops in WINDOWS["in turn"]:
            halves.play(ops)
            assert halves.logits is not None
            real, fake = halves.logits
            seen.append(float(halves.balance.loss.signals(real.detach(), fake.detach())["d_adv"]))
        halves.balance.end_step()
        assert halves.rows[-1]["signal/d_adv"] == pytest.approx(sum(seen) / 2, abs=1e-6)
    whole.end()


@pytest.mark.parametrize("micro_batch", ["pr q", "q pr"])
def test_signals_of_a_window_in_which_d_rests_are_means_too(micro_batch: str) -> None:
    script = Script(["d_skip"], SKIP)
    for _ in range(3):
        seen = []
        for ops in (f"s {micro_batch}", f"s {micro_batch.replace('q', 'qg').replace('p', 'pd')}"):
            script.play(ops)
            assert script.logits is not None
            real, fake = script.logits
            seen.append(float(script.balance.loss.signals(real.detach(), fake.detach())["d_adv"]))
        script.balance.end_step()
        assert script.rows[-1]["signal/d_adv"] == pytest.approx(sum(seen) / 2, abs=1e-6)
    script.end()


def test_d_may_step_for_each_micro_batch_while_gradients_of_g_gather() -> None:
    script = Script()
    for _ in range(4):
        script.play("s pdr q  s pdr q g")
    script.end()
    assert script.updates("d") == [1] * 8
    assert script.updates("g") == [0, 1] * 4


@pytest.mark.parametrize("rounds", ["s pr qg  s pr qg d", "s qg pr  s qg pr d"])
def test_g_may_step_for_each_micro_batch_while_gradients_of_d_gather(rounds: str) -> None:
    for plugins, given_ in (((), {}), (("d_skip",), SKIP)):
        script = played(rounds, 4, *plugins, **given_)
        assert script.updates("g") == [1] * 8
        assert script.updates("d") == [0, 1] * 4  # a window that D began is not broken off in its middle


def test_a_weight_decided_on_d_acts_in_the_step_unless_g_comes_first() -> None:
    d_first, g_first = (played(ops, 3, "dynamic_lambda", **LAW) for ops in ("s pdr qg", "s qg pdr"))
    assert d_first.column("knob/lambda_adv") == [0.5] * 3
    assert g_first.column("knob/lambda_adv") == [0.25, 0.5, 0.5]


def test_an_epoch_may_end_within_a_window_of_micro_batches() -> None:
    script = Script(["d_skip"], SKIP)
    for epoch in range(3):
        for _ in range(3):  # windows of two, epochs of three
            script.start(epoch=epoch)
            script.play("pr q")
            script.calls = getattr(script, "calls", 0) + 1
            if script.calls % 2 == 0:
                script.play("dg")
    script.play("s pr q dg")
    script.end()
    assert sum(script.updates("g")) == 5
    assert script.true("d") >= 2


# What a host may do in a round, whole windows of it: a grammar of loops that are right.

ROUNDS = st.lists(
    st.one_of(
        st.sampled_from(
            ["s pdr qg", "s prd qg", "s mg pdr", "s qg prd", "s pdr pdr mg", "s pdr mg mg", "s pdr", "s mg"]
        ),
        st.builds(
            lambda micro, last, n: f"{micro} " * n + micro + last,
            st.sampled_from(["s pr q", "s pr m", "s q pr", "s m pr", "s pr m e"]),
            st.sampled_from([" d g", " g d", " d g e"]),
            st.integers(1, 3),
        ),
        st.builds(lambda n: "s pdr q " * n + "s pdr q g", st.integers(1, 3)),
        st.builds(lambda n, m: "s " + "pr " * n + "d " + "m " * m + "g", st.integers(1, 3), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(ROUNDS, st.booleans())
def test_any_loop_that_is_right_is_counted_right(rounds: list[str], acting: bool) -> None:
    script = Script(["dynamic_lambda", "d_skip", "d_lr_ratio"], {**LAW, **SKIP}) if acting else Script()
    for op in "".join(rounds).replace(" ", ""):
        script.op(op)
        assert (script.balance.d_updates, script.balance.g_updates) == (script.true("d"), script.true("g"))
    script.end()
    assert script.balance.step == len(script.rows)
    due = zip(script.updates("d"), script.updates("g"), script.column("knob/d_update"), strict=True)
    assert all(d + g > 0 or not d_due for d, g, d_due in due)


@pytest.mark.parametrize(
    "window", [*WINDOWS.values(), ("s mg pdr pdr", ""), ("s pdr mg mg", ""), ("s qg pr", "s qg pr d")]
)
def test_a_state_taken_anywhere_changes_nothing_and_a_run_goes_on_from_it(window: tuple[str, str]) -> None:
    plugins, given_ = ["dynamic_lambda", "d_skip", "d_lr_ratio"], {**LAW, **SKIP}
    ops = "".join(window).replace(" ", "") * 4
    whole, saved, resumed = (Script(plugins, given_) for _ in range(3))
    for op in ops:
        whole.op(op)
    whole.end()
    for op in ops:
        saved.balance.state_dict()
        saved.op(op)
    saved.end()
    for at, op in enumerate(ops):
        if at % 3 == 1:
            resumed.resume()
        resumed.op(op)
    resumed.end()
    assert whole.bits == saved.bits == resumed.bits
    for script in (saved, resumed):
        assert [sorted(row.items()) for row in script.rows] == [sorted(row.items()) for row in whole.rows]
