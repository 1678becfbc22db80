"""Distances of two sets of features, on sets of which they are known."""

from __future__ import annotations

import numpy as np
import pytest

from zi2zi_model.judges import distances
from zi2zi_model.judges.judge import Features


def drawn(count: int, mean: float = 0.0, deviation: float = 1.0, seed: int = 0, features: int = 8) -> Features:
    return np.random.default_rng(seed).normal(mean, deviation, (count, features)).astype(np.float32)


def test_frechet_is_that_of_the_formula_for_independent_features() -> None:
    """|μ₁ − μ₂|² + Σ (σ₁ − σ₂)²: of means 0 and 0.5, deviations 1 and 2, and 8 features 2 + 8."""
    assert distances.frechet(drawn(100_000), drawn(100_000, 0.5, 2.0, seed=1)) == pytest.approx(10.0, rel=0.02)


def test_frechet_does_not_need_features_that_are_independent() -> None:
    """Turning both sets alike leaves it; moving one by a vector adds the vector's square."""
    one, two = drawn(500), drawn(500, seed=1) * np.linspace(0.2, 3, 8, dtype=np.float32)
    turn, _ = np.linalg.qr(drawn(8, seed=2))
    assert distances.frechet(one @ turn, two @ turn) == pytest.approx(distances.frechet(one, two), rel=1e-4)
    centred = one - one.mean(0)
    assert distances.frechet(centred, centred + 3) == pytest.approx(8 * 9, rel=1e-5)
    assert distances.frechet(one, one) == pytest.approx(0, abs=1e-5)


def test_the_kernel_distance_is_unbiased_where_the_frechet_distance_is_not() -> None:
    pairs = [(drawn(12, seed=2 * n), drawn(12, seed=2 * n + 1)) for n in range(300)]
    kernel = np.array([distances.mmd(one, two) for one, two in pairs])
    assert abs(kernel.mean()) < 3 * kernel.std() / np.sqrt(len(kernel))
    assert (kernel < 0).mean() > 0.3
    assert np.mean([distances.frechet(one, two) for one, two in pairs]) > 1


def test_the_kernel_distance_is_the_sum_of_its_definition() -> None:
    one, two = drawn(5), drawn(4, 1.0, seed=1)

    def kernel(x: Features, y: Features) -> float:
        return float((np.dot(x.astype(float), y) / 8 + 1) ** 3)

    expected = (
        sum(kernel(one[i], one[j]) for i in range(5) for j in range(5) if i != j) / 20
        + sum(kernel(two[i], two[j]) for i in range(4) for j in range(4) if i != j) / 12
        - 2 * sum(kernel(x, y) for x in one for y in two) / 20
    )
    assert distances.mmd(one, two) == pytest.approx(expected, rel=1e-6)
    assert distances.mmd(one, two) > 1


def test_the_style_distance_sees_means_alone() -> None:
    one = drawn(2000)
    spread = (one - one.mean(0)) * 3 + one.mean(0)
    assert distances.mean_distance(one, spread) == pytest.approx(0, abs=1e-4)
    assert distances.frechet(one, spread) > 20
    assert distances.mean_distance(one, one + 2) == pytest.approx(2 * np.sqrt(8), rel=1e-4)
