"""Which adversarial loss a log's figures are of: as stated, as its training code has it, or as the figures allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from balancer.diagnosis.contradictions import (
    FEW_OFF,
    MOST_OFF,
    Printed,
    falls_below_zero,
    g_falls_below_zero,
    is_weighed,
    off_share,
)
from balancer.diagnosis.trends import curve
from balancer.diagnosis.units import Units, below_least
from balancer.reading.codes import Code
from balancer.reading.history import History

# At chance, the mean of D's halves.
REST: Final = {"hinge": 1.0, "lsgan": 0.25}
FLOOR: Final = 0.02  # below it D's loss says nothing of which one it is


def loss_of(history: History, stated: Units, code: Code | None, whole: bool = False) -> Units:
    """The units with the log's adversarial loss, and how that is known; `whole` as in `Printed`.

    As stated; the only one that the code has; a critic's, where its gap is logged instead of `d_adv`, or D's loss falls
    below 0; one at whose chance level D has come to rest; hinge, where G's falls below 0, as BCE and least squares
    never do; the only one of those possible that the figures allow; the code's default, where they allow it; or as it
    was.
    """
    if stated.adversarial_basis == "told":
        return stated
    units = replace(stated, adversarial=code.losses[0]) if code is not None and code.losses else stated
    if code is not None and len(code.losses) == 1:
        return replace(units, adversarial_basis="format", levels=units.loss.has_levels)
    critic = replace(units, adversarial="wasserstein", adversarial_basis="measured", levels=False)
    if "d_adv" not in history:
        # No other loss falls below 0: BCE, least squares and hinge end there.
        if "critic_gap" in history or falls_below_zero(history, "d_loss", "d_loss_real", "d_loss_fake"):
            return critic
        if "d_loss" in history and _is_gap(history):
            return critic
    printed = Printed(units.discriminators, whole=whole)
    possible = list(code.losses if code is not None and code.losses else ("bce", "lsgan"))
    at_rest = _resting(history)
    if at_rest is not None and (at_rest in possible or code is None):
        return replace(units, adversarial=at_rest, adversarial_basis="measured", evidence={"rest": REST[at_rest]})
    if g_falls_below_zero(history) and ("hinge" in possible or code is None):
        # What is added to a term below 0 only raises it: so low a sum is no hinge beside this loss of D either.
        if (off_share(history, "hinge", printed._replace(whole=True)) or 0.0) > MOST_OFF:
            return critic
        return replace(units, adversarial="hinge", adversarial_basis="measured")
    scaled = code is not None and "adv" in code.configured  # by a weight that nobody knows
    allowed = possible if scaled else allowed_losses(history, possible, printed, others=code is None)
    if len(allowed) == 1 and len(possible) > 1:
        only: dict[str, float | int | str] = {"only": allowed[0]}
        return replace(units, adversarial=allowed[0], adversarial_basis="measured", evidence=only)
    return units if units.adversarial in allowed else replace(units, adversarial=allowed[0])


def allowed_losses(history: History, names: Sequence[str], printed: Printed, *, others: bool = False) -> list[str]:
    """Those of these losses that the figures do not contradict; all of them where nothing speaks against any.

    With `others`, hinge is looked at too where the figures contradict all; not where D's loss lies at the floor of all.
    """
    shares = {name: off_share(history, name, printed) for name in names}
    known = {name: share for name, share in shares.items() if share is not None}
    if is_weighed(history) or not any(share > MOST_OFF for share in known.values()):
        return list(names)
    if others and not _at_floor(history) and all(share > FEW_OFF for share in known.values()):
        known = {"hinge": off_share(history, "hinge", printed) or 0.0}
    allowed = [name for name, share in known.items() if share <= FEW_OFF]
    return allowed or list(names)


def _at_floor(history: History) -> bool:
    names = [name for name in ("d_loss", "d_loss_real", "d_loss_fake") if name in history]
    return all(float(np.median(history[name].values)) < FLOOR for name in names)


def _is_gap(history: History) -> bool:
    """Whether D's loss is the difference of its mean outputs, as a critic's is, whichever its sign."""
    names = ["d_logit_real", "d_logit_fake"]
    if any(name not in history for name in names):
        return False
    _, rows = history.aligned(["d_loss", *names])
    gap = np.abs(rows[names[0]] - rows[names[1]])
    near = np.abs(np.abs(rows["d_loss"]) - gap) <= 0.02 * gap + 0.1
    return bool(near.mean() >= 0.9)


def _resting(history: History) -> str | None:
    """Hinge or least squares, where D's loss has come to rest at the level at which those of BCE never stay."""
    if "d_loss" not in history or "d_adv" in history or history["d_loss"].count < 20:
        return None
    tail = curve(history["d_loss"]).tail()
    level, spread = float(np.median(tail)), float(np.ptp(tail))
    return next((name for name, at in REST.items() if abs(level - at) < 0.01 * at and spread < 0.02 * at), None)


def below_bce(history: History, units: Units) -> bool:
    """Whether G's adversarial loss contradicts BCE in most rows; never where it is another loss or not logged raw."""
    if units.adversarial != "bce" or "adv" not in history or is_weighed(history):
        return False
    _, rows = history.aligned([name for name in ("d_loss_real", "d_loss_fake", "d_loss", "adv") if name in history])
    off, _ = below_least(units.d_adv(rows), rows["adv"])
    return bool(off.mean() > MOST_OFF)
