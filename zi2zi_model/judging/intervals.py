"""How sure a mean of a few paired differences is: Student's t interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

_GRID: Final = 200_001


def paired_interval(differences: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Lower and upper end of the mean difference, taken as normally distributed.

    None of fewer than two, and of equal ones: they do not show what differences vary by.
    """
    count = len(differences)
    if len({*differences}) < 2:
        return None
    half = t_quantile((1 + confidence) / 2, count - 1) * float(np.std(differences, ddof=1)) / math.sqrt(count)
    mean = float(np.mean(differences))
    return mean - half, mean + half


def t_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t distribution, to about 1e-4 of itself; `probability` in [0.5, 1).

    With x = √ν tan θ the density is proportional to cos^(ν−1) θ, which is summed from the far end.
    """
    angle = np.linspace(math.pi / 2, 0.0, _GRID)
    density = np.cos(angle) ** (freedom - 1)
    tail = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    reached = np.interp(1 - probability, tail / (2 * tail[-1]), angle)
    return math.sqrt(freedom) * math.tan(float(reached))
