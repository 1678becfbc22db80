"""Moments: which hooks fire, in which order and with what, for a host that is somebody else's script."""

import json
from typing import Any

import pytest

from balancer import Balancer, HeadSpec, Plugin, RunInfo, StepContext, hookimpl
from balancer.contract.host import OPTIONAL_HOOKS
from balancer.contract.knobs import Decision
from balancer.contract.moments import HOOK_NAMES
from balancer.errors import CheckpointError, ConfigError

Event = tuple[Any, ...]


def recorder() -> tuple[type[Plugin], list[Event]]:
    """A plugin class that implements every hook, and the list of (hook, arguments) that it fills."""
    events: list[Event] = []

    class Recorder(Plugin):
        name = "recorder"

        @hookimpl
        def on_run_start(self, run: RunInfo) -> None:
            events.append(("on_run_start", run))

        @hookimpl
        def on_epoch(self, run: RunInfo, epoch: int) -> None:
            events.append(("on_epoch", run, epoch))

        @hookimpl
        def on_step_start(self, ctx: StepContext) -> None:
            events.append(("on_step_start", ctx))

        @hookimpl
        def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
            events.append(("transform_d_input", ctx, images, condition))
            return images, condition

        @hookimpl
        def d_loss_terms(self, ctx: StepContext) -> None:
            events.append(("d_loss_terms", ctx))

        @hookimpl
        def before_d_backward(self, ctx: StepContext) -> None:
            events.append(("before_d_backward", ctx))

        @hookimpl
        def after_d_step(self, ctx: StepContext) -> None:
            events.append(("after_d_step", ctx))

        @hookimpl
        def g_loss_terms(self, ctx: StepContext) -> None:
            events.append(("g_loss_terms", ctx))

        @hookimpl
        def before_g_backward(self, ctx: StepContext) -> None:
            events.append(("before_g_backward", ctx))

        @hookimpl
        def after_g_step(self, ctx: StepContext) -> None:
            events.append(("after_g_step", ctx))

        @hookimpl
        def on_step_end(self, ctx: StepContext) -> None:
            events.append(("on_step_end", ctx))

        @hookimpl
        def on_epoch_end(self, run: RunInfo, epoch: int) -> None:
            events.append(("on_epoch_end", run, epoch))

        @hookimpl
        def on_run_end(self, run: RunInfo, error: BaseException | None) -> None:
            events.append(("on_run_end", run, error))

    return Recorder, events


def script(*plugins: Any, **options: Any) -> Balancer:
    return Balancer(
        list(plugins),
        **{
            "obeys": {"lambda_adv", "d_update", *OPTIONAL_HOOKS},
            "supplies": {"d_adv"},
            "base": {"lambda_adv": 0.5},
            **options,
        },
    )


def hooks(events: list[Event]) -> list[str]:
    return [event[0] for event in events]


STEP = ["on_step_start", "after_d_step", "before_g_backward", "after_g_step", "on_step_end"]


# One run of a script with plain floats.


def test_a_script_of_three_lines_gets_every_moment_in_order() -> None:
    cls, events = recorder()
    with script(cls) as balance:
        for epoch in (0, 0, 1):
            balance.start_step(epoch=epoch)
            balance.after_d_step(d_adv=0.2)
            assert balance.lambda_adv == 0.5
        balance.end_epoch()
    assert hooks(events) == [
        "on_run_start",
        "on_epoch",
        *STEP,
        *STEP,
        "on_epoch_end",
        "on_epoch",
        *STEP,
        "on_epoch_end",
        "on_run_end",
    ]
    assert [event[2] for event in events if event[0] in ("on_epoch", "on_epoch_end")] == [0, 0, 1, 1]
    assert events[-1][2] is None


def test_an_explicit_host_gets_the_moments_where_it_calls_them() -> None:
    cls, events = recorder()
    balance = script(cls)
    balance.start_run()
    balance.start_step(epoch=0)
    images = object()
    assert balance.transform_d_input(images, None) == (images, None)  # type: ignore[arg-type]
    balance.d_loss_terms()
    balance.before_d_backward()
    balance.after_d_step(d_adv=0.2)
    balance.g_loss_terms()
    balance.before_g_backward(adv=1.0)
    balance.after_g_step()
    balance.end_step()
    balance.end_epoch()
    balance.end_run()
    balance.end_run()
    assert hooks(events) == [
        "on_run_start",
        "on_epoch",
        *(name for name in HOOK_NAMES if name not in ("on_run_start", "on_epoch", "on_epoch_end", "on_run_end")),
        "on_epoch_end",
        "on_run_end",
    ]


