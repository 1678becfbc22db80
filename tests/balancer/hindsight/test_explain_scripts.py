"""`explain` on logs of scripts, on logs that are damaged, and on steps and folders that it cannot use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from support.explained import assert_true, said
from support.point_runs import ran

from balancer import Balancer, KnobSpec, Plugin, PluginConfig, StepContext, hookimpl
from balancer.contract.knobs import Decision
from balancer.errors import BalancerWarning, ConfigError
from balancer.hindsight.explain import explain, parse_steps
from balancer.record.decisions import read_decisions
from balancer.record.folder import DECISIONS
from balancer.record.signals import read_signals
from balancer.show.explanation import explanation_lines
from balancer.testing import toy_trainer

# A script of one's own.


class Late(Plugin):
    """Turns lambda_adv when the step is over."""

    name = "late"
    writes = {"lambda_adv": ("mul",), "d_update": ("period",)}

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].mul(0.5 + ctx.step)
        self.knobs["d_update"].period(2)


def test_a_script_s_log_is_explained_like_a_run_of_ours(tmp_path: Path) -> None:
    with Balancer([Late], obeys={"lambda_adv", "d_update"}, base={"lambda_adv": 4.0}, log_dir=tmp_path) as balance:
        for _ in range(4):
            balance.start_step()
            balance.after_d_step()
    states = assert_true(tmp_path)
    assert states[0]["lambda_adv"].effective == states[0]["lambda_adv"].base == 4.0
    for step in (1, 2, 3):
        (one,) = states[step]["lambda_adv"].contributions
        assert (one.op, one.value, one.step) == ("mul", step - 0.5, step - 1)
        assert said(states[step]["lambda_adv"].how) == f"base 4, times {step - 0.5:g} (late)"
    with pytest.raises(ConfigError, match=r"step 100: the run in .* has recorded steps 0 to 3"):
        explain(tmp_path, 100)
    told = explain(tmp_path, 2)
    assert told.first.epoch == -1
    lines = list(explanation_lines(told))
    assert lines[0] == "step 2, no epochs counted: late"
    assert any("late cannot be asked what else it would have answered" in line for line in lines), "it is not installed"


def test_a_script_that_leaves_a_plugin_out_on_resume(tmp_path: Path) -> None:
    bands = {"dynamic_lambda": {"warmup_steps": 0, "bands": [[9.0, 0.2]], "above": 0.5}}

    def steps(plugins: Sequence[str], state: Mapping[str, Any] | None = None) -> dict[str, Any]:
        settings = {name: bands[name] for name in plugins}
        with Balancer(
            plugins, settings=settings, obeys={"lambda_adv"}, supplies={"d_adv"}, log_dir=tmp_path
        ) as balance:
            if state is not None:
                balance.load_state_dict(state)
            for _ in range(4):
                balance.start_step(epoch=0)
                balance.after_d_step(d_adv=0.1)
            return balance.state_dict()

    steps([], steps(["dynamic_lambda"]))
    assert read_signals(tmp_path)["lambda_adv"].tolist() == [0.2] * 4 + [1.0] * 4
    *_, last = read_decisions(tmp_path)
    assert (last.step, last.moment, last.plugin, last.knob, last.op) == (
        4, "on_run_start", "dynamic_lambda", "lambda_adv", "set",
    )  # fmt: skip
    assert (last.old, last.new, last.effective) == (0.2, None, 1.0)
    assert "not composed any more" in last.note
    states = assert_true(tmp_path)
    assert [state.plugins for state in states] == [("dynamic_lambda",)] * 4 + [()] * 4


def test_a_run_without_plugins_is_at_its_base(tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", "", ("train.lambda_adv=0.7",), 5)
    assert not (folder / DECISIONS).exists()
    told = explain(folder, 4)
    assert told.first["lambda_adv"].effective == 0.7
    lines = list(explanation_lines(told))
    assert "note: the run has no plugins: every knob is at its base value" in lines
    assert any(line.startswith("at their base, as no plugin contributes: lambda_adv 0.7") for line in lines)


def written(folder: Path, decisions: Sequence[Decision], tail: str = "") -> Path:
    lines = [json.dumps(asdict(decision)) + "\n" for decision in decisions]
    (folder / DECISIONS).write_text("".join(lines) + tail, encoding="utf-8")
    return folder


def decided(step: int, moment: str, new: float | None, knob: str = "lambda_adv", **more: Any) -> Decision:
    return Decision(step, 0, moment, "law", knob, "set", None, new, 0.0 if new is None else new, **more)


@pytest.mark.parametrize(
    ("knob", "moments"),
    [
        ("lambda_adv", {"before_g_backward": 5, "after_d_step": 5, "after_g_step": 6, "on_epoch_end": 6}),
        ("lr_d", {"before_d_backward": 5, "after_d_step": 6}),
        ("lr_g", {"after_d_step": 5, "before_g_backward": 5, "after_g_step": 6}),
        ("real_label", {"on_epoch": 5, "on_step_start": 5, "before_d_backward": 6}),
        ("d_frozen", {"on_step_start": 5, "after_d_step": 6}),
    ],
)
def test_a_decision_acts_from_its_own_step_or_from_the_next(
    knob: str, moments: Mapping[str, int], tmp_path: Path
) -> None:
    folder = ran(tmp_path / "run", "", (), 8)
    for moment, acts in moments.items():
        written(folder, [decided(5, moment, 0.5, knob)])
        assert explain(folder, 5).decisions[0].acts_from == acts


class Turns(Plugin):
    """Brings a knob that is read at one moment, and turns it at every moment."""

    name = "turns"
    writes = {"zeal": ("set",)}

    class Config(PluginConfig):
        """Settings of turns."""

        read_after: str

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.brings_knobs = (KnobSpec("zeal", "how busy it is", ("set",), config.read_after),)
        self.held: list[float] = []

    def turn(self, ctx: StepContext, place: int) -> None:
        self.knobs["zeal"].set(ctx.step + 0.1 * place)

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        self.turn(ctx, 1)

    @hookimpl
    def before_d_backward(self, ctx: StepContext) -> None:
        self.turn(ctx, 2)

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.turn(ctx, 3)

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        self.turn(ctx, 4)

    @hookimpl
    def after_g_step(self, ctx: StepContext) -> None:
        self.turn(ctx, 5)

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        self.turn(ctx, 6)
        held = self.knobs["zeal"].held
        assert not isinstance(held, tuple)
        self.held.append(float(held))


@pytest.mark.parametrize(
    ("read_after", "place"),
    [("on_step_start", 1), ("before_d_backward", 2), ("after_d_step", 3), ("before_g_backward", 4),
     ("after_g_step", 5), ("on_step_end", 6)],
)  # fmt: skip
def test_a_knob_that_a_plugin_brings_holds_what_it_was_at_the_moment_it_names(
    read_after: str, place: int, tmp_path: Path
) -> None:
    trainer = toy_trainer([Turns], {"turns": {"read_after": read_after}}, tmp_path)
    with trainer.balance:
        for _ in range(4):
            trainer.step(trainer.next_batch())
    expected = [step + 0.1 * place for step in range(4)]
    assert read_signals(tmp_path)["zeal"].tolist() == pytest.approx(expected)
    (turns,) = trainer.balance.composition.plugins
    assert isinstance(turns, Turns)
    # At the end of a step it is read after that hook.
    assert turns.held == pytest.approx(expected)
    states = assert_true(tmp_path)
    assert [state["zeal"].effective for state in states] == pytest.approx(expected)
    assert {state["zeal"].read_after for state in states} == {read_after}


class AfterG(Plugin):
    """Turns lambda_adv after each update of G."""

    name = "after_g"
    writes = {"lambda_adv": ("set",)}

    @hookimpl
    def after_g_step(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].set(0.1 + ctx.g_updates)


def test_between_two_updates_of_g_a_decision_acts_in_the_second(tmp_path: Path) -> None:
    trainer = toy_trainer([AfterG], folder=tmp_path, g_updates=2)
    with trainer.balance:
        for _ in range(4):
            trainer.step(trainer.next_batch())
    assert read_signals(tmp_path)["lambda_adv"].tolist() == [1.1, 3.1, 5.1, 7.1]
    states = assert_true(tmp_path)
    assert [state["lambda_adv"].contributions[0].value for state in states] == [1.1, 3.1, 5.1, 7.1]


# What cannot be used.


@pytest.mark.parametrize(("text", "steps"), [("12", (12, 12)), ("3:9", (3, 9)), (" 4 : 4 ", (4, 4))])
def test_steps_are_one_or_a_range(text: str, steps: tuple[int, int]) -> None:
    assert parse_steps(text) == steps


@pytest.mark.parametrize("text", ["", "-1", "a", "1:", ":2", "1:2:3", "1.5", "9:3", "²", "1" * 40])
def test_other_steps_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="step"):
        parse_steps(text)


def test_what_is_not_a_run_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a run directory: there is no such folder"):
        explain(tmp_path / "none", 0)
    with pytest.raises(ConfigError, match=r"compositions.jsonl is missing"):
        explain(tmp_path, 0)


def test_a_torn_last_line_is_passed_over_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", "", (), 10)
    good = [decided(0, "on_run_start", 0.5), decided(3, "after_d_step", 0.7)]
    written(folder, good, '{"step": 4, "epo')
    assert [one.value for one in explain(folder, 9).first["lambda_adv"].contributions] == [0.7]
    for damaged in ("nonsense\n", "\n", "[]\n", '{"step": 1}\n', json.dumps({**asdict(good[0]), "moment": "x"}) + "\n"):
        written(folder, good, damaged + json.dumps(asdict(decided(5, "after_d_step", 0.9))) + "\n")
        with pytest.warns(
            BalancerWarning, match=r"decisions.jsonl: a damaged line is left out \(line 3, between steps 3"
        ):
            explanation = explain(folder, 9)
        assert [one.value for one in explanation.first["lambda_adv"].contributions] == [0.9]


def test_decisions_that_do_not_make_what_was_recorded_are_remarked(tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", "", (), 12)
    written(folder, [decided(2, "after_d_step", 0.5)])
    state = explain(folder, 5).first["lambda_adv"]
    assert state.effective == 1.0, "what was recorded holds"
    assert any("the logged contributions make it 0.5" in said(remark) for remark in state.remarks)


def test_a_run_taken_over_from_elsewhere_has_no_earlier_steps(tmp_path: Path) -> None:
    with Balancer([], obeys={"lambda_adv"}, log_dir=tmp_path) as balance:
        balance.begin_at(500)
        balance.start_step()
    with pytest.raises(ConfigError, match=r"step 3: the run in .* has recorded steps 500 to 500"):
        explain(tmp_path, 3)
    assert explain(tmp_path, 500).first["lambda_adv"].effective == 1.0
