"""The laws of lambda_adv, by replaying signals: the source document's numbers, and what holds for any signal."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer import Balancer
from balancer.testing import Replay, replay

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
