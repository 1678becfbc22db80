"""What each adversarial loss allows: G's loss beside D's half on generated images, and both beside D's mean outputs.

All bounds are by convexity: the mean of a loss is no lower than the loss of the mean. D is updated between the figures
of one row, so each leaves some room.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.diagnosis.units import below_least

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from balancer.reading.series import Floats

    Rows = NDArray[np.bool_]


class Bounds(ABC):
    """One loss; all arrays are of shape (rows,)."""

    @abstractmethod
    def too_low(self, fake: Floats, adv: Floats) -> Rows:
        """Where G's loss is lower than it can be beside D's half on generated images."""

    def too_high(self, fake: Floats, adv: Floats) -> Rows:
        """Where it is higher than it can be."""
        return np.zeros(len(adv), dtype=bool)

    @abstractmethod
    def d_least(self, real: Floats, fake: Floats) -> Floats:
        """What D's mean logits cost it at least, both halves together."""

    @abstractmethod
    def g_least(self, fake: Floats) -> Floats:
        """What D's mean logit on generated images costs G at least."""


class _Bce(Bounds):
    def too_low(self, fake: Floats, adv: Floats) -> Rows:
        """G's −ln p is at least −ln(1 − e^−f) where D's half on generated images, −ln(1 − p), is f on the average."""
        return below_least(fake / 2, adv)[0]

    def d_least(self, real: Floats, fake: Floats) -> Floats:
        least: Floats = np.logaddexp(0, -real) + np.logaddexp(0, fake)
        return least

    def g_least(self, fake: Floats) -> Floats:
        least: Floats = np.logaddexp(0, -fake)
        return least


class _Lsgan(Bounds):
    """Of an output y, f = E y² and adv = E (1 − y)²: their roots and 1 are the sides of a triangle."""

    def too_low(self, fake: Floats, adv: Floats) -> Rows:
        off: Rows = np.sqrt(np.maximum(fake, 0.0)) + np.sqrt(np.maximum(adv, 0.0)) < 0.9
        return off

    def too_high(self, fake: Floats, adv: Floats) -> Rows:
        off: Rows = np.abs(np.sqrt(np.maximum(fake, 0.0)) - np.sqrt(np.maximum(adv, 0.0))) > 1.1
        return off

    def d_least(self, real: Floats, fake: Floats) -> Floats:
        return (1 - real) ** 2 + fake**2

    def g_least(self, fake: Floats) -> Floats:
        return (1 - fake) ** 2


class _Hinge(Bounds):
    def too_low(self, fake: Floats, adv: Floats) -> Rows:
        """G's −E y is at least 1 − f, where f = E max(0, 1 + y)."""
        off: Rows = adv < 1 - fake - 0.1 - 0.2 * np.abs(fake)
        return off

    def d_least(self, real: Floats, fake: Floats) -> Floats:
        return np.maximum(1 - real, 0.0) + np.maximum(1 + fake, 0.0)

    def g_least(self, fake: Floats) -> Floats:
        return -fake


BOUNDS: Final[dict[str, Bounds]] = {"bce": _Bce(), "lsgan": _Lsgan(), "hinge": _Hinge()}


def as_logits(loss: str, real: Floats, fake: Floats, probabilities: bool) -> tuple[Floats, Floats] | None:
    """D's mean outputs in the form in which a loss takes them; None where it is not known what they were before.

    Least squares take them as they are, a sigmoid before them or not.
    """
    if not probabilities or loss == "lsgan":
        return real, fake
    if loss != "bce":
        return None
    real, fake = np.clip(real, 1e-6, 1 - 1e-6), np.clip(fake, 1e-6, 1 - 1e-6)
    return np.log(real) - np.log1p(-real), np.log(fake) - np.log1p(-fake)
