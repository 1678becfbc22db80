"""The other built-in laws, by replaying signals, and what every built-in keeps: its state, its promises."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.built_in import BUILT_IN, TOGETHER

from balancer import Balancer, HeadSpec, ModelSpec
from balancer.contract.compose import compose
from balancer.contract.host import model_host
from balancer.contract.knobs import Decision
from balancer.testing import check_plugin, replay

# d_lr_ratio.


@pytest.mark.parametrize("base_d", [1e-5, 2e-4, 0.3])
def test_d_learns_at_a_quarter_of_the_rate_of_g_whatever_its_own_base_is(base_d: float) -> None:
    d, g = torch.nn.Parameter(torch.zeros(())), torch.nn.Parameter(torch.zeros(()))
    optimizers = {"d": torch.optim.SGD([d], lr=base_d), "g": torch.optim.SGD([g], lr=1e-2)}
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizers["g"], gamma=0.5)
    balance = Balancer(["d_lr_ratio"], optimizers=optimizers, obeys={"lr_d"})
    moved = []
    for epoch in range(2):
        balance.start_step(epoch=epoch)
        for parameter, optimizer in ((d, optimizers["d"]), (g, optimizers["g"])):
            before = parameter.item()
            parameter.grad = torch.ones(())
            optimizer.step()
            moved.append(before - parameter.item())
            if parameter is d:
                balance.after_d_step()
        assert optimizers["d"].param_groups[0]["lr"] == base_d, "off again right after the step"
        balance.end_step()
        assert balance.last_row["lr/d"] == pytest.approx(0.25 * balance.last_row["lr/g"])
        schedule.step()
    assert moved == pytest.approx([2.5e-3, 1e-2, 1.25e-3, 5e-3], rel=1e-4)


def test_another_ratio_is_a_setting() -> None:
    run = replay(["d_lr_ratio"], [{}] * 3, settings={"d_lr_ratio": {"ratio": 0.1}})
    assert run["lr_d"] == [0.1] * 3, "of lr_g, which a replay takes as 1"
    assert run["lr_g"] == [1.0] * 3
    assert len(run.decisions) == 1


# d_skip.


@pytest.mark.parametrize("every", [1, 2, 3])
def test_d_is_updated_every_kth_step_from_the_first_one(every: int) -> None:
    rows: list[Mapping[str, float]] = [{}] * 7
    updates = replay(["d_skip"], rows, settings={"d_skip": {"every": every}})["d_update"]
    assert updates == [step % every == 0 for step in range(7)]


def test_the_document_skips_every_second_step() -> None:
    assert replay(["d_skip"], [{}] * 4)["d_update"] == [True, False, True, False]


def test_the_gate_closes_on_the_accuracy_of_the_step_before_and_opens_again() -> None:
    accuracy = [0.7, 0.81, 0.9, 0.8, 0.7, 0.95, 0.5]
    rows = [{"d_acc": value} for value in accuracy]
    run = replay(["d_skip"], rows, settings={"d_skip": {"accuracy_above": 0.8}})
    assert run["d_update"] == [True, True, False, False, True, True, False]
    gates = [(d.step, d.new, d.signals["d_acc"]) for d in run.decisions if d.op == "gate"]
    assert gates == [(0, True, 0.7), (1, False, 0.81), (3, True, 0.8), (5, False, 0.95), (6, True, 0.5)]


def test_a_gate_opens_again_where_a_skipped_step_measures_nothing() -> None:
    config = {"d_skip": {"accuracy_above": 0.8}}
    balance = Balancer(["d_skip"], obeys={"d_update"}, supplies={"d_acc"}, settings=config)
    updates = []
    for _ in range(5):
        balance.start_step(epoch=0)
        updates.append(balance.d_update)
        balance.after_d_step(**({"d_acc": 0.9} if balance.d_update else {}))
    assert updates == [True, False, True, False, True]


def test_gate_and_period_must_both_agree() -> None:
    rows = [{"d_acc": value} for value in (0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1)]
    run = replay(["d_skip"], rows, settings={"d_skip": {"every": 2, "accuracy_above": 0.8}})
    assert run["d_update"] == [True, False, False, False, True, False, True]


def test_without_a_gate_no_accuracy_is_needed() -> None:
    host = model_host("toy", ModelSpec(), 1.0)
    assert compose(["d_skip"], host=host).plugins[0].reads == ()
    assert tuple(compose(["d_skip"], {"d_skip": {"accuracy_above": 0.8}}, host=host).plugins[0].reads) == ("d_acc",)


# label_smoothing.


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({}, (0.9, 0.1)),
        ({"sides": "real"}, (0.9, 0.0)),
        ({"real": 0.8, "fake": 0.2}, (0.8, 0.2)),
        ({"real": 1.0, "fake": 0.0}, (1.0, 0.0)),
    ],
)
def test_labels_are_smoothed_on_one_side_or_both(config: dict[str, Any], labels: tuple[float, float]) -> None:
    run = replay(["label_smoothing"], [{}] * 2, settings={"label_smoothing": config})
    assert [(row["real_label"], row["fake_label"]) for row in run.knobs] == [labels] * 2


def test_the_script_sees_the_labels_from_the_first_step_on() -> None:
    balance = Balancer(["label_smoothing"], obeys={"real_label", "fake_label"})
    assert (balance.real_label, balance.fake_label) == (1.0, 0.0)
    balance.start_step(epoch=0)
    assert (balance.real_label, balance.fake_label) == (0.9, 0.1)


# freeze_head.


def frozen(plugins: Sequence[str], count: int, **config: Any) -> list[bool]:
    rows: list[Mapping[str, float]] = [{}] * count
    run = replay(plugins, rows, settings={"freeze_head": config}, steps_per_epoch=3)
    assert set(run["d_frozen"]) <= {(), ("category",)}
    return [value == ("category",) for value in run["d_frozen"]]


def test_the_document_freezes_the_category_head_for_ten_epochs() -> None:
    assert frozen(["freeze_head"], 33) == [True] * 30 + [False] * 3


@pytest.mark.parametrize(
    ("clock", "plugins", "rests"),
    [
        ("epoch", ["freeze_head"], 6),
        ("step", ["freeze_head"], 2),
        ("d_update", ["freeze_head"], 2),
        # D acts at steps 0 and 2: two updates are done when step 3 begins.
        ("d_update", ["freeze_head", "d_skip"], 3),
        ("step", ["freeze_head", "d_skip"], 2),
    ],
)
def test_each_clock_counts_what_it_says(clock: str, plugins: list[str], rests: int) -> None:
    assert frozen(plugins, 9, until=2, clock=clock) == [True] * rests + [False] * (9 - rests)


@pytest.mark.parametrize("clock", ["epoch", "step", "d_update"])
def test_until_zero_never_freezes(clock: str) -> None:
    assert frozen(["freeze_head"], 3, until=0, clock=clock) == [False] * 3


def test_thawing_is_one_decision() -> None:
    rows: list[Mapping[str, float]] = [{}] * 6
    run = replay(["freeze_head"], rows, settings={"freeze_head": {"until": 1}}, steps_per_epoch=3)
    assert [(d.step, d.new, d.effective) for d in run.decisions] == [(0, ("category",), ("category",)), (3, None, ())]


# Going on from a saved state.

ALL_SETTINGS: dict[str, dict[str, Any]] = {
    "adaptive_augment": {"batch_size": 8, "images": 100},
    "dynamic_lambda": {"warmup_steps": 6, "half_life": 3.0, "hysteresis": 0.2},
    "d_skip": {"every": 2, "accuracy_above": 0.8},
    "freeze_head": {"until": 4, "clock": "d_update"},
    "instance_noise": {"steps": 10},
    "lambda_schedule": {"steps": [[0, 0.3], [2, 0.55]]},
}
SPEC = ModelSpec(
    weights={"category": 1.0},
    d_terms=("category",),
    heads={"category": HeadSpec(("category",))},
    features=True,
    conditional=True,
)


def driven(
    plugins: Sequence[str], rows: list[dict[str, float]], state: dict[str, Any] | None = None
) -> tuple[list[tuple[Any, ...]], list[Decision], dict[str, Any]]:
    """Every knob at each step, decisions, and the state afterwards; epochs of four steps."""
    decisions: list[Decision] = []
    composition = compose(plugins, ALL_SETTINGS, host=model_host("toy", SPEC, 1.0))
    balance = Balancer(composition, steps_per_epoch=4, on_decision=decisions.append)
    if state is not None:
        balance.load_state_dict(json.loads(json.dumps(state)))
    seen = []
    for row in rows:
        balance.start_step(epoch=balance.step // 4)
        balance.after_d_step(**row)
        balance.before_g_backward(adv=1.0)
        seen.append((balance.d_update, *(balance.board.value(knob) for knob in balance.board.specs)))
        balance.end_step()
    return seen, decisions, balance.state_dict()


MEASURED: dict[str, st.SearchStrategy[float]] = {
    "d_adv": st.floats(0, 0.4),
    "d_acc": st.floats(0.5, 1),
    "d_acc_real": st.floats(0.5, 1),
    "d_logit_real": st.floats(0, 9),
    "d_logit_fake": st.floats(-9, 0),
}
ROWS = st.lists(st.fixed_dictionaries(MEASURED), min_size=2, max_size=24)


@pytest.mark.parametrize("plugins", [*([name] for name in TOGETHER), TOGETHER], ids=[*TOGETHER, "all"])
@settings(max_examples=12)
@given(rows=ROWS, data=st.data())
def test_a_run_cut_in_two_ends_as_a_whole_one(plugins: Sequence[str], rows: list[Any], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    whole, decisions, end = driven(plugins, rows)
    first, early, state = driven(plugins, rows[:cut])
    second, late, resumed_end = driven(plugins, rows[cut:], state)
    assert first + second == whole
    assert early + late == decisions
    assert resumed_end == end


# Without torch, and with it.


def test_a_replay_of_every_built_in_needs_no_torch() -> None:
    code = f"""
