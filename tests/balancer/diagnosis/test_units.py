"""Units are worked out from the figures where those can tell, and said to be unknown where they cannot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.histories import Rows, document_signals, judged, run_of

from balancer.contract.levels import CHANCE
from balancer.diagnosis.infer_units import stated_units
from balancer.diagnosis.units import Units, implied_adv, least_adv
from balancer.errors import ConfigError


def units(rows: Rows, **more: Any) -> Units:
    return judged(rows, **more).case.units


def learning(scale: float, log: str = "d_loss") -> Rows:
    """A D that begins at chance and learns; `scale` is 2 where its halves are added."""

    def signals(t: float, random: np.random.Generator) -> dict[str, float]:
        level = CHANCE * math.exp(-3 * t + random.normal(0, 0.03))
        return {log: scale * level, "adv": implied_adv(level)}

    return run_of(signals)


def test_a_loss_that_begins_at_chance_shows_whether_it_is_a_sum() -> None:
    assert (units(learning(1)).d_loss_kind, units(learning(1)).d_scale) == ("mean", 1)
    assert (units(learning(2)).d_loss_kind, units(learning(2)).d_scale) == ("sum", 0.5)
    assert units(learning(2)).d_basis == "measured"


def test_d_adv_is_the_same_whatever_the_log_adds_up() -> None:
    one, two = (judged(learning(scale)).case.history["d_adv"].values for scale in (1, 2))
    assert one == pytest.approx(two)


def test_a_sum_is_excluded_where_g_would_fall_below_what_bce_allows() -> None:
    rows = [(50_000 + step, row) for step, row in learning(1)]
    for _, row in rows:
        row["adv"] = 1.02 * least_adv(row["d_loss"])
    made = units(rows)
    assert (made.d_loss_kind, made.evidence["d_by"]) == ("mean", "adv")


def test_a_log_that_begins_late_leaves_it_open() -> None:
    made = units([(50_000 + step, row) for step, row in learning(2)])
    assert (made.d_loss_kind, made.d_basis) == ("unknown", "assumed")


def test_what_the_user_tells_goes_before_the_figures() -> None:
    made = judged(learning(1), stated=stated_units(None, "sum", {}))
    assert (made.case.units.d_loss_kind, made.case.units.d_scale) == ("sum", 0.5)


@pytest.mark.parametrize("loss, chance", [("bce", CHANCE), ("lsgan", 0.25), ("hinge", 1.0)])
def test_every_loss_is_brought_to_the_scale_of_bce(loss: str, chance: float) -> None:
    rows = run_of(lambda t, random: {"d_loss": chance * (1 - 0.5 * t)})
    made = judged(rows, stated=stated_units(loss, None, {}))
    values = made.case.history["d_adv"].values
    assert (values[0], values[-1]) == pytest.approx((CHANCE, CHANCE / 2))


def test_halves_are_averaged() -> None:
    rows = run_of(lambda t, random: {"d_loss_real": 0.2, "d_loss_fake": 0.4})
    assert judged(rows).case.history["d_adv"].values == pytest.approx(np.full(400, 0.3))


# Weights that are both near 1 are read as 1: the terms then add up as they stand.
@settings(max_examples=40)
@given(l1=st.floats(2, 200), rec=st.floats(0.1, 50), seed=st.integers(0, 1000))
def test_weights_are_found_where_the_terms_move_apart(l1: float, rec: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = []
    for step in range(200):
        terms = {"adv": random.uniform(1, 3), "l1": random.uniform(0.1, 0.3), "rec": random.uniform(0.2, 0.9)}
        rows.append((float(step), {**terms, "g_loss": terms["adv"] + l1 * terms["l1"] + rec * terms["rec"]}))
    made = units(rows)
    assert made.weights_basis == "measured"
    assert made.weights["l1"] == pytest.approx(l1, rel=0.01)
    assert made.weights["rec"] == pytest.approx(rec, rel=0.01)


def test_weighted_terms_are_recognised_by_their_sum() -> None:
    def weighted(t: float, random: np.random.Generator) -> dict[str, float]:
        row = document_signals(t, random)
        row |= {"l1": 90 * row["l1"], "const": 5 * row["const"]}
        return row

    made = units(run_of(weighted))
    assert set(made.logged_weighted) == {"adv", "l1", "const"}


def test_a_loss_that_is_no_sum_of_its_columns_has_no_weights() -> None:
    rows = run_of(
        lambda t, random: {"g_loss": random.uniform(1, 9), "adv": random.uniform(1, 3), "l1": random.uniform()}
    )
    made = judged(rows)
    assert made.case.units.weights_basis == "assumed"
    assert "adv_share" not in made.case.history


def test_shares_of_g_loss_are_by_absolute_value() -> None:
    """Hinge makes G's adversarial loss negative; its share is how much it weighs, not its sign."""
    rows = run_of(lambda t, random: {"adv": -1.0, "l1": 0.03})
    history = judged(rows, stated=stated_units("hinge", None, {"adv": 1.0, "l1": 100.0})).case.history
    assert history["adv_share"].values == pytest.approx(np.full(400, 0.25))
    assert history["l1_share"].values == pytest.approx(np.full(400, 0.75))


def test_the_least_adversarial_loss_is_what_bce_allows() -> None:
    """By brute force: D's mean loss fixed, no split between its halves gives G a lower loss."""
    for d in (0.01, 0.2, 0.69):
        fakes = np.linspace(0.0005, 2 * d, 4000)
        assert least_adv(d) == pytest.approx(float(np.min(-np.log(-np.expm1(-fakes)))), rel=1e-3)
        assert implied_adv(d) > least_adv(d)


@pytest.mark.parametrize(
    "loss, kind, message",
    [
        ("wgan", None, "--adversarial 'wgan': there is no such loss"),
        (None, "half", "--d-loss half: is mean"),
    ],
)
def test_unknown_units_are_refused(loss: str | None, kind: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        stated_units(loss, kind, {})


# Losses without levels.


def test_a_stated_loss_without_levels_leaves_trends_only() -> None:
    for d_loss in (None, "mean", "sum"):
        units = stated_units("wasserstein", d_loss, {})
        assert (units.adversarial, units.levels) == ("wasserstein", False)
        assert units.d_adv({"d_loss": 1.0}) is None
        assert units.d_adv({"d_loss_real": 1.0, "d_loss_fake": 1.0}) is None


def test_relativistic_losses_have_the_levels_of_bce() -> None:
    for name in ("relativistic", "relativistic_average"):
        assert stated_units(name, "sum", {}).d_adv({"d_loss": 2 * math.log(2)}) == pytest.approx(math.log(2))