def test_counters_are_those_of_steps_and_updates_already_done() -> None:
    cls, events = recorder()
    with script(cls, "d_skip", seed=7, steps_per_epoch=2) as balance:
        for step in range(4):
            balance.start_step(epoch=step // 2)
            balance.after_d_step(d_adv=0.2)
            balance.before_g_backward(adv=1.0)
            balance.after_g_step()
            if step == 1:  # G twice
                balance.before_g_backward(adv=1.0)
                balance.after_g_step()
        balance.end_epoch()
    rows = [(e[0], e[1].step, e[1].epoch, e[1].d_updates, e[1].g_updates) for e in events]
    assert rows[0] == ("on_run_start", 0, 0, 0, 0)
    second = [row for row in rows if row[1] == 1 and not row[0].startswith("on_epoch")]
    assert second == [
        ("on_step_start", 1, 0, 1, 1),
        ("after_d_step", 1, 0, 1, 1),
        ("before_g_backward", 1, 0, 1, 1),
        ("after_g_step", 1, 0, 1, 2),
        ("before_g_backward", 1, 0, 1, 2),
        ("after_g_step", 1, 0, 1, 3),
        ("on_step_end", 1, 0, 1, 3),
    ]
    assert ("on_epoch_end", 2, 0, 1, 3) in rows
    assert ("on_epoch", 2, 1, 1, 3) in rows
    assert rows[-1] == ("on_run_end", 4, 1, 2, 5)
    run = events[-1][1]
    assert isinstance(run, RunInfo)
    assert (run.seed, run.resumed, run.steps_per_epoch) == (7, False, 2)
    assert (balance.step, balance.d_updates, balance.g_updates) == (4, 2, 5)


def test_a_skipped_step_of_d_is_told_and_has_no_moments_of_its_backward_pass() -> None:
    cls, events = recorder()
    with script(cls, "d_skip") as balance:
        for _ in range(4):
            balance.start_step(epoch=0)
            if balance.d_update:
                balance.d_loss_terms()
                balance.before_d_backward()
            balance.after_d_step(d_adv=0.2)
    per_step = [[e for e in events if isinstance(e[1], StepContext) and e[1].step == step] for step in range(4)]
    with_d = ["on_step_start", "d_loss_terms", "before_d_backward", *STEP[1:]]
    assert [hooks(step) for step in per_step] == [with_d, STEP, with_d, STEP]
    skipped = [e[1].d_skipped for step in per_step for e in step if e[0] in ("after_d_step", "before_g_backward")]
    assert skipped == [False, False, True, True] * 2
    assert balance.d_updates == 2


def test_a_period_and_a_gate_decide_before_d_acts() -> None:
    class Gate(Plugin):
        name = "gate"
        writes = {"d_update": ("gate",)}

        @hookimpl
        def on_step_start(self, ctx: StepContext) -> None:
            self.knobs["d_update"].gate(ctx.step != 2)

        @hookimpl
        def after_d_step(self, ctx: StepContext) -> None:
            if ctx.step == 4:
                self.knobs["d_update"].gate(False)

    updates = []
    with script(Gate, "d_skip") as balance:
        for _ in range(5):
            balance.start_step(epoch=0)
            updates.append(balance.d_update)
            balance.after_d_step()
            assert balance.d_update == updates[-1], "too late for this step"
    assert updates == [True, False, False, False, True]


def test_the_chain_of_transformations_runs_in_composition_order() -> None:
    def doubler(name: str, **attributes: Any) -> type[Plugin]:
        @hookimpl
        def transform_d_input(self: Any, images: Any, condition: Any) -> Any:
            return f"{name}({images})", f"{name}({condition})"

        return type("Doubler", (Plugin,), {"name": name, "transform_d_input": transform_d_input, **attributes})

    balance = script(doubler("a", after=("b",)), doubler("b"), doubler("c"))
    balance.start_step(epoch=0)
    assert balance.transform_d_input("x", "y") == ("c(a(b(x)))", "c(a(b(y)))")  # type: ignore[arg-type]


def test_hooks_of_one_moment_run_in_composition_order() -> None:
    order: list[str] = []

    def noting(name: str, **attributes: Any) -> type[Plugin]:
        @hookimpl
        def on_step_start(self: Any) -> None:
            order.append(name)

        return type("Noting", (Plugin,), {"name": name, "on_step_start": on_step_start, **attributes})

    script(noting("c"), noting("a", after=("d",)), noting("d"), noting("b")).start_step(epoch=0)
    assert order == ["b", "c", "d", "a"]


def test_terms_of_plugins_are_gathered_by_name_and_never_replace_one_another() -> None:
    def adding(name: str, term: str) -> type[Plugin]:
        @hookimpl
        def d_loss_terms(self: Any) -> Any:
            return {term: 1.0}

        return type("Adding", (Plugin,), {"name": name, "d_loss_terms": d_loss_terms})

    cls, _ = recorder()
    balance = script(adding("one", "lecam"), adding("two", "r1"), cls)
    balance.start_step(epoch=0)
    assert balance.d_loss_terms() == {"lecam": 1.0, "r1": 1.0}
    for clash in (adding("two", "lecam"), adding("two", "adv"), adding("two", "loss_real")):
        balance = script(adding("one", "lecam"), clash)
        balance.start_step(epoch=0)
        with pytest.raises(
            ConfigError,
            match=r"step 0: d_loss_terms of plugin two: there is a d_(lecam|adv|loss_real) already: rename the new one",
        ):
            balance.d_loss_terms()


def test_a_decision_taken_before_the_first_step_belongs_to_the_first_epoch() -> None:
    decisions: list[Decision] = []
    script("lambda_schedule", on_decision=decisions.append).start_step(epoch=0)
    assert [(d.step, d.epoch, d.moment) for d in decisions] == [(0, 0, "on_run_start")]


# What happens by itself, at the last moment that is right.


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


# What a host gets wrong.


def test_a_misspelt_weight_is_an_attribute_error() -> None:
    balance = script()
    for name in ("lambda_ad", "lambda_l1", "d_updates_"):
        assert not hasattr(balance, name)
        with pytest.raises(AttributeError, match=name):
            getattr(balance, name)


def test_a_signal_that_the_host_promised_and_did_not_pass_is_an_error() -> None:
    balance = script("dynamic_lambda", supplies={"d_adv", "d_loss"})
    balance.start_step(epoch=0)
    with pytest.raises(ConfigError) as caught:
        balance.after_d_step(d_loss=0.2)
    assert str(caught.value) == (
        "step 0: plugin dynamic_lambda reads d_adv, which the host said it supplies but did not pass: "
        "pass real_logits= and fake_logits= to balance.after_d_step (or d_adv=)"
    )


def test_a_value_of_an_earlier_step_does_not_keep_the_promise_but_a_skipped_step_may_have_none() -> None:
    balance = script("dynamic_lambda", "d_skip")
    balance.start_step(epoch=0)
    balance.after_d_step(d_adv=0.2)
    balance.start_step(epoch=0)
    assert not balance.d_update
    balance.after_d_step()
    balance.start_step(epoch=0)
    with pytest.raises(ConfigError, match="step 2: plugin dynamic_lambda reads d_adv"):
        balance.after_d_step()


def test_calls_out_of_turn_are_refused() -> None:
    balance = script()
    with pytest.raises(ConfigError, match="after_d_step belongs once into each step, after start_step"):
        balance.after_d_step(d_adv=0.2)
    balance.start_step(epoch=0)
    with pytest.raises(ConfigError, match="a weight was read before after_d_step"):
        _ = balance.lambda_adv
    balance.after_d_step(d_adv=0.2)
    with pytest.raises(ConfigError, match="after_d_step belongs once into each step"):
        balance.after_d_step(d_adv=0.2)
    assert balance.lambda_adv == 0.5
    with pytest.raises(ConfigError, match="before_g_backward comes before the first look at a weight, and once"):
        balance.before_g_backward(adv=1.0)


def test_a_plugin_that_acts_on_epochs_needs_a_host_that_tells_them() -> None:
    with pytest.raises(ConfigError, match=r"plugin lambda_schedule acts on epochs: pass epoch= to balance\.start_step"):
        script("lambda_schedule").start_step()
    script("dynamic_lambda").start_step()


# Ends.


def test_an_error_in_the_script_reaches_on_run_end_and_the_broken_step_is_not_closed() -> None:
    cls, events = recorder()
    error = RuntimeError("out of memory")
    with pytest.raises(RuntimeError), script(cls) as balance:
        balance.start_step(epoch=0)
        balance.after_d_step(d_adv=0.2)
        raise error
    assert hooks(events) == ["on_run_start", "on_epoch", "on_step_start", "after_d_step", "on_run_end"]
    assert events[-1][2] is error
    assert balance.step == 0


def test_a_run_that_never_began_has_no_end() -> None:
    cls, events = recorder()
    with script(cls):
        pass
    assert events == []


class FailsAtTheEnd(Plugin):
    """Fails while the last step is closed."""

    name = "fails_at_the_end"

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        raise ValueError("too late")


def test_an_error_while_the_last_step_is_closed_reaches_on_run_end_too() -> None:
    cls, events = recorder()
    with pytest.raises(ValueError, match="too late") as caught, script(cls, FailsAtTheEnd) as balance:
        balance.start_step(epoch=0)
    assert hooks(events)[-1] == "on_run_end"
    assert events[-1][2] is caught.value


# Going on.


def interrupted(at: int, *, close_epoch: bool = False) -> tuple[list[Event], Balancer]:
    """Six steps in epochs of three, carried over a state dict after `at` of them; the second run's events."""
    first_cls, _ = recorder()
    first = script(first_cls, "d_skip")
    for step in range(at):
        first.start_step(epoch=step // 3)
        first.after_d_step(d_adv=0.2)
    if close_epoch:
        first.end_epoch()
    state = json.loads(json.dumps(first.state_dict()))
    cls, events = recorder()
    with script(cls, "d_skip") as balance:
        balance.load_state_dict(state)
        for step in range(at, 6):
            balance.start_step(epoch=step // 3)
            balance.after_d_step(d_adv=0.2)
        balance.end_epoch()
    return events, balance


def test_on_epoch_does_not_fire_again_after_a_resume_in_mid_epoch() -> None:
    events, balance = interrupted(4)
    assert hooks(events) == ["on_run_start", *STEP, *STEP, "on_epoch_end", "on_run_end"]
    run = events[0][1]
    assert (run.step, run.epoch, run.d_updates, run.g_updates, run.resumed) == (4, 1, 2, 4, True)
    assert (balance.step, balance.d_updates, balance.g_updates) == (6, 3, 6)


@pytest.mark.parametrize("close_epoch", [True, False])
def test_between_two_epochs_each_gets_its_moments_once(close_epoch: bool) -> None:
    events, _ = interrupted(3, close_epoch=close_epoch)
    ending = [] if close_epoch else ["on_epoch_end"]
    assert hooks(events) == ["on_run_start", *ending, "on_epoch", *STEP, *STEP, *STEP, "on_epoch_end", "on_run_end"]
    assert [e[2] for e in events if e[0] == "on_epoch"] == [1]


def test_a_plugin_switched_off_gives_the_base_back_and_a_new_one_starts_fresh() -> None:
    first = script("dynamic_lambda", settings={"dynamic_lambda": {"warmup_steps": 0}})
    first.start_step(epoch=0)
    first.after_d_step(d_adv=0.01)
    assert first.lambda_adv == 0.2
    state = first.state_dict()
    off = script()
    off.load_state_dict(state)
    off.start_step(epoch=0)
    off.after_d_step(d_adv=0.01)
    assert off.lambda_adv == 0.5
    other = script("lambda_schedule")
    other.load_state_dict(state)
    other.start_step(epoch=0)
    other.after_d_step(d_adv=0.01)
    assert other.lambda_adv == 0.1


def test_a_script_may_go_back_to_a_state_from_the_middle_of_a_step() -> None:
    balance = script()
    balance.start_step(epoch=0)
    balance.after_d_step(d_adv=0.2)
    state = balance.state_dict()
    balance.start_step(epoch=0)
    balance.load_state_dict(state)
    balance.start_step(epoch=0)
    assert balance.step == 1


def test_a_state_of_another_version_is_refused() -> None:
    balance = script()
    state = {**balance.state_dict(), "version": 99}
    with pytest.raises(CheckpointError, match="balancer state has version 99"):
        balance.load_state_dict(state)
