"""The built-in laws, by replaying signals: the source document's numbers, and what holds for any signal."""

import json
import math
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer import Balancer, HeadSpec, ModelSpec
from balancer.contract.compose import compose
from balancer.contract.host import model_host
from balancer.contract.knobs import Decision
from balancer.testing import Replay, check_plugin, replay

BUILT_IN = ("d_lr_ratio", "d_skip", "dynamic_lambda", "freeze_head", "label_smoothing", "lambda_schedule")

# Expected trajectory of the source document: epoch, d_loss, lambda_adv.
DOCUMENT = [(0, 0.005, 0.2), (3, 0.03, 0.35), (8, 0.12, 0.5), (15, 0.25, 0.6)]
D_LOSSES = [d_loss for _, d_loss, _ in DOCUMENT]
LAMBDAS = [value for *_, value in DOCUMENT]


def dynamic(d_adv: Iterable[float], **config: Any) -> list[Any]:
    """lambda_adv over steps with these losses, without a warm-up unless asked for."""
    rows = [{"d_adv": value} for value in d_adv]
    return replay(["dynamic_lambda"], rows, settings={"dynamic_lambda": {"warmup_steps": 0, **config}})["lambda_adv"]


def epochs(plugins: Sequence[str], count: int, **options: Any) -> Replay:
    """One step per epoch, with a quiet d_adv."""
    return replay(plugins, [{"d_adv": 0.25, "d_acc": 0.5}] * count, steps_per_epoch=1, **options)


# dynamic_lambda: the document's numbers.


def test_the_documents_trajectory() -> None:
    assert dynamic(D_LOSSES) == LAMBDAS
    assert dynamic(reversed(D_LOSSES)) == LAMBDAS[::-1]


def test_the_documents_trajectory_by_epochs_after_the_default_warm_up() -> None:
    rows = [{"epoch": epoch, "d_adv": d_loss} for epoch, d_loss, _ in DOCUMENT for _ in range(150)]
    run = replay(["dynamic_lambda"], rows)
    assert run["lambda_adv"] == [0.25] * 100 + [0.2] * 50 + [0.35] * 150 + [0.5] * 150 + [0.6] * 150
    assert (run.decisions[0].step, run.decisions[0].new, dict(run.decisions[0].signals)) == (0, 0.25, {})
    taken = [(d.step, d.epoch, d.old, d.new, d.signals["d_adv"]) for d in run.decisions[1:]]
    assert taken == [
        (100, 0, 0.25, 0.2, 0.005),
        (150, 3, 0.2, 0.35, 0.03),
        (300, 8, 0.35, 0.5, 0.12),
        (450, 15, 0.5, 0.6, 0.25),
    ]


@pytest.mark.parametrize(
    ("preset", "boundaries"),
    [
        ("four_bands", [(0.0, 0.2), (0.02, 0.35), (0.08, 0.5), (0.2, 0.6)]),
        ("three_bands", [(0.0, 0.2), (0.05, 0.4), (0.15, 0.6)]),
    ],
)
def test_the_bands_of_the_document_and_their_edges(preset: str, boundaries: list[tuple[float, float]]) -> None:
    losses, expected = [], []
    for (low, value), (high, _) in zip(boundaries, [*boundaries[1:], (9.0, 0.0)], strict=True):
        losses += [low, (low + high) / 2, high - 1e-9]
        expected += [value] * 3
    assert dynamic(losses, preset=preset) == expected


def test_own_bands_replace_the_preset() -> None:
    bands = [[0.1, 0.05], [0.3, 0.3]]
    assert dynamic([0.0, 0.1, 0.3], bands=bands) == [0.05, 0.3, 0.6]
    assert dynamic([0.0, 0.1, 0.3], bands=bands, ceiling=0.8) == [0.05, 0.3, 0.8], "above them, the ceiling"
    assert dynamic([0.0, 0.1, 0.3], bands=bands, above=0.9, ceiling=1.0, preset="three_bands") == [0.05, 0.3, 0.9]


def test_the_ceiling_cuts_bands_and_the_initial_value_never_exceeds_it() -> None:
    assert dynamic(D_LOSSES, ceiling=0.4) == [0.2, 0.35, 0.4, 0.4]
    assert dynamic([0.25] * 2, warmup_steps=1, initial=0.9, ceiling=0.4) == [0.4, 0.4]
    assert dynamic(D_LOSSES, bands=[[0.1, 5.0]], above=9.0) == [0.6] * 4, "the document's ceiling is the default"


def test_initial_holds_for_the_warm_up_and_a_stated_default_is_100_measurements() -> None:
    assert dynamic([0.693] * 102, warmup_steps=None) == [0.25] * 100 + [0.6] * 2
    assert dynamic([0.693] * 4, warmup_steps=2, initial=0.1) == [0.1, 0.1, 0.6, 0.6]


