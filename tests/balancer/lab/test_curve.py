"""How far a setting lies from the curve of fixed values, worked out by hand and by a search over the line."""

from __future__ import annotations

import math

import numpy as np
import pytest

from balancer.lab.curve import Curve, units_of

# Falls from (0, 1) to (1, 0) by way of (0.5, 0.5).
TRADE_OFF = Curve(((0.0, 1.0), (0.5, 0.5), (1.0, 0.0)))
HALF = math.sqrt(0.5)


@pytest.mark.parametrize(
    ("point", "distance"),
    [
        ((0.0, 0.0), -HALF),  # beyond the middle
        ((1.0, 1.0), HALF),  # behind it
        ((0.25, 0.75), 0.0),  # on the line
        ((-1.0, 1.0), -1.0),  # beyond its upper end: better than it in x by 1, not worse in y
        ((-1.0, 5.0), -1.0),
        ((2.0, 0.0), 0.0),  # as low as the lower end and worse in x
        ((3.0, 0.25), 0.25),  # behind: going down by 0.25 leaves the region
        ((3.0, -0.25), -0.25),
        ((0.1, 9.0), 0.1),
    ],
)
def test_a_point_beyond_the_curve_is_below_nought_and_one_behind_it_above(
    point: tuple[float, float], distance: float
) -> None:
    assert TRADE_OFF.distance(point) == pytest.approx(distance, abs=1e-12)


def test_what_the_curve_itself_betters_is_no_part_of_its_border() -> None:
    """A fourth value that is worse than the third in both adds nothing."""
    longer = Curve((*TRADE_OFF.points, (2.0, 1.5)))
    assert longer.distance((1.0, 1.0)) == pytest.approx(HALF)
    assert longer.distance((2.0, 1.5)) == pytest.approx(1.5)  # straight down
    assert longer.border[0] == (0.0, 1.0) and longer.border[-1][1] == 0.0


def test_a_line_that_crosses_itself_has_the_border_of_its_better_parts() -> None:
    """(0, 1) → (1, 0) → (0.2, 0.4) → (0.6, 0): the last part is better from where it crosses the first on."""
    crossed = Curve(((0.0, 1.0), (1.0, 0.0), (0.2, 0.4), (0.6, 0.0)))
    for on_it in ((0.1, 0.9), (0.2, 0.6), (0.4, 0.2), (0.8, 0.0)):
        assert crossed.distance(on_it) == pytest.approx(0.0, abs=1e-12), on_it
    assert crossed.distance((0.5, 0.5)) == pytest.approx(0.4 * HALF)  # from x + y = 0.6


@pytest.mark.parametrize("seed", range(6))
def test_the_distance_is_that_of_a_search_over_the_line(seed: int) -> None:
    random = np.random.default_rng(seed)
    curve = Curve(tuple((float(x), float(y)) for x, y in random.random((5, 2))))
    dense = np.concatenate([np.linspace(a, b, 2001) for a, b in zip(curve.points[:-1], curve.points[1:], strict=True)])
    # The lowest y of the region above a grid of x.
    grid = np.linspace(-1, 2, 3001)
    lowest = np.array([dense[dense[:, 0] <= x + 1e-9, 1].min(initial=np.inf) for x in grid])
    for x, y in random.uniform(-0.3, 1.3, (20, 2)):
        short = np.maximum(dense - (x, y), 0)
        outside = float(np.hypot(*short.T).min())
        if outside > 1e-3:
            assert curve.distance((x, y)) == pytest.approx(-outside, abs=2e-3)
        else:
            # A point outside of the region is worse than every one of its own lower left.
            away = np.hypot(grid - x, np.minimum(0, lowest - y)).min()
            assert curve.distance((x, y)) == pytest.approx(float(away), abs=2e-3)


def test_distances_are_in_units_of_the_curves_own_range() -> None:
    points = ((10.0, 0.002), (10.5, 0.001), (11.0, 0.0))
    assert units_of(points) == (1.0, 0.002)
    curve = Curve(points, units_of(points))
    assert curve.distance((10.0, 0.0)) == pytest.approx(-HALF)
    assert curve.nearest((10.0, 0.0)) == pytest.approx((10.5, 0.001))


def test_an_axis_in_which_fixed_values_do_not_differ_has_a_unit_too() -> None:
    assert units_of([(3.0, 0.0), (3.0, 0.0)]) == (3.0, 1.0)
    flat = Curve(((3.0, 1.0), (3.0, 0.5)), units_of([(3.0, 1.0), (3.0, 0.5)]))
    assert flat.distance((3.0, 0.25)) == pytest.approx(-0.5)
    assert Curve(((1.0, 1.0),)).distance((2.0, 3.0)) == pytest.approx(1.0)


def test_a_point_of_the_curve_is_measured_against_the_others() -> None:
    """Left out, the middle of a straight line is on it, and the middle of a bent one is beyond the rest."""
    assert TRADE_OFF.without(1).distance((0.5, 0.5)) == pytest.approx(0.0)
    bent = Curve(((0.0, 1.0), (0.25, 0.25), (1.0, 0.0)))
    assert bent.without(1).distance((0.25, 0.25)) == pytest.approx(-0.5 * HALF)
