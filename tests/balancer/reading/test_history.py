"""A history is exact while it is short, true to means and extremes when it is long, and never large."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.work import assert_in_proportion, lines_run

from balancer.reading.history import History
from balancer.reading.series import CAPACITY, Series


def series_of(steps: object, values: object) -> Series:
    made = Series()
    made.extend(np.asarray(steps, dtype=float), np.asarray(values, dtype=float))
    return made


@given(st.lists(st.floats(-1e6, 1e6), max_size=300))
def test_a_short_series_keeps_every_value(values: list[float]) -> None:
    series = Series()
    for step, value in enumerate(values):
        series.append(step, value)
    assert series.span == 1
    assert series.values.tolist() == values == series.low.tolist() == series.high.tolist()
    assert series.steps.tolist() == list(range(len(values))) == series.last_steps.tolist()


@settings(max_examples=20)
@given(st.integers(1, 60_000), st.integers(0, 2**32 - 1))
def test_a_long_series_keeps_its_mean_and_its_extremes(count: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=count)
    series = series_of(np.arange(count), values)
    assert series.count == count
    assert len(series.values) <= CAPACITY + 1
    assert series.low.min() == values.min()
    assert series.high.max() == values.max()
    assert (series.low <= series.values + 1e-9).all() and (series.values <= series.high + 1e-9).all()
    assert (np.diff(series.steps) > 0).all() and series.steps[0] == 0 and series.last_steps[-1] == count - 1
    whole = len(series.values) - 1
    sizes = np.append(np.full(whole, series.span), count - whole * series.span)
    assert (series.values * sizes).sum() / count == pytest.approx(values.mean(), abs=1e-9)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=6))
def test_blocks_and_single_values_make_the_same_series(sizes: list[int]) -> None:
    values = np.random.default_rng(0).normal(size=sum(sizes))
    one, many = Series(), Series()
    for step, value in enumerate(values.tolist()):
        one.append(step, value)
    at = 0
    for size in sizes:
        many.extend(np.arange(at, at + size, dtype=float), values[at : at + size])
        at += size
    assert one.count == many.count and one.span == many.span
    for attribute in ("steps", "last_steps", "values", "low", "high"):
        assert getattr(one, attribute).tolist() == getattr(many, attribute).tolist()


def test_a_rows_history_and_a_blocks_history_are_the_same() -> None:
    steps = np.arange(30_000.0)
    values = np.sin(steps)
    gaps = np.where(steps % 3 == 0, values, math.nan)
    by_rows, by_blocks = History(), History()
    for step, value, gap in zip(steps, values, gaps, strict=True):
        by_rows.add(float(step), {"a": float(value)} | ({} if math.isnan(gap) else {"b": float(gap)}))
    for at in range(0, 30_000, 1000):
        part = slice(at, at + 1000)
        by_blocks.extend(steps[part], {"a": values[part], "b": gaps[part], "c": np.full(1000, math.nan)})
    assert list(by_rows) == list(by_blocks) == ["a", "b"]
    for name in ("a", "b"):
        assert by_rows[name].count == by_blocks[name].count
        assert by_rows[name].values.tolist() == pytest.approx(by_blocks[name].values.tolist())
    assert by_rows.last_step == by_blocks.last_step == 29_999
    assert by_rows.rows == 30_000


def test_values_that_are_not_finite_are_counted_with_the_step_of_the_first() -> None:
    history = History()
    for step in range(10):
        history.add(step, {"a": math.nan if step in (4, 6) else 1.0})
    assert history["a"].count == 8
    assert history["a"].nonfinite == 2
    assert history["a"].first_nonfinite == 4
    history.add(10, {"b": math.inf})
    assert "b" not in history and history["b"].nonfinite == 1
    assert list(history) == ["a", "b"] and history.measured == ["a"]


@given(st.integers(1, 3000), st.integers(0, 3000))
def test_cutting_forgets_the_step_and_all_after_it(count: int, at: int) -> None:
    history = History()
    for step in range(count):
        history.add(step, {"a": float(step)})
    history.cut(at)
    left = min(at, count)
    assert (history["a"].count if left else 0) == left
    assert history.last_step == at - 1
    history.add(at, {"a": -1.0})
    assert history["a"].values.tolist() == [*map(float, range(left)), -1.0]


def test_cutting_a_long_series_loses_whole_spans_at_most() -> None:
    series = series_of(np.arange(100_000), np.arange(100_000))
    series.cut(50_000)
    assert 50_000 - series.span <= series.count <= 50_000
    assert series.high.max() < 50_000


def test_a_value_of_an_earlier_step_supersedes_what_came_after() -> None:
    series = Series()
    for step, value in ((0, 1.0), (1, 2.0), (2, 3.0), (1, 20.0), (2, 30.0)):
        series.append(step, value)
    assert series.steps.tolist() == [0, 1, 2] and series.values.tolist() == [1, 20, 30]
    assert series_of([0, 1, 2, 1, 2], [1, 2, 3, 20, 30]).values.tolist() == [1, 20, 30]


def test_going_back_again_and_again_costs_no_more_than_going_on() -> None:
    def to_and_fro(count: int) -> History:
        history = History()
        for index in range(count):
            step = 2 * count + index if index % 2 else 100 + index
            if step < history.last_step:
                history.cut(step)
            history.add(step, {"a": 1.0, "b": 2.0})
        assert history["a"].count < count
        return history

    def onward(count: int) -> None:
        history = History()
        for step in range(count):
            history.add(step, {"a": 1.0, "b": 2.0})

    assert_in_proportion(to_and_fro, 5000)
    assert lines_run(lambda: to_and_fro(20_000)) < 3 * lines_run(lambda: onward(20_000))
    assert to_and_fro(60_000).last_step == 179_999


def test_a_history_of_changing_signals_settles_them_all() -> None:
    history = History()
    for step in range(20_000):
        history.add(step, {"a": 1.0} if step % 2 else {"b": 2.0, "c": 3.0})
    assert {name: history[name].count for name in history} == {"a": 10_000, "b": 10_000, "c": 10_000}
    steps, both = history.aligned(["a", "b"])
    assert len(steps) and both["a"].tolist() == [1.0] * len(steps) and both["b"].tolist() == [2.0] * len(steps)
    history.series["d"] = series_of([0, 1], [5, 6])
    assert "d" in history and history["d"].values.tolist() == [5, 6]
