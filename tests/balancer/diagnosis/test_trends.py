"""A trend is told from noise: rows in any order, and rows that resemble their neighbours, seldom rise."""

from __future__ import annotations

import numpy as np
import pytest
from support.histories import judged, words

from balancer.diagnosis.noise import apart, climb, needed
from balancer.diagnosis.trends import Curve, trend


def noise(rows: int, similar: float, seed: int) -> np.ndarray:
    """A stationary series of spread 1, each value `similar` to the one before."""
    random = np.random.default_rng(seed)
    values = random.normal(size=rows)
    for index in range(1, rows):
        values[index] = similar * values[index - 1] + np.sqrt(1 - similar**2) * values[index]
    return values


SHAPES = {
    "ramp": lambda t: t,
    "shift": lambda t: (t > 0.5) * 1.0,
    "late": lambda t: (t > 0.8) * 1.0,
    "slower and slower": lambda t: 1 - np.exp(-5 * t),
}


@pytest.mark.parametrize("rows", [20, 50, 200])
@pytest.mark.parametrize("similar", [0.0, 0.5])
def test_noise_seldom_rises(rows: int, similar: float) -> None:
    risen = sum(climb(noise(rows, similar, seed)) >= needed(rows) for seed in range(500))
    assert risen <= 5


@pytest.mark.parametrize(("rows", "size"), [(50, 6), (200, 3)])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_rises_is_found(shape: str, rows: int, size: float) -> None:
    change = size * SHAPES[shape](np.linspace(0, 1, rows))
    found = sum(climb(change + noise(rows, 0.3, seed)) >= needed(rows) for seed in range(100))
    assert found >= 95
    assert not any(climb(-change + noise(rows, 0.3, seed)) >= needed(rows) for seed in range(100))


def test_a_curve_without_noise_leaves_no_doubt() -> None:
    assert climb(np.arange(30.0)) == np.inf
    assert climb(np.full(30, 0.3)) == 0.0
    assert apart(np.repeat([1.0, 2.0], 15), 15, 29) == np.inf


def test_a_stretch_is_told_from_dips_of_noise() -> None:
    assert sum(apart(noise(200, 0.5, seed), 60, 80) >= needed(200) for seed in range(300)) <= 3
    dip = np.where((np.arange(200) >= 60) & (np.arange(200) <= 100), -3.0, 0.0)
    assert all(apart(dip + noise(200, 0.5, seed), 60, 100) >= needed(200) for seed in range(50))


def test_a_small_rise_is_none_however_certain() -> None:
    steps = np.arange(100.0)
    over = trend(Curve(steps, 10 + 0.004 * steps, 99.0))
    assert over.up > 1 and not over.rises(by=0.1) and over.rises(by=0.02)


def shuffled_rows(rows: int, seed: int) -> list[tuple[float, dict[str, float]]]:
    """L1 that swings by a third from row to row about one level, as a batch of one picture gives it."""
    random = np.random.default_rng(seed)
    return [
        (100 * index, {"l1": float(5 * np.exp(0.35 * random.normal())), "adv": float(np.exp(0.3 * random.normal()))})
        for index in range(rows)
    ]


def test_noise_is_no_loss_of_structure() -> None:
    verdicts = [judged(shuffled_rows(30, seed)).verdict.words for seed in range(40)]
    assert "verdict.doubtful" not in verdicts


def test_a_log_in_which_nothing_moves_says_so() -> None:
    rows = [(step * 10, {"d_loss": 13.82, "adv": -0.0}) for step in range(700)]
    made = judged(rows)
    assert "still" in words(made) and made.verdict.words == "verdict.still"
    lively = [(step * 10, {"d_loss": 0.0, "adv": 9 + step % 7}) for step in range(700)]
    assert "still" not in words(judged(lively))
    stopped = [(step * 10, {"d_loss": 0.5 + 0.01 * (step % 5 if step < 300 else 0), "adv": 1.0}) for step in range(700)]
    made = judged(stopped)
    assert made.verdict.words == "verdict.still" and made.verdict.evidence["step"] == 3000


def test_a_few_values_in_order_are_no_rise() -> None:
    """Of five values in any order one in 120 rises throughout, without a doubt left in the fit."""
    assert climb(np.array([0.1, 0.4, 0.5, 0.9, 1.4])) == 0.0
    assert climb(np.linspace(0.1, 1.4, 20)) == float("inf")
