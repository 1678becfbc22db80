"""How far two sets of glyphs are in stroke style, whatever they show: three distances in the style judge's features.

Each is in units of what two fonts that the judge was trained on have between them on average: 0 is the same style, 1 as
far as two fonts usually are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zi2zi_model.judges.judge import Features, record

Floats = npt.NDArray[np.float64]


def style_distance(output: Features, target: Features) -> float:
    """Distance of the mean features of two sets, (n, F) and (m, F)."""
    return mean_distance(output, target) / unit("style distance")


def frechet_distance(output: Features, target: Features) -> float:
    """Fréchet distance of two sets, (n, F) and (m, F), each taken as normally distributed (Heusel et al. 2017).

    It rises where sets are small: compare it between sets of the same sizes only. Each needs two glyphs.
    """
    return frechet(output, target) / unit("Fréchet distance")


def kernel_distance(output: Features, target: Features) -> float:
    """Squared maximum mean discrepancy of two sets, (n, F) and (m, F) (kernel distance, Bińkowski et al. 2018).

    Unbiased: sets of one style have 0 on average at any size, so it may lie below 0. Each needs two glyphs.
    """
    return mmd(output, target) / unit("kernel distance")


def unit(distance: str) -> float:
    """The mean of a distance over pairs of fonts that the judge was trained on."""
    value: float = record()["style"]["units"][distance]
    return value


def mean_distance(one: Features, two: Features) -> float:
    """Euclidean distance of the means."""
    return float(np.linalg.norm(one.mean(0, dtype=np.float64) - two.mean(0, dtype=np.float64)))


def frechet(one: Features, two: Features) -> float:
    """|μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½)."""
    first, second = (np.cov(features, rowvar=False, dtype=np.float64) for features in (one, two))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    # Σ₁ Σ₂ has the eigenvalues of this, which is symmetric.
    shared = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(min=0)).sum()
    distance = mean_distance(one, two) ** 2 + np.trace(first) + np.trace(second) - 2 * shared
    return max(0.0, float(distance))  # below only by rounding


def mmd(one: Features, two: Features) -> float:
    """Unbiased estimate with the kernel (xᵀy / F + 1)³."""
    within = []
    for features in (one, two):
        kernel, count = _kernel(features, features), len(features)
        within.append((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))
    return float(sum(within) - 2 * _kernel(one, two).mean())


def _kernel(one: Features, two: Features) -> Floats:
    product: Floats = one.astype(np.float64) @ two.astype(np.float64).T
    cubed: Floats = (product / one.shape[1] + 1) ** 3
    return cubed