def test_the_raw_d_loss_reproduces_the_document_literally() -> None:
    rows = [{"d_loss": value, "d_adv": 0.69} for value in D_LOSSES]
    run = replay(["dynamic_lambda"], rows, settings={"dynamic_lambda": {"signal": "d_loss"}})
    assert run["lambda_adv"] == LAMBDAS, "from the first step on, without a warm-up"
    assert dict(run.decisions[-1].signals) == {"d_loss": 0.25}
    held = replay(["dynamic_lambda"], rows, settings={"dynamic_lambda": {"signal": "d_loss", "warmup_steps": 3}})
    assert held["lambda_adv"] == [0.25, 0.25, 0.25, 0.6]


def test_hysteresis_needs_a_margin_to_change_the_band() -> None:
    losses = [0.05, 0.081, 0.087, 0.0881, 0.079, 0.073, 0.0719, 0.079, 0.19, 0.3, 0.19, 0.17, 0.001]
    plain = dynamic(losses)
    assert plain == [0.35, 0.5, 0.5, 0.5, 0.35, 0.35, 0.35, 0.35, 0.5, 0.6, 0.5, 0.5, 0.2]
    # Up at 0.08·1.1 = 0.088, down at 0.08·0.9 = 0.072.
    steady = dynamic(losses, hysteresis=0.1)
    assert steady == [0.35, 0.35, 0.35, 0.5, 0.5, 0.5, 0.35, 0.35, 0.5, 0.6, 0.6, 0.5, 0.2]


def test_an_average_smooths_the_signal_by_its_half_life() -> None:
    # 0, then 0.17 for ever, with a half-life of 2: 0.050, 0.085, 0.110.
    assert dynamic([0.0, 0.17, 0.17, 0.17], half_life=2.0) == [0.2, 0.35, 0.5, 0.5]
    spikes = dynamic([0.05] * 50 + [0.69] + [0.05] * 50, half_life=100.0)
    assert set(spikes) == {0.35}


def test_the_warm_up_feeds_the_average() -> None:
    assert dynamic([0.0] * 50 + [0.2], half_life=10.0, warmup_steps=50)[-1] == 0.2, "0.013, not 0.2"


def test_a_loss_that_is_not_a_number_moves_nothing_and_poisons_no_average() -> None:
    clean = dynamic([0.05, 0.05, 0.06], half_life=5.0)
    assert dynamic([0.05, math.nan, 0.05, math.inf, 0.06], half_life=5.0) == [
        clean[0],
        clean[0],
        *clean[1:2] * 2,
        clean[2],
    ]
    assert dynamic([0.0, math.nan]) == [0.2, 0.2], "not the top band"


def foreign(*plugins: str, **options: Any) -> Balancer:
    return Balancer(list(plugins), obeys={"lambda_adv", "d_update"}, supplies={"d_adv"}, **options)


def test_only_fresh_measurements_count() -> None:
    settings = {"dynamic_lambda": {"warmup_steps": 2}}
    balance = foreign("dynamic_lambda", "d_skip", settings=settings, base={"lambda_adv": 1.0})
    seen = []
    for step in range(8):
        balance.start_step(epoch=0)
        # The script measures nothing where it skips D: 0.01 must not be counted again.
        balance.after_d_step(**({"d_adv": 0.01} if step % 2 == 0 else {}))
        seen.append(balance.lambda_adv)
    assert seen == [0.25, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2]


# dynamic_lambda: what holds for any signal.

LOSS = st.floats(0, 100)
BANDS = st.lists(
    st.tuples(st.floats(1e-6, 10), st.floats(0, 5)), min_size=1, max_size=5, unique_by=lambda row: row[0]
).map(sorted)


@settings(max_examples=40)
@given(
    losses=st.lists(LOSS, min_size=1, max_size=20),
    bands=BANDS,
    above=st.floats(0, 5),
    ceiling=st.floats(0.25, 5),
    hysteresis=st.floats(0, 0.9),
    half_life=st.floats(0, 50),
    warmup_steps=st.integers(0, 10),
)
def test_lambda_is_always_one_of_the_values_and_never_above_the_ceiling(losses: list[float], **config: Any) -> None:
    allowed = {min(value, config["ceiling"]) for _, value in config["bands"]}
    allowed |= {min(config["above"], config["ceiling"])}
    one = dynamic(losses, **config)
    assert set(one[config["warmup_steps"] :]) <= allowed
    assert set(one[: config["warmup_steps"]]) <= {0.25}
    assert one == dynamic(losses, **config), "the same signals, the same decisions"


