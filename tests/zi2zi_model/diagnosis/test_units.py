"""Units of a zi2zi log: weighted or raw, which weights, sum or mean; recovered, or declared unknown."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.zi2zi_logs import FORMATS, Losses, healthy, lines, read, starved

from balancer.diagnosis.derived import derive
from balancer.diagnosis.units import Units
from balancer.reading.history import History
from balancer.reading.source import Source
from zi2zi_model.diagnosis.units import zi2zi_units
from zi2zi_model.diagnosis.weights import KNOWN


def worked(
    made: list[Losses],
    form: str,
    weights: tuple[float, float],
    told: Units | None = None,
    change: Callable[[str], str] = str,
) -> tuple[History, Units]:
    history, source, _ = read([change(line) for line in lines(made, form, weights)])
    units = zi2zi_units(history, source, told or Units())
    assert units is not None
    return history, units


@pytest.mark.parametrize("form", ["tf", "port"])
def test_weighted_logs_become_raw(form: str) -> None:
    made = healthy()
    history, units = worked(made, form, (100, 15))
    assert units.logged_weighted == ("l1", "const")
    assert units.evidence["g_by"] == "weighted"
    assert units.weights == {"adv": 1, "category": 1, "const": 15, "l1": 100} | ({"tv": 1} if form == "tf" else {})
    assert units.weights_basis == "format"
    np.testing.assert_allclose(history["l1"].values, [row.l1 for row in made], atol=1e-5)
    np.testing.assert_allclose(history["const"].values, [row.const for row in made], atol=1e-5)


@pytest.mark.parametrize("form", ["fork", "later"])
@pytest.mark.parametrize("pair", KNOWN)
@pytest.mark.parametrize("category", [False, True])
def test_raw_logs_show_their_weights(form: str, pair: str, category: bool) -> None:
    trusts = random.Random(2)
    made = healthy(category=category)
    if form == "later":
        made = [replace(row, trust=trusts.choice([0.2, 0.35, 0.5, 0.6])) for row in made]
    history, units = worked(made, form, KNOWN[pair])
    assert units.logged_weighted == ()
    assert (units.evidence["g_by"], units.evidence["g_pair"]) == ("pair", pair)
    assert (units.weights["l1"], units.weights["const"]) == KNOWN[pair]
    assert units.weights_basis == "measured"
    assert history["l1"].values[0] == pytest.approx(made[0].l1, abs=1e-4)


def test_one_row_is_enough_for_known_weights() -> None:
    _, units = worked([Losses(0.01, 4, 0.25, 0.28)], "fork", (90, 5))
    assert units.evidence["g_pair"] == "90/5"


def test_a_raw_log_of_the_first_port() -> None:
    """The figures speak before the format: somebody printed raw terms with five decimals."""

    def raw(line: str) -> str:
        row = line.replace("fork", "")
        return (
            row
            if "_loss:" not in row
            else ", ".join(f"{part}0" if "_loss" in part else part for part in row.split(", "))
        )

    history, source, _ = read([raw(line) for line in lines(healthy(50), "fork", (100, 15))])
    assert source.format == "port"
    units = zi2zi_units(history, replace(source), Units())
    assert units is not None
    assert units.logged_weighted == ()
    assert units.weights["l1"] == 100


@settings(max_examples=40)
@given(
    st.floats(3, 300),
    st.floats(3, 60),
    st.integers(0, 2**20),
    st.sampled_from(["fork", "later", "port"]),
    st.booleans(),
)
def test_any_weights_are_recovered_or_declared_unknown(
    l1: float, const: float, seed: int, form: str, category: bool
) -> None:
    made = healthy(300, seed=seed, category=category)
    history, units = worked(made, form, (l1, const))
    by = units.evidence["g_by"]
    if form == "port":
        # Only the products are in such a log.
        assert by == "weighted"
        return
    assert by in ("pair", "fit", "inseparable", "nothing")
    if by in ("pair", "fit"):
        assert units.weights["l1"] == pytest.approx(l1, rel=0.1, abs=0.5)
        assert units.weights["const"] == pytest.approx(const, rel=0.15, abs=0.8)
    elif by == "inseparable":
        assert units.weights["l1"] is None
        derive(history, units)
        share = history["adv_share"].values
        true = [row.adv / (row.adv + l1 * row.l1 + const * row.const + row.cat) for row in made]
        np.testing.assert_allclose(share, true, atol=0.01)
    else:
        assert units.weights["l1"] is None
        assert units.weights_basis == "assumed"


def test_free_weights_are_found_where_the_terms_move_apart() -> None:
    rng = random.Random(0)
    made = [
        replace(row, l1=0.2 + rng.gauss(0, 0.03), const=0.3 + rng.gauss(0, 0.05)) for row in healthy(category=False)
    ]
    _, units = worked(made, "fork", (70, 22))
    assert units.evidence["g_by"] == "fit"
    assert units.weights["l1"] == pytest.approx(70, rel=0.01)
    assert units.weights["const"] == pytest.approx(22, rel=0.02)
    assert float(units.evidence["g_const_error"]) < 1


def test_collinear_terms_are_declared_inseparable() -> None:
    made = [replace(row, const=1.2 * row.l1) for row in healthy(category=False)]
    history, units = worked(made, "fork", (70, 22))
    assert units.evidence["g_by"] == "inseparable"
    derive(history, units)
    assert history["adv_share"].values[-1] == pytest.approx(
        made[-1].adv / (made[-1].adv + 70 * made[-1].l1 + 22 * made[-1].const), abs=1e-3
    )
    assert "l1_share" not in history


def test_sums_that_fit_nothing_are_said_to() -> None:
    rng = random.Random(0)
    made = [replace(row, tv=rng.uniform(0, 30)) for row in healthy()]
    _, units = worked(made, "fork", (90, 5))  # this format does not print tv
    assert units.evidence["g_by"] == "nothing"
    assert units.weights_basis == "assumed"
    assert set(units.weights.values()) == {None}


def test_an_extra_term_that_is_logged_is_weighed_too() -> None:
    rng = random.Random(0)
    made = [
        replace(row, l1=0.2 + rng.gauss(0, 0.03), const=0.3 + rng.gauss(0, 0.05)) for row in healthy(category=False)
    ]
    history, source, _ = read(lines(made, "fork", (90, 5)))
    extra = History()
    for index, step in enumerate(history["g_loss"].steps):
        row = {name: float(history[name].values[index]) for name in history}
        row["perceptual"] = round(rng.uniform(0.1, 0.9), 4)
        row["g_loss"] = round(row["g_loss"] + 7 * row["perceptual"], 4)
        extra.add(step, row)
    units = zi2zi_units(extra, source, Units())
    assert units is not None
    assert units.weights["perceptual"] == pytest.approx(7, rel=0.01)
    assert units.weights["l1"] == pytest.approx(90, rel=0.01)


@pytest.mark.parametrize(("form", "kind"), [("tf", "sum"), ("port", "sum"), ("fork", "mean"), ("later", "mean")])
@pytest.mark.parametrize("seed", range(5))
def test_d_loss_of_each_format(form: str, kind: str, seed: int) -> None:
    made = healthy(seed=seed)
    history, units = worked(made, form, (100, 15))
    assert (units.d_loss_kind, units.d_scale) == (kind, 0.5 if kind == "sum" else 1.0)
    derive(history, units)
    if form == "later":
        # It does not log the category loss, which at first is as much as a second half would be.
        assert (units.d_basis, units.evidence["d_by"]) == ("format", "format")
    else:
        assert (units.d_basis, units.evidence["d_by"]) == ("measured", "start")
        np.testing.assert_allclose(history["d_adv"].values, [row.d for row in made], atol=2e-4)


def test_a_resumed_log_shows_no_start() -> None:
    history, source, _ = read(lines(starved(), "fork", (90, 5), resumed=64010))
    units = zi2zi_units(history, source, Units())
    assert units is not None
    assert (units.d_loss_kind, units.d_basis) == ("mean", "format")
    assert "start" not in units.evidence


def test_a_mean_printed_in_a_format_of_sums() -> None:
    """Were it a sum, G's loss would be below its minimum."""
    made = [replace(row, adv=-math.log(-math.expm1(-2 * row.d)) * 1.02) for row in healthy(category=False)[1:]]
    history, source, _ = read(lines(made, "fork", (100, 15)))
    units = zi2zi_units(history, replace(source, format="port"), Units())
    assert units is not None
    assert (units.d_loss_kind, units.d_basis, units.evidence["d_by"]) == ("mean", "measured", "adv")


