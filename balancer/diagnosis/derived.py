"""Signals that follow from the logged ones, once the units are known: d_adv, and each term's share of G's loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from balancer.diagnosis.loss_bounds import BOUNDS, as_logits
from balancer.diagnosis.units import Units, g_terms, implied_by
from balancer.reading.history import History
from balancer.reading.series import Series

if TYPE_CHECKING:
    from balancer.reading.series import Floats


def derive(history: History, units: Units) -> None:
    """Add `d_adv` to a history that lacks it, and each term's share of G's loss where its weights are known."""
    if "d_adv" not in history and units.levels:
        d_adv = _d_adv(history, units)
        if d_adv is not None:
            history.series["d_adv"] = d_adv
    weighted: dict[str, tuple[Floats, Floats]] = {}
    for term in g_terms(history):
        weight = f"lambda_{term}"
        if weight in history:
            steps, both = history.aligned([term, weight])
            weighted[term] = steps, both[term] * both[weight]
        elif (fixed := units.weights.get(term)) is not None:
            steps, one = history.aligned([term])
            weighted[term] = steps, one[term] * fixed
        elif units.weights_basis != "assumed":
            return
    if len(weighted) < 2 or any(f"{term}_share" in history for term in weighted):
        return
    steps = min((steps for steps, _ in weighted.values()), key=len)
    on_grid = {term: np.abs(np.interp(steps, at, values)) for term, (at, values) in weighted.items()}
    total = np.sum(list(on_grid.values()), axis=0)
    for term, values in on_grid.items():
        share = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
        history.series[f"{term}_share"] = Series.of(steps, share)


def _d_adv(history: History, units: Units) -> Series | None:
    if "d_loss_real" in history and "d_loss_fake" in history:
        steps, halves = history.aligned(["d_loss_real", "d_loss_fake"])
        return Series.of(steps, units.d_adv(halves))
    if "d_loss" not in history:
        return _implied(history, units)
    if units.d_floor == 0:
        return history["d_loss"].scaled(units.d_scale)
    return Series.of(history["d_loss"].steps, units.d_adv({"d_loss": history["d_loss"].values}))


def _implied(history: History, units: Units) -> Series | None:
    """What D's mean outputs on real and on generated images make of its loss, where they are all that is logged.

    The mean of the losses is no lower than the loss of the means, since it is convex.
    """
    found = implied_by(history, units)
    if found is None:
        return None
    steps, both = history.aligned([f"d_{found}_real", f"d_{found}_fake"])
    logits = as_logits(units.adversarial, both[f"d_{found}_real"], both[f"d_{found}_fake"], found == "prob")
    assert logits is not None, "implied_by asks for what is known of this loss"
    return Series.of(steps, units.loss.scaled(BOUNDS[units.adversarial].d_least(*logits) / 2))
