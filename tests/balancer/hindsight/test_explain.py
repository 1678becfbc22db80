"""`explain` against the truth: what it says of every step of real runs is what signals.bin recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from balancer_plugins.dynamic_lambda import DynamicLambda
from support.point_runs import DECAY, DYNAMIC, SCHEDULE, SKIP, ran, resumed

from balancer import Balancer, KnobSpec, Plugin, PluginConfig, StepContext, hookimpl
from balancer.contract.knobs import Decision, Value
from balancer.errors import CheckpointError, ConfigError
from balancer.hindsight.explain import MOST_DECISIONS, Explanation, explain, parse_steps
from balancer.hindsight.explain_step import StepState
from balancer.record.config_files import run_segments
from balancer.record.decisions import read_decisions
from balancer.record.folder import DECISIONS
from balancer.record.signals import read_signals
from balancer.show.explanation import explanation_lines
from balancer.testing import replay, toy_trainer

COMPOSITIONS = {
    "": (),
    "dynamic_lambda,lambda_schedule": (*DYNAMIC, *SCHEDULE),
    "d_skip": SKIP,
    "d_skip,freeze_head": (*SKIP, "freeze_head.until=2", "freeze_head.clock=d_update"),
    "freeze_head": ("freeze_head.until=2",),
    "label_smoothing": (),
    "d_lr_ratio,lambda_schedule": (*DECAY, *SCHEDULE),
    "d_lr_ratio": DECAY,
    "d_lr_ratio,d_skip,dynamic_lambda,freeze_head,label_smoothing,lambda_schedule": (
        *DYNAMIC, *SCHEDULE, *SKIP, *DECAY, "freeze_head.until=1", "train.g_updates=2", "train.micro_batches=2",
    ),
}  # fmt: skip


def number(value: Value) -> float:
    return float(len(value)) if isinstance(value, tuple) else float(value)


def assert_true(folder: Path) -> list[StepState]:
    """Every knob of every step is as recorded, and what is logged of contributions and bases makes it that."""
    columns = read_signals(folder)
    states = []
    for index, step in enumerate(columns["step"].tolist()):
        state = explain(folder, int(step), neighbours=False).first
        states.append(state)
        assert state.epoch == columns["epoch"][index]
        for knob in state.knobs:
            assert number(knob.effective) == columns[knob.knob][index], f"{knob.knob} at step {step}"
            assert not any("does not hold all of them" in remark for remark in knob.remarks), (knob, step)
    return states


# Against what was recorded.


@pytest.mark.parametrize("plugins", COMPOSITIONS, ids=lambda names: names or "baseline")
def test_every_knob_of_every_step_is_as_recorded(plugins: str, tmp_path: Path) -> None:
    states = assert_true(ran(tmp_path / "run", plugins, COMPOSITIONS[plugins]))
    assert len(states) == 40
    assert list(states[0].plugins) == sorted(name for name in plugins.split(",") if name)
    laws = {
        "dynamic_lambda": "lambda_adv",
        "lambda_schedule": "lambda_adv",
        "d_skip": "d_update",
        "freeze_head": "d_frozen",
    }
    for law, knob in laws.items():
        assert law not in plugins or len({state[knob].effective for state in states}) > 1, (
            "a knob at rest tests nothing"
        )


def test_after_resumes_that_changed_plugins_and_settings(tmp_path: Path) -> None:
    folder = ran(
        tmp_path / "run", "dynamic_lambda,lambda_schedule,freeze_head,d_skip", (*DYNAMIC, *SCHEDULE, *SKIP), 13
    )
    # lambda_schedule, an upper bound until now, owns the knob.
    resumed(folder, "lambda_schedule,d_lr_ratio", DECAY, 22)
    resumed(folder, None, (), 30)
    resumed(folder, "dynamic_lambda,d_lr_ratio,label_smoothing", ("dynamic_lambda.warmup_steps=2",), 40)
    assert [path.name for path in sorted(folder.glob("config*.toml"))] == [
        "config.toml", "config.until_00000013.toml", "config.until_00000022.toml", "config.until_00000030.toml",
    ]  # fmt: skip
    states = assert_true(folder)
    assert [(c.plugin, c.op) for c in states[12]["lambda_adv"].contributions] == [
        ("dynamic_lambda", "set"),
        ("lambda_schedule", "max"),
    ]
    standing = [(c.plugin, c.op) for c in states[13]["lambda_adv"].contributions if c.value is not None]
    assert standing == [("lambda_schedule", "set")]
    assert [c.plugin for c in states[30]["lambda_adv"].contributions if c.value is not None] == ["dynamic_lambda"]
    assert states[12]["d_frozen"].effective == ("category",)
    (thawed,) = states[13]["d_frozen"].contributions
    assert (thawed.plugin, thawed.value, thawed.step, thawed.moment) == ("freeze_head", None, 13, "on_run_start")
    assert states[13]["d_frozen"].effective == ()
    assert states[29]["lr_d"].contributions[0].step == 13, "a resume that changes nothing begins nothing"


def test_the_schedule_of_rates_is_the_loop_s_own() -> None:
    trainer = toy_trainer([], lr_decay=0.5, lr_floor=3e-4, lr_d=1e-4)
    for epoch in range(6):
        trainer.balance.begin_at(epoch * trainer.steps_per_epoch)
        trainer.apply_schedule()
        for role in ("d", "g"):
            (group,) = trainer.optimizers[role].param_groups
            assert trainer.train.scheduled_rate(role, epoch) == group["lr"]


# What it says.


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two trusts, a gate and a resting head."""
    out = tmp_path_factory.mktemp("explain") / "run"
    plugins = "dynamic_lambda,lambda_schedule,d_skip,freeze_head,d_lr_ratio"
    return ran(out, plugins, (*DYNAMIC, *SCHEDULE, *SKIP, *DECAY, "freeze_head.until=1"))


