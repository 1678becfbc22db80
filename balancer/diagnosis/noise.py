"""What a curve does beyond what noise does: evidence against rows that might as well stand in any order.

All measures compare the variance that a change explains with the long-run variance of what is left, which counts
neighbours that resemble each other as less than two (a first-order autoregression). `needed` is what noise stays below:
`benchmarks/diagnosis_alarms.py` measures how often it does not, and docs/diagnose.md shows the figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from balancer.reading.series import Floats


FEWEST: Final = 8  # of values in any order, one in 40,320 such rows rises throughout


def needed(points: int) -> float:
    """The evidence that a change in so many points has to have."""
    return 25.0 + 600.0 / max(points, 1)


def needed_at(points: int) -> float:
    """The same for a change at a place that was named beforehand, where noise had no choice."""
    return 8.0 + 100.0 / max(points, 1)


def climb(values: Floats) -> float:
    """The evidence that values of shape (n,) rise: at once, steadily or late; infinite where nothing speaks against it.

    What rises is fitted by isotonic regression (Barlow et al. 1972, pool adjacent violators). A few values may stand in
    order by chance, and are none.
    """
    if len(values) < FEWEST or np.ptp(values) <= 1e-12 * np.abs(values).max():
        return 0.0
    fitted, pieces = _isotonic(values)
    return _evidence(values, fitted, pieces)


def apart(values: Floats, first: int, last: int) -> float:
    """The evidence that the stretch from index `first` to `last`, both included, lies elsewhere than the rest."""
    inside = np.zeros(len(values), dtype=bool)
    inside[first : last + 1] = True
    if inside.all() or not inside.any():
        return 0.0
    fitted = np.where(inside, values[inside].mean(), values[~inside].mean())
    return _evidence(values, fitted, 4)  # two levels, and two edges that were looked for


def bend(times: Floats, values: Floats, at: int) -> float:
    """The evidence that values at these times go at another pace from index `at` on, whatever their levels are."""
    parts = [slice(0, at), slice(at, None)]
    times = np.concatenate([times[part] - times[part].mean() for part in parts])
    values = np.concatenate([values[part] - values[part].mean() for part in parts])
    one_pace = _pace(times, values) * times
    own_paces = np.concatenate([_pace(times[part], values[part]) * times[part] for part in parts])
    return _evidence(values - one_pace, own_paces - one_pace, 4)  # two levels and two paces


def _pace(times: Floats, values: Floats) -> float:
    """The slope by least squares; both are around 0."""
    return float((times * values).sum() / np.square(times).sum())


def _evidence(values: Floats, fitted: Floats, pieces: int) -> float:
    points, rest = len(values), values - fitted
    explained, left = float(np.square(fitted - values.mean()).sum()), float(np.square(rest).sum())
    if left <= 1e-12 * explained:
        return float("inf") if explained else 0.0
    similar = float((rest[1:] * rest[:-1]).sum()) / left
    # Of few points it comes out too low, the more so the more pieces were fitted to them.
    similar = min(max(similar + (1 + 4 * max(similar, 0.0) + pieces) / points, 0.0), 0.99)
    variance = left / max(points - pieces, 1) * (1 + similar) / (1 - similar)
    return explained / variance


def _isotonic(values: Floats) -> tuple[Floats, int]:
    """The rising step function nearest to these values, and the number of its steps."""
    means: list[float] = []
    counts: list[int] = []
    for value in values.tolist():
        mean, count = value, 1
        while means and means[-1] >= mean:
            below, among = means.pop(), counts.pop()
            mean, count = (mean * count + below * among) / (count + among), count + among
        means.append(mean)
        counts.append(count)
    return np.repeat(means, counts), len(means)