@settings(max_examples=40)
@given(
    pairs=st.lists(st.tuples(LOSS, LOSS), min_size=1, max_size=20),
    hysteresis=st.floats(0, 0.9),
    half_life=st.floats(0, 50),
    preset=st.sampled_from(["four_bands", "three_bands"]),
)
def test_a_stronger_d_is_never_believed_more(
    pairs: list[tuple[float, float]], hysteresis: float, half_life: float, preset: str
) -> None:
    config = {"hysteresis": hysteresis, "half_life": half_life, "preset": preset}
    weaker = dynamic([max(pair) for pair in pairs], **config)
    stronger = dynamic([min(pair) for pair in pairs], **config)
    assert all(low <= high for low, high in zip(stronger, weaker, strict=True))


# lambda_schedule.


def test_the_documents_schedule_sets_where_it_is_alone() -> None:
    run = epochs(["lambda_schedule"], 25)
    assert run["lambda_adv"] == [0.1] * 5 + [0.3] * 15 + [0.5] * 5
    assert [(d.step, d.op, d.new) for d in run.decisions] == [(0, "set", 0.1), (5, "set", 0.3), (20, "set", 0.5)]


def test_own_steps_and_epochs_of_several_steps() -> None:
    own = {"lambda_schedule": {"steps": [[0, 2.0], [1, 0.0], [3, 1.5]]}}
    rows: list[Mapping[str, float]] = [{}] * 8
    assert replay(["lambda_schedule"], rows, settings=own, steps_per_epoch=2)["lambda_adv"] == [
        2,
        2,
        0,
        0,
        0,
        0,
        1.5,
        1.5,
    ]


@pytest.mark.parametrize("order", [("dynamic_lambda", "lambda_schedule"), ("lambda_schedule", "dynamic_lambda")])
def test_with_a_law_the_schedule_is_the_upper_bound(order: tuple[str, str]) -> None:
    rows = [{"epoch": epoch, "d_adv": d_adv} for epoch in (0, 5, 20) for d_adv in D_LOSSES]
    run = replay(order, rows, settings={"dynamic_lambda": {"warmup_steps": 0}})
    assert run["lambda_adv"] == [0.1] * 4 + [0.2, 0.3, 0.3, 0.3] + [0.2, 0.35, 0.5, 0.5]


@settings(max_examples=20)
@given(
    losses=st.lists(LOSS, min_size=30, max_size=30),
    jumps=st.lists(st.tuples(st.integers(1, 29), st.floats(0, 1)), max_size=4, unique_by=lambda row: row[0]),
)
def test_together_they_give_the_smaller_of_both(losses: list[float], jumps: list[tuple[int, float]]) -> None:
    both = {
        "dynamic_lambda": {"warmup_steps": 0},
        "lambda_schedule": {"steps": [(0, 0.3), *sorted(jumps)]},
    }
    rows = [{"d_adv": value} for value in losses]

    def lambdas(*plugins: str) -> list[Any]:
        return replay(plugins, rows, settings=both, steps_per_epoch=1)["lambda_adv"]

    expected = list(map(min, lambdas("dynamic_lambda"), lambdas("lambda_schedule")))
    assert lambdas("dynamic_lambda", "lambda_schedule") == expected


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
    "dynamic_lambda": {"warmup_steps": 6, "half_life": 3.0, "hysteresis": 0.2},
    "d_skip": {"every": 2, "accuracy_above": 0.8},
    "freeze_head": {"until": 4, "clock": "d_update"},
    "lambda_schedule": {"steps": [[0, 0.3], [2, 0.55]]},
}
SPEC = ModelSpec(weights={"category": 1.0}, d_terms=("category",), heads={"category": HeadSpec(("category",))})


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


ROWS = st.lists(
    st.fixed_dictionaries({"d_adv": st.floats(0, 0.4), "d_acc": st.floats(0.5, 1)}), min_size=2, max_size=24
)


@pytest.mark.parametrize("plugins", [*([name] for name in BUILT_IN), BUILT_IN], ids=[*BUILT_IN, "all"])
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
rows = [{{"d_adv": 0.25, "d_acc": 0.5, "adv": 2.0}}] * 3
run = replay({BUILT_IN!r}, rows, settings={{"dynamic_lambda": {{"warmup_steps": 0}}}})
assert run["lambda_adv"] == [0.1] * 3, run["lambda_adv"]
heavy = {{"torch", "accelerate", "tensorboard", "PIL"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


SMALL: dict[str, dict[str, Any]] = {
    "d_lr_ratio": {},
    "d_skip": {"every": 1, "accuracy_above": 0.6},
    "dynamic_lambda": {"warmup_steps": 3, "half_life": 2.0, "hysteresis": 0.1},
    "freeze_head": {"until": 8, "clock": "step"},
    "label_smoothing": {},
    "lambda_schedule": {},
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_keeps_a_plugins_promises(name: str) -> None:
    check_plugin(name, SMALL[name])