def test_a_sum_printed_in_a_format_of_means() -> None:
    made = healthy(category=False)
    made = [replace(row, d=2 * row.d, adv=-math.log(-math.expm1(-row.d)) * 1.1) for row in made]
    _, units = worked(made, "fork", (90, 5))
    assert (units.d_loss_kind, units.d_basis, units.d_scale) == ("sum", "measured", 0.5)


def test_the_category_loss_is_left_in_where_it_is_not() -> None:
    made = [replace(row, cat=0.0) for row in starved(100)]

    def with_category(line: str) -> str:
        return line.replace("category_loss: 0.0000", "category_loss: 0.3000")

    _, units = worked(made, "fork", (90, 5), change=with_category)
    assert units.d_holds_category is False


def test_what_the_user_tells_holds() -> None:
    told = Units(
        d_loss_kind="sum", d_scale=0.5, d_basis="told", weights={"l1": 50.0, "const": 2.0}, weights_basis="told"
    )
    history, units = worked(healthy(category=False), "fork", (90, 5), told)
    assert (units.d_loss_kind, units.d_scale, units.d_basis) == ("sum", 0.5, "told")
    assert (units.weights["l1"], units.weights["const"], units.weights["adv"]) == (50.0, 2.0, 1.0)
    history, units = worked(healthy(category=False), "port", (50, 2), told)
    assert units.logged_weighted == ("l1", "const")
    assert history["l1"].values[-1] == pytest.approx(healthy(category=False)[-1].l1, abs=1e-4)