def test_a_contribution_says_since_when_at_which_moment_and_on_what(run: Path) -> None:
    made = [d for d in read_decisions(run) if d.plugin == "dynamic_lambda" and d.moment == "after_d_step"]
    columns = read_signals(run)
    for decision in made:
        one = explain(run, decision.step).first["lambda_adv"].contributions[0]
        assert (one.plugin, one.op, one.value) == ("dynamic_lambda", "set", decision.new)
        assert (one.step, one.epoch, one.moment) == (decision.step, decision.epoch, "after_d_step")
        assert one.signals == {"d_adv": columns["d_adv"][decision.step]}
    assert len(made) > 2


def test_the_accuracy_gate_acts_from_the_next_step_on(run: Path) -> None:
    closing = next(d for d in read_decisions(run) if d.op == "gate" and d.new is False)
    at, after = explain(run, closing.step), explain(run, closing.step + 1).first
    gate = {c.op: c for c in at.first["d_update"].contributions}.get("gate")
    assert gate is None or gate.value is True
    assert closing in [taken.decision for taken in at.decisions if taken.acts_from == closing.step + 1]
    assert any("acting from step" in line for line in explanation_lines(at))
    (now,) = (c for c in after["d_update"].contributions if c.op == "gate")
    assert (now.value, now.step, after["d_update"].effective) == (False, closing.step, False)
    assert {a.value for a in now.alternatives} == {True, False}, "asked at other accuracies, the gate is open or closed"
    open_gate = next(a for a in now.alternatives if a.value)
    assert open_gate.when.startswith("d_acc held at ")
    assert open_gate.effective is ((closing.step + 1) % 2 == 0), "the period would still have to agree"


def test_a_law_is_asked_what_else_it_would_have_answered(run: Path) -> None:
    state = explain(run, 5).first["lambda_adv"]
    dynamic, schedule = state.contributions
    assert [(a.value, a.effective) for a in dynamic.alternatives] == [(0.2, 0.2), (0.6, 0.3)]
    assert dynamic.alternatives[0].when.startswith("d_adv held at ")
    assert [a.when for a in schedule.alternatives] == ["epoch 0", "epoch 1", "epoch 2", "epoch 3", "epoch 4 on"]
    assert [a.effective for a in schedule.alternatives] == [min(dynamic.value, v) for v in (0.3, 0.5, 0.35, 0.7, 0.2)]
    assert [a.here for a in schedule.alternatives] == [True, False, False, False, False]
    assert state.how.endswith("at most 0.3 (lambda_schedule)")


@pytest.mark.parametrize("held", [0.01, 0.05, 0.3])
def test_what_a_law_is_said_to_answer_it_answers(held: float, tmp_path: Path) -> None:
    settings = {"dynamic_lambda": {"warmup_steps": 2}}
    with Balancer(
        ["dynamic_lambda"], settings=settings, obeys={"lambda_adv"}, supplies={"d_adv"}, log_dir=tmp_path
    ) as balance:
        for _ in range(5):
            balance.start_step()
            balance.after_d_step(d_adv=held)
    (one,) = explain(tmp_path, 4).first["lambda_adv"].contributions
    assert sum(a.here for a in one.alternatives) == 1
    for alternative in one.alternatives:
        for level in alternative.when.removeprefix("d_adv held at ").split(" to "):
            asked = replay(["dynamic_lambda"], [{"d_adv": float(level)}] * 5, settings=settings)
            assert asked["lambda_adv"][-1] == alternative.value


