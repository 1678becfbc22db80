"""`explain` against the truth: what it says of every step of real runs is what signals.bin recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from balancer_plugins.dynamic_lambda import DynamicLambda
from support.explained import assert_true, said
from support.point_runs import DECAY, DYNAMIC, SCHEDULE, SKIP, ran, resumed

from balancer import Balancer, StepContext, hookimpl
from balancer.errors import ConfigError
from balancer.hindsight.explain import MOST_DECISIONS, Explanation, explain
from balancer.record.config_files import run_segments
from balancer.record.decisions import read_decisions
from balancer.record.signals import read_signals
from balancer.show.as_json import as_data
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
    assert said(open_gate.when).startswith("d_acc held at ")
    assert open_gate.effective is ((closing.step + 1) % 2 == 0), "the period would still have to agree"


def test_a_law_is_asked_what_else_it_would_have_answered(run: Path) -> None:
    state = explain(run, 5).first["lambda_adv"]
    dynamic, schedule = state.contributions
    assert [(a.value, a.effective) for a in dynamic.alternatives] == [(0.2, 0.2), (0.6, 0.3)]
    assert said(dynamic.alternatives[0].when).startswith("d_adv held at ")
    assert [said(a.when) for a in schedule.alternatives] == ["epoch 0", "epoch 1", "epoch 2", "epoch 3", "epoch 4 on"]
    assert [a.effective for a in schedule.alternatives] == [min(dynamic.value, v) for v in (0.3, 0.5, 0.35, 0.7, 0.2)]
    assert [a.here for a in schedule.alternatives] == [True, False, False, False, False]
    assert said(state.how).endswith("at most 0.3 (lambda_schedule)")


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
        for level in said(alternative.when).removeprefix("d_adv held at ").split(" to "):
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
    assert "the head category is frozen" in said(states[0]["lambda_category"].remarks[0])
    assert any("no effect" in said(remark) for remark in states[0]["lr_d"].remarks), "step 1 is none of every second"
    thawed = states[2]["d_frozen"].contributions[0]
    assert (thawed.value, thawed.step) == (None, 8)
    assert [(said(a.when), a.value, a.here, a.effective) for a in thawed.alternatives] == [
        ("epoch 0", ("category",), False, ("category",)),
        ("epoch 1 on", None, True, ()),
    ]


def test_it_is_plain_data_and_words(run: Path) -> None:
    for told in (explain(run, 7), explain(run, 3, 30)):
        assert json.loads(json.dumps(as_data(told)))["first"]["step"] == told.first.step
        text = "\n".join(explanation_lines(told))
        assert "lambda_adv = " in text
        assert "on d_adv = " in text
        assert "None" not in text


# What cannot be used.


def test_steps_that_the_run_does_not_have_are_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"step 40: the run in .* has recorded steps 0 to 39"):
        explain(run, 40)
    with pytest.raises(ConfigError, match="steps 0 to 39"):
        explain(run, 0, 99)
    with pytest.raises(ConfigError, match="count from 0"):
        explain(run, -1)
    with pytest.raises(ConfigError, match="comes first"):
        explain(run, 5, 3)


def test_a_law_that_breaks_when_it_is_asked_spoils_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, ctx: StepContext) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(DynamicLambda, "after_d_step", hookimpl(broken))
    state = explain(run, 5).first["lambda_adv"]
    (remark,) = (said(one) for one in state.remarks)
    assert "dynamic_lambda cannot be asked" in remark and "by zero" in remark
    assert state.contributions[0].alternatives == ()


def test_it_needs_no_torch(run: Path) -> None:
    code = f"""
import sys
from balancer.hindsight.explain import explain
from balancer.show.as_json import as_data
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
