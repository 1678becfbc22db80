"""The units of a log whose family says nothing of its own, inferred from what the user stated and from the figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from balancer.contract.levels import CHANCE
from balancer.contract.losses import find_loss
from balancer.diagnosis.code_units import code_d_units, code_units
from balancer.diagnosis.contradictions import contradicts, d_cost, outputs_as_they_are, printed_by
from balancer.diagnosis.d_begins import NEVER, drop_untrained, from_the_start
from balancer.diagnosis.trends import curve
from balancer.diagnosis.units import Units, g_terms, implied_by
from balancer.diagnosis.which_loss import below_bce, loss_of
from balancer.errors import ConfigError
from balancer.reading.history import History
from balancer.reading.source import Source

if TYPE_CHECKING:
    from balancer.reading.series import Floats

# Of what D's loss is at chance: a new D lies within it; the halves of a sum make twice as much.
NEW_MEAN: Final = (0.75, 1.25)
NEW_SUM: Final = (1.6, 2.6)
# No single D stays above that for long: its bias alone would bring it down to chance.
STEADY: Final = 1.15


def stated_units(
    adversarial: str | None, d_loss: str | None, weights: Mapping[str, float], discriminators: int = 1
) -> Units:
    """What the user states of a log's units.

    Raises:
        ConfigError: an unknown adversarial loss or kind of d_loss, or a weight that is not a number of at least 0.
    """
    units = Units(discriminators=discriminators)
    if adversarial is not None:
        loss = find_loss(adversarial, "--adversarial")
        units = replace(units, adversarial=loss.name, adversarial_basis="told", levels=loss.has_levels)
    if d_loss is not None:
        if d_loss not in ("mean", "sum"):
            raise ConfigError(f"--d-loss {d_loss}: is mean or sum, of its real and its fake half")
        units = replace(units.reading_d_loss("sum" if d_loss == "sum" else "mean"), d_basis="told")
    for term, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ConfigError(f"--weight {term}={weight:g}: expected a number of at least 0")
    if weights:
        units = replace(units, weights=dict(weights), weights_basis="told")
    return units


def infer_units(history: History, source: Source, stated: Units) -> Units:
    """The units of a log; where D begins to train later than the log, the history loses what lies before.

    The source loses its code where the figures contradict that.
    """
    if source.kind == "run":
        return _run_units(history, source, stated)
    began = drop_untrained(history, source)
    code = source.code
    if code is not None and source.codes and contradicts(history, code):
        source.code, source.not_code, code = None, code, None
    outputs_as_they_are(history)
    if code is not None:
        stated = code_units(history, stated, code)
    if began == NEVER:
        units = replace(stated, levels=False, d_basis="measured", evidence={"d_by": "not_begun"})
        return units if units.weights_basis in ("told", "format") else _g_units(history, units)
    kin = source.code or source.not_code
    units = loss_of(history, stated, code, whole=kin is not None and printed_by(kin).whole)
    known_by = units.evidence
    if code is not None and units.d_basis != "told":
        units = code_d_units(history, units, code)
    if units.d_basis not in ("told", "format"):
        units = _d_units(history, units, began)
    units = _check_levels(history, units)
    units = replace(units, evidence={**known_by, **units.evidence})
    if began is not None:
        units = replace(units, evidence={**units.evidence, "began": began})
    return units if stated.weights_basis in ("told", "format") else _g_units(history, units)


def _run_units(history: History, source: Source, stated: Units) -> Units:
    weights: dict[str, float | None] = dict.fromkeys(g_terms(history), None)
    config = source.config or {}
    for term in weights:
        table = config.get("train" if term == "adv" else "model", {})
        value = table.get(f"lambda_{term}")
        weights[term] = float(value) if isinstance(value, int | float) else None
    units = replace(stated, d_loss_kind="mean", weights=weights, d_basis="told", weights_basis="told")
    if source.loss is None:
        return units
    return replace(units, adversarial=source.loss.name, recorded=source.loss, levels=source.loss.has_levels)


def _won_of_several(history: History, units: Units) -> Units | None:
    """Least squares of several discriminators that have won: D's halves at 0, and G's loss at 1 for each."""
    adv = float(np.median(curve(history["adv"]).tail()))
    count = round(adv)
    names = [name for name in ("d_loss_real", "d_loss_fake", "d_loss") if name in history]
    at_floor = all(float(np.median(curve(history[name]).tail())) < 0.02 * max(count, 1) for name in names)
    if not at_floor or count < 1 or abs(adv - count) > 0.1 * count:
        return None
    read = replace(units, adversarial="lsgan", adversarial_basis="measured", discriminators=count)
    return replace(
        read.reading_d_loss("mean"), d_basis="measured", evidence={"d_by": "won_lsgan", "count": count, "adv": adv}
    )


def _d_units(history: History, units: Units, began: float | None) -> Units:
    """Sum or mean of the halves: from probabilities, from the level of a new D, from what G's loss allows."""
    loss = units.loss
    lowest = float(history["d_loss"].low.min()) if "d_loss" in history else 0.0
    if lowest < -1e-9 and (loss.has_levels or units.adversarial_basis != "told"):
        return replace(units, levels=False, evidence={"d_by": "negative", "lowest": lowest})
    if not loss.has_levels:
        return replace(units, levels=False, evidence={"d_by": "no_levels", "loss": loss.name})
    units = replace(units.reading_d_loss("mean"), d_loss_kind="unknown")
    if "d_adv" in history:
        return replace(units, d_loss_kind="mean", d_basis="measured")
    if "d_loss_real" in history and "d_loss_fake" in history:
        if units.adversarial_basis == "assumed" and below_bce(history, units):
            return _won_of_several(history, units) or replace(units, levels=False, evidence={"d_by": "not_bce"})
        return replace(units, d_loss_kind="mean", d_basis="measured", evidence={"d_by": "halves"})
    if (found := implied_by(history, units)) is not None:
        return replace(units, d_loss_kind="mean", d_basis="measured", evidence={"d_by": f"{found}s_alone"})
    if "d_loss" not in history:
        return units
    kind = _by_outputs(history, units)
    if kind is not None:
        return replace(units.reading_d_loss(kind), d_basis="measured", evidence={"d_by": f"probabilities_{kind}"})
    early = curve(history["d_loss"]).values
    start = float(np.median(early[: max(3, len(early) // 50)])) / units.discriminators
    relative = (start - loss.floor) / (loss.chance - loss.floor)
    # A new D is at chance, but for one of least squares, which may begin with any outputs; a log that begins later says
    # nothing by its first rows.
    if loss.name != "lsgan" and (began is not None or from_the_start(history)):
        for new, (low, high) in (("mean", NEW_MEAN), ("sum", NEW_SUM)):
            if low <= relative <= high:
                read = units.reading_d_loss("sum" if new == "sum" else "mean")
                at = loss.chance * (2 if new == "sum" else 1)
                return replace(read, d_basis="measured", evidence={"d_by": f"start_{new}", "start": start, "at": at})
    if units.discriminators == 1:
        below = {name: below_bce(history, units.reading_d_loss(name)) for name in ("mean", "sum")}
        if below["mean"] and units.adversarial_basis != "told":
            return _won_of_several(history, units) or replace(units, levels=False, evidence={"d_by": "not_bce"})
        # Halved, it would leave G's loss below its minimum nearly always: so it is a mean already.
        if below["sum"] and not below["mean"]:
            return replace(units.reading_d_loss("mean"), d_basis="measured", evidence={"d_by": "adv"})
    return replace(units, evidence={"d_by": "nothing"})


def _by_outputs(history: History, units: Units) -> Literal["mean", "sum"] | None:
    """From D's mean outputs, such as D(x) and D(G(z)) of the DCGAN tutorial: what they cost, but for their spread."""
    found = d_cost(history, units.adversarial, "d_loss")
    if found is None or units.discriminators > 1:
        return None
    ratio = float(np.median(found[0] / np.maximum(found[1], 1e-6)))
    # The mean of the losses is larger than the loss of the mean, so a sum lies at 1 or above, a mean at a half.
    return "sum" if ratio >= 0.85 else "mean" if 0.4 <= ratio <= 0.75 else None


def _check_levels(history: History, units: Units) -> Units:
    """Levels that no single D keeps show that the scale is another: a sum, several discriminators, another loss."""
    # Probabilities beside it say how it is to be read, however high it is.
    if not units.levels or "d_adv" in history or str(units.evidence.get("d_by", "")).startswith("probabilities"):
        return units
    if units.d_basis == "format" and units.discriminators == 1:
        return units  # so its code prints it: a D that has broken down stays as high as it likes
    names = [name for name in ("d_loss_real", "d_loss_fake", "d_loss") if name in history]
    if not names:
        return units
    _, rows = history.aligned(names)
    d_adv = units.d_adv(rows)
    if d_adv is None or len(d_adv) < 5:
        return units
    if NEW_MEAN[0] <= float(np.median(d_adv[:3])) / CHANCE <= NEW_MEAN[1] and from_the_start(history):
        return units  # its scale is right: a new D guesses; what rises from there has blown up
    early = float(np.median(d_adv[: max(3, len(d_adv) // 4)])) / CHANCE
    level = float(np.median(d_adv)) / CHANCE
    if min(early, level) <= STEADY:
        return units
    if units.d_loss_kind == "unknown" and min(early, level) > STEADY and max(early, level) <= 2 * STEADY:
        return replace(units.reading_d_loss("sum"), evidence={"d_by": "above_chance"})
    return replace(units, levels=False, evidence={"d_by": "too_high", "times": level})


def _g_units(history: History, units: Units) -> Units:
    """Weights of G's terms: those for which their sum is g_loss; where it is not logged, none is known."""
    known: dict[str, float | None] = dict.fromkeys(g_terms(history), None) | dict(units.weights)
    units = replace(units, weights=known)
    # A term that is 0 throughout, such as the category loss of one style, may weigh anything.
    terms = [term for term in known if term in history and np.abs(history[term].values).max() > 0]
    if "g_loss" not in history or len(terms) < 2:
        return units
    steps, on_grid = history.aligned(["g_loss", *terms])
    if len(steps) < 3 * len(terms):
        return units
    total = on_grid["g_loss"]
    table = np.stack([on_grid[term] for term in terms], axis=1)
    if _fits(table.sum(axis=1), total):
        ones: dict[str, float | None] = dict.fromkeys(known, 1.0)
        return replace(units, weights=ones, weights_basis="measured", logged_weighted=tuple(terms))
    scale = np.abs(table).mean(axis=0)
    solution, _, rank, _ = np.linalg.lstsq(table / scale, total, rcond=1e-3)
    found = solution / scale
    if rank == len(terms) and (found >= 0).all() and _fits(table @ found, total):
        fitted = {term: float(f"{value:.4g}") for term, value in zip(terms, found, strict=True)}
        return replace(units, weights={**dict.fromkeys(known, 1.0), **fitted}, weights_basis="measured")
    return units


def _fits(fitted: Floats, total: Floats) -> bool:
    """Whether a sum of terms is G's loss but for what rounding leaves: not only its level, its every move."""
    off = np.abs(fitted - total)
    # A few rows may be off, where G's terms and their sum were logged a step apart.
    moves = float(np.percentile(total, 90) - np.percentile(total, 10))
    return bool(np.percentile(off, 90) <= 0.005 * moves + 2e-4 * float(np.median(np.abs(total))) + 1e-6)
