"""How often intervals for the mean of a few paired differences hold the true mean, and how wide they are.

Student's t interval, the percentile bootstrap and the studentised bootstrap, each meant to hold it in 95 % of cases,
for differences that are normal, long-tailed (t with 3 degrees of freedom) and skewed (exponential). `balancer lab
report` takes its interval by this.

    python benchmarks/interval_coverage.py [--trials 2000]

Prints two tables in Markdown: coverage, with the studentised bootstrap's median width beside Student's; and how often
one more run of the middle one of five fixed values is called beyond the curve or behind it, though it is neither.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from balancer.lab.curve import Curve
from balancer.lab.intervals import bootstrap_interval, estimate, paired_interval

PAIRS: Final = (2, 3, 4, 6, 8, 12)
RESAMPLES: Final = 1000
CURVES: Final = {
    "bent": [(0.0, 1.0), (0.15, 0.6), (0.35, 0.3), (0.65, 0.1), (1.0, 0.0)],
    "straight": [(0.0, 1.0), (0.25, 0.75), (0.5, 0.5), (0.75, 0.25), (1.0, 0.0)],
}
Interval = tuple[float, float]


def percentile(values: np.ndarray) -> Interval:
    """Between the 2.5th and the 97.5th percentile of resampled means."""
    drawn = values[np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))].mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def covered(intervals: list[Interval | None], truth: float) -> float:
    """The share of intervals that hold the truth; where there is none, nothing is claimed, and it counts as held."""
    return float(np.mean([found is None or found[0] <= truth <= found[1] for found in intervals]))


def curve_alarms(random: np.random.Generator, trials: int) -> None:
    """Runs deviate by so much of the curve's range along each axis, those on the curve and the further one alike."""
    print("\n| curve | deviation | pairs | beyond | behind |\n|---|---|---|---|---|")
    for shape, points in CURVES.items():
        for deviation in (0.03, 0.1, 0.2):
            for pairs in (3, 8):
                found = []
                for _ in range(trials):
                    noise = deviation * random.normal(size=(pairs, len(points) + 1, 2))
                    runs = noise + np.array([*points, points[2]])
                    curves = [Curve(tuple((float(x), float(y)) for x, y in run[:-1])) for run in runs]
                    made = estimate([curve.distance(tuple(run[-1])) for curve, run in zip(curves, runs, strict=True)])
                    assert made is not None
                    found.append(made.sign)
                beyond, behind = (sum(sign == side for sign in found) / trials for side in (-1, 1))
                print(f"| {shape} | {deviation} | {pairs} | {beyond:.3f} | {behind:.3f} |")


def main() -> None:
    """Simulate, and print the table."""
    parser = argparse.ArgumentParser(description="coverage of intervals over a few pairs")
    parser.add_argument("--trials", type=int, default=2000, help="simulated comparisons of each kind")
    trials = parser.parse_args().trials
    begun, random = time.process_time(), np.random.default_rng(1)
    kinds: dict[str, tuple[Callable[[tuple[int, int]], np.ndarray], float]] = {
        "normal": (lambda size: random.normal(size=size), 0.0),
        "long tails": (lambda size: random.standard_t(3, size=size), 0.0),
        "skewed": (lambda size: random.exponential(size=size), 1.0),
    }
    print(
        "| differences | pairs | Student's t | percentile bootstrap | studentised bootstrap | its width / Student's |"
    )
    print("|---|---|---|---|---|---|")
    for kind, (draw, truth) in kinds.items():
        for pairs in PAIRS:
            samples = draw((trials, pairs))
            students = [paired_interval(row.tolist()) for row in samples]
            studentised = [bootstrap_interval(row.tolist()) for row in samples]
            shares = [covered(found, truth) for found in (students, [percentile(row) for row in samples], studentised)]
            widths = [(b[1] - b[0]) / (a[1] - a[0]) for a, b in zip(students, studentised, strict=True) if a and b]
            width = f"{np.median(widths):.2f}" if len(widths) > trials / 2 else "—"
            known = len(widths) > trials / 2
            texts = [f"{share:.3f}" if known or which < 2 else "—" for which, share in enumerate(shares)]
            print(f"| {kind} | {pairs} | {' | '.join(texts)} | {width} |")
    curve_alarms(random, trials // 4)
    print(f"\n{time.process_time() - begun:.0f} CPU seconds")


if __name__ == "__main__":
    main()