def test_the_document_case_has_the_weights_90_and_5() -> None:
    history, source, refused = read(lines(starved(), "fork", (90, 5), resumed=64010))
    assert not refused
    units = zi2zi_units(history, source, Units())
    assert units is not None
    assert units.evidence["g_pair"] == "90/5"
    assert units.logged_weighted == ()
    derive(history, units)
    assert history["adv_share"].values[0] == pytest.approx(4 / 27.9, abs=1e-3)
    assert history["adv_share"].values[-1] == pytest.approx(12 / 35.9, abs=1e-3)


def test_a_long_log_is_weighed_from_spans() -> None:
    """Above 4,096 rows a history keeps means, whose products are not those of the rows."""
    trusts = random.Random(3)
    made = [replace(row, trust=trusts.choice([0.2, 0.35, 0.5, 0.6])) for row in healthy(9000)]
    history, source, _ = read(lines(made, "later", (97, 15)))
    assert history["g_loss"].span > 1
    units = zi2zi_units(history, source, Units())
    assert units is not None
    assert units.evidence["g_pair"] == "97/15"
    history, source, _ = read(lines(healthy(9000), "tf", (100, 15)))
    units = zi2zi_units(history, source, Units())
    assert units is not None
    assert (units.evidence["g_by"], units.evidence["d_by"]) == ("weighted", "start")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("rows", range(1, 11))
def test_short_logs(form: str, rows: int) -> None:
    made = healthy(12)[2 : 2 + rows]
    history, units = worked(made, form, (100, 15))
    derive(history, units)
    if form == "two-line":
        assert units.d_loss_kind == "mean" or units.evidence["d_by"] == "nothing"
        assert units.evidence["g_by"] == "unlogged"
    else:
        assert units.evidence["g_by"] in ("weighted", "pair")


def test_only_text_logs_are_judged() -> None:
    assert zi2zi_units(History(), Source("x", "run", "zi2zi"), Units()) is None
    assert zi2zi_units(History(), Source("x", "log", "zi2zi"), Units()) is not None
