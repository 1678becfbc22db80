"""Intervals of a few paired differences: printed quantiles of Student's t, and how often they miss what is true."""

import math

import numpy as np
import pytest

from zi2zi_model.judging.intervals import paired_interval, t_quantile


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
