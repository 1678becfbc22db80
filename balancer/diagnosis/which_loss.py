"""Which adversarial loss a log's figures are of: as stated, as its training code has it, or as the figures allow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.diagnosis.trends import curve
from balancer.diagnosis.units import Units, below_least
from balancer.reading.codes import Code
from balancer.reading.history import History

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from balancer.reading.series import Floats

# At chance, the mean of D's halves.
REST: Final = {"hinge": 1.0, "lsgan": 0.25}
ROWS: Final = 10  # so many say which loss does not fit
MOST_OFF: Final = 0.5  # of the rows, where a loss is the wrong one
FEW_OFF: Final = 0.25  # of the rows, where it is the right one: D is updated between G's figure and its own


def loss_of(history: History, stated: Units, code: Code | None) -> Units:
    """The units with the log's adversarial loss, and how that is known.

    As stated; a critic's, where its gap is logged instead of `d_adv`, or a half is below 0; the only one that the code
    has; one at whose chance level D has come to rest; hinge, where G's part falls below 0, as BCE and least squares
    never do; the only one of those possible that the figures allow; the code's default; or as it was.
    """
    if stated.adversarial_basis == "told":
        return stated
    units = replace(stated, adversarial=code.losses[0]) if code is not None and code.losses else stated
    if code is not None and len(code.losses) == 1:
        return replace(units, adversarial_basis="format", levels=units.loss.has_levels)
    halves = [history[name] for name in ("d_loss_real", "d_loss_fake") if name in history]
    # No other loss has a half below 0: BCE, least squares and hinge end there.
    below = len(halves) == 2 and "d_adv" not in history and min(float(half.low.min()) for half in halves) < -1e-6
    if below or ("critic_gap" in history and "d_adv" not in history):
        return replace(units, adversarial="wasserstein", adversarial_basis="measured")
    possible = code.losses if code is not None and code.losses else ["bce", "lsgan"]
    at_rest = _resting(history)
    if at_rest is not None and (at_rest in possible or code is None):
        return replace(units, adversarial=at_rest, adversarial_basis="measured", evidence={"rest": REST[at_rest]})
    if "adv" in history and float(history["adv"].low.min()) < -1e-6 and ("hinge" in possible or code is None):
        return replace(units, adversarial="hinge", adversarial_basis="measured")
    scaled = code is not None and "adv" in code.configured  # by a weight that nobody knows
    allowed = list(possible) if scaled else allowed_losses(history, possible, units.discriminators)
    if len(allowed) == 1 and len(possible) > 1:
        only: dict[str, float | int | str] = {"only": allowed[0], "off": off_share(history, units.adversarial)}
        return replace(units, adversarial=allowed[0], adversarial_basis="measured", evidence=only)
    return units


def allowed_losses(history: History, names: Sequence[str], discriminators: int) -> list[str]:
    """Those of these losses that the figures do not contradict; all of them where nothing speaks against any."""
    shares = {name: _off(history, name, discriminators) for name in names}
    known = {name: share for name, share in shares.items() if share is not None}
    if not any(share > MOST_OFF for share in known.values()):
        return list(names)
    return [name for name in names if known.get(name, 1.0) <= FEW_OFF] or list(names)


def off_share(history: History, name: str) -> float:
    """In which part of the rows D's halves and G's loss contradict this loss; 0 where they are not logged."""
    return _off(history, name, 1) or 0.0


def _off(history: History, name: str, discriminators: int) -> float | None:
    names = ["d_loss_real", "d_loss_fake", "adv"]
    if name not in _CONTRADICT or any(one not in history for one in names):
        return None
    _, rows = history.aligned(names)
    if len(rows["adv"]) < ROWS:
        return None
    # Sums over discriminators obey what each of them obeys on the average, since the bounds are convex.
    real, fake, adv = (rows[one] / discriminators for one in names)
    return float(_CONTRADICT[name](real, fake, adv).mean())


def _not_bce(real: Floats, fake: Floats, adv: Floats) -> NDArray[np.bool_]:
    """G's −ln p is at least −ln(1 − e^−f) where D's half on generated images, −ln(1 − p), is f on the average."""
    shown = fake[fake > 0]
    digit = float(shown.min()) / 2 if len(shown) else 1e-3
    least = -np.log(-np.expm1(-np.maximum(fake, digit)))
    off: NDArray[np.bool_] = adv < 0.8 * least - 0.1
    return off


def _not_lsgan(real: Floats, fake: Floats, adv: Floats) -> NDArray[np.bool_]:
    """Of an output y, f = E y² and adv = E (1 − y)²: their roots and 1 are the sides of a triangle."""
    one, two = np.sqrt(np.maximum(fake, 0.0)), np.sqrt(np.maximum(adv, 0.0))
    off: NDArray[np.bool_] = (np.abs(one - two) > 1.1) | (one + two < 0.9)
    return off


def _not_hinge(real: Floats, fake: Floats, adv: Floats) -> NDArray[np.bool_]:
    """G's −E y is at least 1 − f, where f = E max(0, 1 + y)."""
    off: NDArray[np.bool_] = adv < 1 - fake - 0.1
    return off


_CONTRADICT: Final[dict[str, Callable[[Floats, Floats, Floats], NDArray[np.bool_]]]] = {
    "bce": _not_bce,
    "lsgan": _not_lsgan,
    "hinge": _not_hinge,
}


def _resting(history: History) -> str | None:
    """Hinge or least squares, where D's loss has come to rest at the level at which those of BCE never stay."""
    if "d_loss" not in history or "d_adv" in history or history["d_loss"].count < 20:
        return None
    tail = curve(history["d_loss"]).tail()
    level, spread = float(np.median(tail)), float(np.ptp(tail))
    return next((name for name, at in REST.items() if abs(level - at) < 0.01 * at and spread < 0.02 * at), None)


def below_bce(history: History, units: Units) -> bool:
    """Whether G's adversarial loss contradicts BCE in most rows; never where it is another loss or is not logged."""
    if units.adversarial != "bce" or "adv" not in history:
        return False
    _, rows = history.aligned([name for name in ("d_loss_real", "d_loss_fake", "d_loss", "adv") if name in history])
    off, _ = below_least(units.d_adv(rows), rows["adv"])
    return bool(off.mean() > MOST_OFF)
