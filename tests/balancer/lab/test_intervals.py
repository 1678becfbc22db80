"""Intervals of a few paired differences: printed quantiles of Student's t, and how often they miss what is true."""

import math

import numpy as np
import pytest

from balancer.lab.intervals import bootstrap_interval, estimate, paired_interval, t_quantile


# Printed in any table of the distribution, to three decimals; the last two from tables to 0.9995.
@pytest.mark.parametrize(
    ("probability", "freedom", "quantile"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.995, 4, 4.604),
        (0.95, 9, 1.833),
        (0.9995, 2, 31.599),
        (0.9995, 9, 4.781),
    ],
)
def test_quantiles_are_those_of_the_tables(probability: float, freedom: int, quantile: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(quantile, abs=6e-4)


def test_an_interval_is_that_of_a_worked_example() -> None:
    """Differences 1, 2, 3, 4: mean 2.5, standard error 1.2910 / 2, t 3.1824."""
    low, high = paired_interval([1.0, 2.0, 3.0, 4.0], 0.95) or (math.nan, math.nan)
    assert (low, high) == pytest.approx((0.4457, 4.5543), abs=1e-4)


def test_what_shows_no_spread_has_no_interval() -> None:
    assert paired_interval([], 0.95) is None
    assert paired_interval([0.3], 0.95) is None
    assert paired_interval([0.3, 0.3, 0.3], 0.95) is None


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_differences_that_are_noise_are_seldom_more(seeds: int) -> None:
    generator = np.random.default_rng(0)
    ends = [paired_interval(generator.normal(size=seeds).tolist(), 0.95) for _ in range(400)]
    missed = sum(low > 0 or high < 0 for low, high in filter(None, ends))
    assert 8 <= missed <= 34  # of 400 at 5 %: 20, give or take 4.4


# What the lab takes: Student's below eight pairs, from there on the studentised bootstrap.


def test_an_estimate_says_a_side_only_where_its_interval_leaves_nought_out() -> None:
    held = estimate([1.0, 2.0, 3.0, 4.0])
    assert held is not None and held.sign == 1 and held.low == pytest.approx(0.4457, abs=1e-4)
    assert held.deviation == pytest.approx(1.2910, abs=1e-4)
    open_ended = [estimate([-1.0, 2.0, 3.0]), estimate([5.0]), estimate([0.3, 0.3, 0.3])]
    assert [found.sign for found in open_ended if found] == [0, 0, 0]
    assert estimate([5.0]) is not None and not estimate([5.0]).bounded  # type: ignore[union-attr]
    assert estimate([]) is None
    mirrored = estimate([-1.0, -2.0, -3.0, -4.0])
    assert mirrored is not None and mirrored.sign == -1


@pytest.mark.parametrize("pairs", [3, 8, 12])
def test_the_order_of_pairs_changes_no_bit(pairs: int) -> None:
    values = np.random.default_rng(1).normal(size=pairs).tolist()
    assert len({estimate(list(np.random.default_rng(seed).permutation(values))) for seed in range(5)}) == 1


def test_the_bootstrap_widens_the_side_of_the_long_tail_and_is_students_where_nothing_varies() -> None:
    skewed = [0.1, 0.15, 0.2, 0.2, 0.25, 0.3, 0.9, 2.4]
    low, high = bootstrap_interval(skewed) or (math.nan, math.nan)
    mean = float(np.mean(skewed))
    assert low < mean < high and high - mean > 1.5 * (mean - low)
    assert (estimate(skewed) or (0, 0, 0))[1:3] == (low, high)
    mostly_equal = [0.0] * 8 + [1.0]
    assert bootstrap_interval(mostly_equal) is None
    assert (estimate(mostly_equal) or (0, 0, 0))[1:3] == paired_interval(mostly_equal)


@pytest.mark.parametrize("pairs", [2, 3, 5, 8, 12])
def test_two_hundred_comparisons_of_nothing_name_about_five_in_a_hundred(pairs: int) -> None:
    """Of 200 at 5 %: 10, give or take 3.1."""
    generator = np.random.default_rng(pairs)
    found = [estimate((generator.normal(size=pairs) - generator.normal(size=pairs)).tolist()) for _ in range(200)]
    assert 2 <= sum(one is not None and one.sign != 0 for one in found) <= 18
