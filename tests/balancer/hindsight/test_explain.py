"""`explain` against the truth: what it says of every step of real runs is what signals.bin recorded."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from balancer_plugins.dynamic_lambda import DynamicLambda
from support.point_runs import DECAY, DYNAMIC, SCHEDULE, SKIP, ran, resumed

from balancer import Balancer, Plugin, StepContext, hookimpl
from balancer.contract.knobs import Decision, Value
from balancer.errors import BalancerError, CheckpointError, ConfigError, PluginError
from balancer.hindsight.explain import MOST_DECISIONS, Explanation, explain, parse_steps
from balancer.hindsight.explain_step import StepState
from balancer.record.decisions import read_decisions
from balancer.record.recorder import DECISIONS
from balancer.record.segments import run_segments
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
    """Every knob of every step is as recorded; one that is not certain is what its epoch would make it."""
    columns = read_signals(folder)
    states = []
    for index, step in enumerate(columns["step"].tolist()):
        state = explain(folder, int(step)).first
        states.append(state)
        low, high = state.epoch
        assert low <= columns["epoch"][index] <= (math.inf if high is None else high)
        for knob in state.knobs:
            recorded = columns[knob.knob][index]
            if knob.exact or low == columns["epoch"][index]:
                assert number(knob.effective) == recorded, f"{knob.knob} at step {step}"
            for one in knob.contributions:
                stands = [outcome for outcome in one.alternatives if outcome.here]
                assert all(outcome.effective == knob.effective for outcome in stands), (knob, step)
                assert stands or not one.alternatives, (knob, step)
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
    assert [(c.plugin, c.op) for c in states[13]["lambda_adv"].contributions] == [("lambda_schedule", "set")]
    assert [c.plugin for c in states[30]["lambda_adv"].contributions] == ["dynamic_lambda"]
    assert states[12]["d_frozen"].effective == ("category",)
    assert states[13]["d_frozen"].contributions == ()
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
    assert [(a.value, a.here) for a in now.alternatives] == [(True, False), (False, True)]
    assert now.alternatives[0].effective is ((closing.step + 1) % 2 == 0), "the period would still have to agree"


def test_neighbouring_bands_lead_where_the_bounds_let_them(run: Path) -> None:
    state = explain(run, 5).first["lambda_adv"]
    dynamic, schedule = state.contributions
    assert [(a.value, a.effective) for a in dynamic.alternatives] == [(0.2, 0.2), (0.4, 0.3), (0.6, 0.3)]
    assert [a.when for a in schedule.alternatives][::4] == ["epoch 0", "from epoch 4 on"]
    assert [a.effective for a in schedule.alternatives] == [min(dynamic.value, v) for v in (0.3, 0.5, 0.35, 0.7, 0.2)]
    assert state.how.endswith("at most 0.3 (lambda_schedule)")


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


def test_a_rate_whose_epoch_is_not_logged_says_so_and_gives_the_rule(tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", "d_lr_ratio", DECAY)
    early, late = explain(folder, 0).first["lr_d"], explain(folder, 20).first["lr_d"]
    assert early.exact
    assert early.effective == 0.25 * 1e-2
    assert not late.exact
    assert "0.02 · 0.8^epoch, at least 0.005" in late.remarks[0]
    assert "0 or later" in late.remarks[0]


def test_a_frozen_head_and_a_skipped_step_are_mentioned(run: Path) -> None:
    states = [explain(run, step).first for step in (1, 2, 39)]
    assert "the head category is frozen" in states[0]["lambda_category"].remarks[0]
    assert any("no effect" in remark for remark in states[0]["lr_d"].remarks), "step 1 is none of every second"
    thawed = states[2]["d_frozen"].contributions[0]
    assert (thawed.value, thawed.step) == (None, 8)
    assert [(a.value, a.here, a.effective) for a in thawed.alternatives] == [
        (("category",), False, ("category",)),
        (None, True, ()),
    ]


def test_it_is_plain_data_and_words(run: Path) -> None:
    for told in (explain(run, 7), explain(run, 3, 30)):
        assert json.loads(json.dumps(told.as_dict()))["first"]["step"] == told.first.step
        text = "\n".join(explanation_lines(told))
        assert "lambda_adv = " in text
        assert "on d_adv = " in text
        assert "None" not in text


def test_the_bands_of_a_law_are_those_that_its_law_would_give() -> None:
    config = DynamicLambda.Config(hysteresis=0.2, warmup_steps=2, bands=((0.1, 0.3), (0.2, 0.5), (0.3, 0.3)), above=0.9)
    losses = [0.5, 0.5, 0.15, 0.02, 0.25, 0.11, 0.29, 0.35, 0.37, 0.5, 0.01]
    run = replay(["dynamic_lambda"], [{"d_adv": loss} for loss in losses], settings={"dynamic_lambda": dict(config)})
    assert len(run.decisions) > 5
    for decision in run.decisions:
        plugin = DynamicLambda(config)
        bands = list(plugin.alternatives(decision))
        start = decision.moment == "on_run_start"
        if start:
            assert bands.pop(0).when == "until its first 2 measurements are in"
        (band,) = [index for index, one in enumerate(bands) if one.here] or [None]
        assert start or bands[band or 0].value == decision.new
        edges = (0.0, *plugin.law.edges(band), 1.0)
        for index, one in enumerate(bands):
            for share in (0.0, 0.5, 0.999):
                law = replace(plugin.law, band=band)
                assert law.update(edges[index] + share * (edges[index + 1] - edges[index])) == one.value
    assert [one.when for one in DynamicLambda(config).alternatives(run.decisions[1])] == [
        "d_adv < 0.08",
        "0.08 <= d_adv < 0.24 (hysteresis 0.2)",
        "0.24 <= d_adv < 0.36",
        "0.36 <= d_adv, cut to the ceiling",
    ]


# From decisions alone.


class Late(Plugin):
    """Turns lambda_adv when the step is over."""

    name = "late"
    writes = {"lambda_adv": ("mul",), "d_update": ("period",)}

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].mul(0.5 + ctx.step)
        self.knobs["d_update"].period(2)


def test_a_script_s_log_is_explained_as_far_as_it_goes(tmp_path: Path) -> None:
    with Balancer([Late], obeys={"lambda_adv", "d_update"}, base={"lambda_adv": 4.0}, log_dir=tmp_path) as balance:
        for _ in range(4):
            balance.start_step()
            balance.after_d_step()
    columns = read_signals(tmp_path)
    assert explain(tmp_path, 0).first.knobs == (), "nothing has acted yet, and no log tells the base"
    for step in (1, 2, 3):
        state = explain(tmp_path, step).first
        assert state["lambda_adv"].effective == columns["lambda_adv"][step]
        assert state["d_update"].effective == columns["d_update"][step]
        assert state["lambda_adv"].base is None
        assert not state["lambda_adv"].exact
        (one,) = state["lambda_adv"].contributions
        assert (one.op, one.value, one.step) == ("mul", step - 0.5, step - 1)
    told = explain(tmp_path, 100)
    assert "has no config.toml" in told.remarks[0]
    assert "whether the run got as far as step 100 the decisions do not say" in told.remarks[1]
    assert any(line.startswith("note: ") for line in explanation_lines(told))


def test_a_run_without_plugins_is_at_its_base(tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", "", ("train.lambda_adv=0.7",), 5)
    assert not (folder / DECISIONS).exists()
    told = explain(folder, 4)
    assert told.first["lambda_adv"].effective == 0.7
    assert told.remarks[0] == "the run has no plugins: every knob is at its base value"
    assert "at their base, as no plugin contributes: lambda_adv 0.7" in "\n".join(explanation_lines(told))


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
        ("brought", {"after_g_step": 5, "on_step_end": 5, "on_epoch_end": 6}),
    ],
)
def test_a_decision_acts_from_its_own_step_or_from_the_next(
    knob: str, moments: Mapping[str, int], tmp_path: Path
) -> None:
    for moment, acts in moments.items():
        written(tmp_path, [decided(5, moment, 0.5, knob)])
        assert explain(tmp_path, 5).decisions[0].acts_from == acts
        seen = [knob in {state.knob for state in explain(tmp_path, step).first.knobs} for step in (4, 5, 6)]
        assert seen == [False, acts == 5, True], moment


def test_between_two_updates_of_g_a_decision_acts_in_the_second(tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", "", ("train.g_updates=2",), 8)
    config = (folder / "config.toml").read_text().replace("plugins = []", 'plugins = ["dynamic_lambda"]')
    (folder / "config.toml").write_text(config)

    def law(moment: str, new: float) -> Decision:
        return Decision(3, 0, moment, "dynamic_lambda", "lambda_adv", "set", None, new, new)

    # Twice in a step: the first time G had another update to come.
    written(folder, [law("after_d_step", 0.1), law("after_g_step", 0.2), law("after_g_step", 0.3)])
    state = explain(folder, 3).first["lambda_adv"]
    assert (state.effective, state.exact) == (0.2, False)
    assert "it may have acted in this step already" in state.remarks[0]
    assert explain(folder, 4).first["lambda_adv"].effective == 0.3
    written(folder, [law("after_g_step", 0.2), law("before_g_backward", 0.3)])
    assert explain(folder, 3).first["lambda_adv"].effective == 0.3


# What cannot be used.


@pytest.mark.parametrize(("text", "steps"), [("12", (12, 12)), ("3:9", (3, 9)), (" 4 : 4 ", (4, 4))])
def test_steps_are_one_or_a_range(text: str, steps: tuple[int, int]) -> None:
    assert parse_steps(text) == steps


@pytest.mark.parametrize("text", ["", "-1", "a", "1:", ":2", "1:2:3", "1.5", "9:3", "²", "1" * 40])
def test_other_steps_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="step"):
        parse_steps(text)


def test_steps_that_the_run_does_not_have_are_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"step 40: the run in .* ends with step 39 \(train.steps = 40\)"):
        explain(run, 40)
    with pytest.raises(ConfigError, match="ends with step 39"):
        explain(run, 0, 99)
    with pytest.raises(ConfigError, match="count from 0"):
        explain(run, -1)
    with pytest.raises(ConfigError, match="comes first"):
        explain(run, 5, 3)


def test_what_is_no_run_directory_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(ConfigError, match="is no run directory"):
            explain(folder, 0)
    (tmp_path / "config.until_00000010.toml").write_text("")
    with pytest.raises(ConfigError, match=r"config.toml is missing"):
        explain(tmp_path, 0)


def test_a_torn_last_line_is_passed_over_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    good = [decided(0, "on_run_start", 0.5), decided(3, "after_d_step", 0.7)]
    written(tmp_path, good, '{"step": 4, "epo')
    assert explain(tmp_path, 9).first["lambda_adv"].effective == 0.7
    for damaged in ("nonsense\n", "\n", "[]\n", '{"step": 1}\n', json.dumps({**asdict(good[0]), "moment": "x"}) + "\n"):
        written(tmp_path, good, damaged + json.dumps(asdict(good[0])) + "\n")
        with pytest.raises(CheckpointError, match=r"decisions.jsonl, line 3 is no decision"):
            explain(tmp_path, 9)


def test_a_plugin_that_is_not_installed_is_named_with_the_config(run: Path, tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", "", (), 5)
    config = folder / "config.toml"
    config.write_text(config.read_text().replace("plugins = []", 'plugins = ["gone"]'))
    with pytest.raises(PluginError, match="unknown plugin 'gone'") as caught:
        explain(folder, 2)
    assert str(config) in caught.value.__notes__[0]


def test_a_law_that_cannot_name_its_alternatives_is_blamed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, decision: Decision) -> list[Any]:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(DynamicLambda, "alternatives", broken)
    with pytest.raises(
        BalancerError, match=r"dynamic_lambda of balancer .* cannot name its alternatives: ZeroDivision"
    ):
        explain(run, 5)


def test_decisions_of_a_plugin_that_no_config_composes_are_remarked(run: Path, tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", "", (), 12)
    written(folder, [decided(2, "after_d_step", 0.5)])
    told = explain(folder, 5)
    assert told.first["lambda_adv"].effective == 0.5
    assert any(remark.startswith("law wrote at step 2") for remark in told.remarks)


def test_a_run_taken_over_from_elsewhere_has_no_earlier_steps(tmp_path: Path) -> None:
    written(tmp_path, [decided(500, "on_run_start", 0.5)])
    assert any("begin with step 500" in remark for remark in explain(tmp_path, 3).remarks)


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
