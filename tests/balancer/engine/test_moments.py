"""Moments: which hooks fire, in which order and with what, for a host that is somebody else's script."""

from typing import Any

import pytest
import torch
from support.moments import STEP, hooks, recorder, script

from balancer import Plugin, RunInfo, StepContext, hookimpl
from balancer.contract.knobs import Decision
from balancer.contract.moments import HOOK_NAMES
from balancer.errors import CompositionError, ConfigError


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
    def adding(name: str, term: str, declared: bool) -> type[Plugin]:
        @hookimpl
        def d_loss_terms(self: Any) -> Any:
            return {term: torch.tensor(1.0)}

        brings = (term,) if declared else ()
        return type("Adding", (Plugin,), {"name": name, "d_loss_terms": d_loss_terms, "brings_terms": brings})

    cls, _ = recorder()
    one = adding("one", "lecam", True)
    balance = script(one, adding("two", "r1", True), cls)
    balance.start_step(epoch=0)
    assert balance.d_loss_terms() == {"lecam": torch.tensor(1.0), "r1": torch.tensor(1.0)}
    for term in ("lecam", "adv", "loss_real"):
        with pytest.raises(CompositionError, match=r"plugin two of .* brings the term .* of D's loss, .*rename"):
            script(one, adding("two", term, True))
        balance = script(one, adding("two", term, False))
        balance.start_step(epoch=0)
        with pytest.raises(
            ConfigError,
            match=rf"step 0: d_loss_terms of plugin two: there is a d_{term} already: rename the new one",
        ):
            balance.d_loss_terms()


def test_a_decision_taken_before_the_first_step_belongs_to_the_first_epoch() -> None:
    decisions: list[Decision] = []
    script("lambda_schedule", on_decision=decisions.append).start_step(epoch=0)
    assert [(d.step, d.epoch, d.moment) for d in decisions] == [(0, 0, "on_run_start")]
