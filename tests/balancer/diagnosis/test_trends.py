"""A trend is told from noise: how far apart its ends must be, and how well its error is estimated."""

from __future__ import annotations

import numpy as np
import pytest

from balancer.diagnosis.trends import Curve, Trend, trend


@pytest.mark.parametrize("error, certain", [(0.24, True), (0.26, False)])
def test_ends_must_be_four_standard_errors_apart(error: float, certain: bool) -> None:
    assert Trend(first=1.0, last=2.0, rank=1.0, error=error).rises() is certain
    assert Trend(first=2.0, last=1.0, rank=-1.0, error=error).falls() is certain


def test_the_error_of_a_trend_is_that_of_its_ends() -> None:
    """Over many curves of noise alone, its estimate is what the difference of the ends really varies by."""
    random = np.random.default_rng(0)
    steps = np.arange(200.0)
    found = [trend(Curve(steps, random.normal(1, 0.1, 200), 199.0)) for _ in range(400)]
    really = float(np.std([one.last - one.first for one in found]))
    assert float(np.mean([one.error for one in found])) == pytest.approx(really, rel=0.15)