import sys
from balancer.testing import replay
measured = ("d_adv", "d_acc", "d_acc_real", "d_logit_real", "d_logit_fake")
rows = [{{**dict.fromkeys(measured, 0.25), "adv": 2.0}}] * 3
settings = {{"dynamic_lambda": {{"warmup_steps": 0}}, "adversarial_start": {{"step": 0}}}}
settings |= {{"adaptive_augment": {{"batch_size": 8}}, "instance_noise": {{"steps": 9}}}}
run = replay({TOGETHER!r}, rows, settings=settings)
assert run["lambda_adv"] == [0.1] * 3, run["lambda_adv"]
heavy = {{"torch", "accelerate", "tensorboard", "PIL"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


SMALL: dict[str, dict[str, Any]] = {
    "adaptive_augment": {"initial": 0.5, "every": 1, "images": 64, "batch_size": 16, "target": 0, "contrast": 0.5},
    "autobalance": {"slew": 0.5},
    "adversarial_start": {"plateau": "category", "patience": 2, "improvement": 0.5, "d_warmup": 2, "ramp": 3},
    "d_lr_ratio": {},
    "d_skip": {"every": 1, "accuracy_above": 0.6},
    "dynamic_lambda": {"warmup_steps": 3, "half_life": 2.0, "hysteresis": 0.1},
    "feature_matching": {},
    "freeze_head": {"until": 8, "clock": "step"},
    "gap_aware_lr": {"decay": 0.5},
    "gradient_balance": {},
    "instance_noise": {"steps": 6},
    "label_smoothing": {},
    "lambda_schedule": {},
    "lecam": {},
    "matching_aware": {},
    "r1": {"on": "both", "every": 2},
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_keeps_a_plugins_promises(name: str) -> None:
    check_plugin(name, SMALL[name])