def test_a_law_in_its_warm_up_is_asked_by_what_the_step_measured(tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", "dynamic_lambda", (), 5)
    (one,) = explain(folder, 3).first["lambda_adv"].contributions
    assert (one.value, one.moment, one.signals) == (0.25, "on_run_start", {})
    assert {a.value for a in one.alternatives} == {0.2, 0.35, 0.5, 0.6}
    assert not any(a.here for a in one.alternatives)


def test_a_range_has_both_ends_and_every_decision_in_between(run: Path) -> None:
    told = explain(run, 6, 25)
    assert (told.first.step, told.last.step) == (6, 25)
    assert [t.decision for t in told.decisions] == [d for d in read_decisions(run) if 6 <= d.step <= 25]
    assert told.first == explain(run, 6).first
    assert told.last == explain(run, 25).first
    assert told.left_out == 0


def test_too_many_decisions_are_counted(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = len(explain(run, 0, 39).decisions)
    monkeypatch.setattr("balancer.hindsight.explain.MOST_DECISIONS", 4)
    told = explain(run, 0, 39)
    assert (len(told.decisions), told.left_out) == (4, count - 4)
    assert any(f"… {count - 4} more" in line for line in explanation_lines(told))
    assert MOST_DECISIONS >= 1000


def test_a_rate_and_its_epoch_are_those_that_the_step_recorded(tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", "d_lr_ratio", DECAY)
    early, late = explain(folder, 0).first, explain(folder, 20).first
    assert (early.epoch, late.epoch) == (0, 2)
    assert early["lr_d"].effective == 0.25 * 1e-2
    assert late["lr_d"].effective == 0.25 * late["lr_g"].effective == 0.25 * max(1e-2 * 0.8**2, 5e-3)
    assert late["lr_d"].base == 2e-2 * 0.8**2
    text = "\n".join(explanation_lines(explain(folder, 20)))
    assert text.startswith("step 20, epoch 2: d_lr_ratio")
    assert "not certain" not in text and "note:" not in text


def test_a_frozen_head_and_a_skipped_step_are_mentioned(run: Path) -> None:
    states = [explain(run, step).first for step in (1, 2, 39)]
    assert "the head category is frozen" in states[0]["lambda_category"].remarks[0]
    assert any("no effect" in remark for remark in states[0]["lr_d"].remarks), "step 1 is none of every second"
    thawed = states[2]["d_frozen"].contributions[0]
    assert (thawed.value, thawed.step) == (None, 8)
    assert [(a.when, a.value, a.here, a.effective) for a in thawed.alternatives] == [
        ("epoch 0", ("category",), False, ("category",)),
        ("epoch 1 on", None, True, ()),
    ]


def test_it_is_plain_data_and_words(run: Path) -> None:
    for told in (explain(run, 7), explain(run, 3, 30)):
        assert json.loads(json.dumps(told.as_dict()))["first"]["step"] == told.first.step
        text = "\n".join(explanation_lines(told))
        assert "lambda_adv = " in text
        assert "on d_adv = " in text
        assert "None" not in text


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
        assert states[step]["lambda_adv"].how == f"base 4, times {step - 0.5:g} (late)"
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


def test_steps_that_the_run_does_not_have_are_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"step 40: the run in .* has recorded steps 0 to 39"):
        explain(run, 40)
    with pytest.raises(ConfigError, match="steps 0 to 39"):
        explain(run, 0, 99)
    with pytest.raises(ConfigError, match="count from 0"):
        explain(run, -1)
    with pytest.raises(ConfigError, match="comes first"):
        explain(run, 5, 3)


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
        written(folder, good, damaged + json.dumps(asdict(good[0])) + "\n")
        with pytest.raises(CheckpointError, match=r"decisions.jsonl, line 3 is not a decision"):
            explain(folder, 9)


def test_decisions_that_do_not_make_what_was_recorded_are_remarked(tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", "", (), 12)
    written(folder, [decided(2, "after_d_step", 0.5)])
    state = explain(folder, 5).first["lambda_adv"]
    assert state.effective == 1.0, "what was recorded holds"
    assert any("the logged contributions make it 0.5" in remark for remark in state.remarks)


def test_a_run_taken_over_from_elsewhere_has_no_earlier_steps(tmp_path: Path) -> None:
    with Balancer([], obeys={"lambda_adv"}, log_dir=tmp_path) as balance:
        balance.begin_at(500)
        balance.start_step()
    with pytest.raises(ConfigError, match=r"step 3: the run in .* has recorded steps 500 to 500"):
        explain(tmp_path, 3)
    assert explain(tmp_path, 500).first["lambda_adv"].effective == 1.0


def test_a_law_that_breaks_when_it_is_asked_spoils_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, ctx: StepContext) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(DynamicLambda, "after_d_step", hookimpl(broken))
    state = explain(run, 5).first["lambda_adv"]
    assert any("dynamic_lambda cannot be asked" in remark and "by zero" in remark for remark in state.remarks)
    assert state.contributions[0].alternatives == ()


def test_it_needs_no_torch(run: Path) -> None:
    code = f"""
import sys
from balancer.hindsight.explain import explain
from balancer.show.explanation import print_explanation
print_explanation(explain({str(run)!r}, 3, 30))
heavy = {{"torch", "accelerate", "tensorboard", "PIL"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_segments_follow_the_configs(run: Path) -> None:
    (only,) = run_segments(run)
    assert (only.first, only.until, only.path.name) == (0, None, "config.toml")
    assert isinstance(explain(run, 0), Explanation)
