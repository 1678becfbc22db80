"""What a chart shows is what the series holds: scales, ticks, thinning, smoothing and paths."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.page.paths import SIZE, Points, area_path, extremes, line_path, smoothed, step_path, thinned
from balancer.page.scales import Scale, linear_ticks, log_ticks, number, scale_for, tick_labels, ticks, zone
from balancer.reading.series import Series

figures = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 6))


def numbers(path: str) -> list[tuple[float, float]]:
    found = [float(text) for text in re.findall(r"-?[\d.]+(?:e[-+]?\d+)?", path)]
    return list(zip(found[::2], found[1::2], strict=True))


def series_of(values: list[float], first: float = 0.0) -> Series:
    made = Series()
    made.extend(np.arange(first, first + len(values)), np.asarray(values, dtype=float))
    return made


@given(figures, st.floats(1e-6, 1e6))
def test_linear_ticks_are_round_few_and_inside(low: float, span: float) -> None:
    high = low + span
    if high - low < 1e-9 * max(abs(low), abs(high)):
        return
    found = linear_ticks(low, high)
    assert 2 <= len(found) <= 6
    step = (found[-1] - found[0]) / (len(found) - 1)
    assert found == sorted(found)
    assert low - step * 1e-6 <= found[0] and found[-1] <= high + step * 1e-6
    digits = f"{step:.6e}".partition("e")[0]
    assert round(float(digits), 3) in (1, 2, 5, 10)


@given(st.floats(-9, 3), st.floats(0.05, 8))
def test_logarithmic_ticks_are_inside(low: float, decades: float) -> None:
    bottom, top = 10.0**low, 10.0 ** (low + decades)
    found = log_ticks(bottom, top)
    assert 2 <= len(found) <= 9
    assert all(bottom * (1 - 1e-6) <= value <= top * (1 + 1e-6) for value in found)


@given(st.lists(figures, min_size=2, max_size=50))
def test_an_axis_holds_its_lines(values: list[float]) -> None:
    line = np.array(values)
    axis = scale_for([line])
    placed = axis.place(line)
    if axis.log:
        placed = placed[line >= axis.low]
    assert axis.low < axis.high
    assert placed.min() >= -1e-9 and placed.max() <= 1 + 1e-9
    assert (np.diff(axis.place(np.sort(line))) >= 0).all()


def test_a_saturated_run_gets_a_logarithmic_axis_and_a_healthy_one_does_not() -> None:
    levels = (0.1, 0.4, math.log(2))
    saturated = scale_for([np.full(100, 0.001)], show=levels)
    assert saturated.log
    # Well above the bottom, with the band in sight.
    assert 0.02 < saturated.place([0.001])[0] < 0.4 and saturated.place([math.log(2)])[0] < 1
    assert not scale_for([np.full(100, 0.25)], show=levels).log
    # One of several runs near 0 is enough; exact zeros now and then do not break it.
    mixed = np.where(np.arange(100) % 50 == 0, 0.0, 0.002)
    assert scale_for([np.full(100, 0.3), mixed], show=levels).log
    assert not scale_for([np.zeros(100)], show=levels).log
    assert not scale_for([np.full(100, -0.001)]).log


def test_a_few_spikes_do_not_flatten_the_lines() -> None:
    line = np.full(100, 0.3)
    spikes = line.copy()
    spikes[:5] = 50.0
    assert scale_for([line], [line, spikes]).high < 1


@pytest.mark.parametrize("values", [[], [0.0], [3.0], [3.0, 3.0], [-2.0, -2.0], [1e30, 1e30], [1e-30, 2e-30]])
def test_odd_values_have_an_axis(values: list[float]) -> None:
    axis = scale_for([np.array(values)])
    assert axis.low < axis.high and math.isfinite(axis.high - axis.low)
    assert all(math.isfinite(tick.at) for tick in ticks(axis))


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=3000), st.integers(2, 300))
def test_thinning_keeps_every_extreme_and_the_mean(values: list[float], points: int) -> None:
    found = thinned(series_of(values), 0, len(values) - 1, points)
    assert 1 <= len(found) <= points or len(found) == len(values) <= points
    assert found.low.min() == min(values) and found.high.max() == max(values)
    assert (found.low <= found.values + 1e-9).all() and (found.values <= found.high + 1e-9).all()
    assert (np.diff(found.steps) > 0).all()
    if len(values) <= points:
        assert found.values.tolist() == values


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=200), st.floats(0, 50))
def test_smoothing_stays_within_the_extremes(values: list[float], window: float) -> None:
    points = thinned(series_of(values), 0, len(values))
    means, (low, high) = smoothed(points.steps, points.values, window), extremes(points, window)
    assert len(means) == len(low) == len(high) == len(values)
    assert (low <= means + 1e-9).all() and (means <= high + 1e-9).all()
    assert (low <= points.low).all() and (points.high <= high).all()


def test_smoothing_leaves_a_straight_line_alone() -> None:
    steps = np.arange(100.0)
    assert smoothed(steps, 3 * steps, 20) == pytest.approx(3 * steps)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=100))
def test_a_line_goes_through_its_points(values: list[float]) -> None:
    x = np.linspace(0, 1, len(values))
    found = numbers(line_path(x, np.array(values)))
    expected = [(SIZE * a, SIZE * (1 - b)) for a, b in zip(x, values, strict=True)]
    assert found == [(pytest.approx(a, abs=0.06), pytest.approx(b, abs=0.06)) for a, b in expected]


def test_a_staircase_holds_each_value_and_ends_where_it_is_withdrawn() -> None:
    x, y = np.array([0.0, 0.2, 0.6]), np.array([0.5, 1.0, 0.25])
    assert step_path(x, y, 1.0) == "M0,500L200,500L200,0L600,0L600,750L1000,750"
    assert step_path(x, np.array([0.5, np.nan, 0.25]), 1.0) == "M0,500L200,500M600,750L1000,750"


def test_a_single_value_is_visible_and_an_area_is_closed() -> None:
    assert len(numbers(line_path(np.array([0.5]), np.array([0.5])))) == 2
    x = np.array([0.0, 1.0])
    assert area_path(x, np.zeros(2), np.ones(2)) == "M0,0L1000,0L1000,1000L0,1000Z"


def test_a_band_is_cut_to_the_axis() -> None:
    band = zone(Scale(0, 1), 0.1, 0.4, "healthy")
    assert band is not None and (round(band.top), round(band.height)) == (60, 30)
    cut = zone(Scale(0.2, 0.3), 0.1, 0.4, "healthy")
    assert cut is not None and (cut.top, cut.height) == (0, 100)
    assert zone(Scale(0, 0.05), 0.1, 0.4, "healthy") is None


def test_few_points_are_left_as_they_are() -> None:
    one = Points(*(np.array([1.0]) for _ in range(4)))
    assert smoothed(one.steps, one.values, 10).tolist() == [1.0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.25, "0.25"),
        (64010.0, "64,010"),
        (1.25e-4, "1.25·10⁻⁴"),
        (1e-5, "10⁻⁵"),
        (-3.5, "−3.5"),
        (2e9, "2·10⁹"),
    ],
)
def test_figures_are_written_as_people_do(value: float, text: str) -> None:
    assert number(value) == text


def test_labels_of_ticks_have_the_digits_they_need() -> None:
    assert tick_labels([0, 20_000, 40_000]) == ["0", "20k", "40k"]
    assert tick_labels([0, 500_000, 1_000_000]) == ["0", "0.5M", "1M"]
    assert tick_labels([0, 1000, 2000]) == ["0", "1,000", "2,000"]
    assert tick_labels([0.0, 0.05, 0.1]) == ["0.00", "0.05", "0.10"]
    assert tick_labels([64_000.0, 64_005.0]) == ["64,000", "64,005"]
