"""In which units a log's losses stand: what d_loss adds up, which weights G's terms carry, and how that is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from balancer.adversarial import LOSSES, AdversarialName
from balancer.diagnose.history import History, Series
from balancer.diagnose.source import Source
from balancer.diagnose.trends import curve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# How sure: told by the user or the run's config, by the log's format, measured in the figures, or assumed.
Basis = Literal["told", "format", "measured", "assumed"]
CHANCE: Final = math.log(2.0)
# Names in a history that are no term of G's loss.
NO_TERMS: Final = {"epoch", "g_loss", "lr", "real_label", "fake_label", "adv_effective"}


@dataclass(frozen=True)
class Units:
    """What turns logged losses into the project's signals.

    `d_adv` = `d_scale` × (`d_loss` − `d_floor`) where D's loss alone is logged; `d_loss_kind` says what it
    adds up. G's terms in a history are raw (unweighted); `weights` holds what each weighs in G's loss, by
    term (`adv`, `l1`, …), or None for a term whose weight is not known; a `lambda_<term>` series in the
    history goes before it. `logged_weighted` are terms that the log printed weighted already. `levels` is
    False where D's loss has no fixed scale (Wasserstein), so that only trends can be judged.
    """

    adversarial: AdversarialName = "bce"
    d_loss_kind: Literal["mean", "sum", "unknown"] = "unknown"
    d_scale: float = 1.0
    d_floor: float = 0.0
    d_basis: Basis = "assumed"
    d_holds_category: bool | None = None
    weights: Mapping[str, float | None] = field(default_factory=dict)
    weights_basis: Basis = "assumed"
    logged_weighted: tuple[str, ...] = ()
    levels: bool = True
    # What the evidence was, as figures for the words.
    evidence: Mapping[str, float | int | str] = field(default_factory=dict)

    def halves(self, real: float | Floats, fake: float | Floats) -> Any:
        """`d_adv` of D's losses on real and on generated images."""
        loss = LOSSES[self.adversarial]
        return CHANCE * ((real + fake) / 2 - loss.floor) / (loss.chance - loss.floor)


def g_terms(history: History) -> list[str]:
    """The terms of G's loss that a history holds, `adv` first."""
    names = [
        name
        for name in history
        if name in history
        and name not in NO_TERMS
        and not name.startswith(("d_", "lambda_", "lr_"))
        and not name.endswith("_share")
    ]
    return sorted(names, key=lambda name: (name != "adv", name))


def worked_out(history: History, source: Source, told: Units) -> Units:
    """The units of a log whose family says nothing of its own, from what the user told and from the figures."""
    units = told
    if source.kind == "run":
        return replace(_run_units(history, source, told), d_basis="told", weights_basis="told")
    if told.d_basis != "told":
        units = _d_loss_units(history, units)
    if told.weights_basis != "told":
        units = _g_units(history, units)
    return units


def derive(history: History, units: Units) -> None:
    """Add `d_adv` to a history that lacks it, and each term's share of G's loss where its weights are known."""
    if "d_adv" not in history and units.levels:
        made = _d_adv(history, units)
        if made is not None:
            history.series["d_adv"] = made
    terms = g_terms(history)
    weighted = {}
    for term in terms:
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
        history.series[f"{term}_share"] = _series(steps, share)


def least_adv(d_adv: float) -> float:
    """The lowest adversarial loss of G that hard-label BCE allows where D's mean loss is `d_adv`: −ln(1 − e^−2d)."""
    return -math.log(-math.expm1(-2 * max(d_adv, 1e-12)))


def implied_adv(d_adv: float) -> float:
    """G's adversarial loss where D errs alike on real and generated images: −ln(1 − e^−d)."""
    return -math.log(-math.expm1(-max(d_adv, 1e-12)))


def _run_units(history: History, source: Source, told: Units) -> Units:
    weights: dict[str, float | None] = dict.fromkeys(g_terms(history), None)
    config = source.config or {}
    for term in weights:
        table = config.get("train" if term == "adv" else "model", {})
        value = table.get(f"lambda_{term}")
        weights[term] = float(value) if isinstance(value, int | float) else None
    loss = config.get("model", {}).get("adversarial", told.adversarial)
    return replace(
        told, adversarial=loss if loss in LOSSES else told.adversarial, d_loss_kind="mean", weights={**weights}
    )


def _d_loss_units(history: History, units: Units) -> Units:
    """Sum or mean of the halves, from the level a new D begins at and from what G's adversarial loss allows."""
    loss = LOSSES[units.adversarial]
    scale = CHANCE / (loss.chance - loss.floor)
    units = replace(units, d_scale=scale, d_floor=loss.floor)
    if "d_adv" in history:
        return replace(units, d_loss_kind="mean", d_basis="measured")
    if "d_loss_real" in history and "d_loss_fake" in history:
        return replace(units, d_loss_kind="mean", d_basis="measured", evidence={"d_by": "halves"})
    if "d_loss" not in history:
        return units
    d_loss = history["d_loss"]
    if min(d_loss.low) < -1e-9:
        return replace(units, levels=False, evidence={"d_by": "negative", "lowest": float(min(d_loss.low))})
    early = curve(d_loss).values
    start = float(np.median(early[: max(3, len(early) // 50)]))
    relative = (start - loss.floor) / (loss.chance - loss.floor)
    # A new D is at chance; a log that begins later tells nothing by its first rows.
    if history.first_step <= 0.02 * max(history.last_step, 1) + 1:
        if 1.6 <= relative <= 2.6:
            made = replace(units, d_loss_kind="sum", d_scale=scale / 2, d_floor=2 * loss.floor, d_basis="measured")
            return replace(made, evidence={"d_by": "start", "start": start})
        if 0.75 <= relative <= 1.25:
            made = replace(units, d_loss_kind="mean", d_basis="measured")
            return replace(made, evidence={"d_by": "start", "start": start})
    if units.adversarial == "bce" and "adv" in history:
        _, both = history.aligned(["d_loss", "adv"])
        as_sum = np.array([least_adv(value / 2) for value in both["d_loss"]])
        # Halved, it would leave G's loss below its minimum nearly always: so it is a mean already.
        if np.mean(both["adv"] < 0.95 * as_sum) > 0.5:
            return replace(units, d_loss_kind="mean", d_basis="measured", evidence={"d_by": "adv"})
    return replace(units, evidence={"d_by": "nothing"})


def _g_units(history: History, units: Units) -> Units:
    """Weights of G's terms: those for which their sum is g_loss; where it is not logged, none is known."""
    known: dict[str, float | None] = dict.fromkeys(g_terms(history), None) | dict(units.weights)
    units = replace(units, weights=known)
    # A term that is 0 throughout, such as the category loss of one style, may weigh anything.
    terms = [term for term in known if term in history and history[term].high.max() > 0]
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
        return replace(
            units,
            weights={**dict.fromkeys(known, 1.0), **fitted},
            weights_basis="measured",
            evidence={**units.evidence, "g_by": "fit"},
        )
    return units


def _fits(made: np.ndarray, total: np.ndarray) -> bool:
    """Whether a sum of terms is G's loss, but for what rounding leaves."""
    return bool(np.median(np.abs(made - total)) <= 0.005 * np.median(np.abs(total)) + 1e-6)


def _d_adv(history: History, units: Units) -> Series | None:
    if "d_loss_real" in history and "d_loss_fake" in history:
        steps, halves = history.aligned(["d_loss_real", "d_loss_fake"])
        return _series(steps, units.halves(halves["d_loss_real"], halves["d_loss_fake"]))
    if "d_loss" not in history:
        return None
    if units.d_floor == 0:
        return history["d_loss"].scaled(units.d_scale)
    steps, values = history["d_loss"].steps, history["d_loss"].values
    return _series(steps, units.d_scale * (values - units.d_floor))


def _series(steps: np.ndarray, values: np.ndarray) -> Series:
    made = Series()
    made.extend(np.asarray(steps, dtype=float), np.asarray(values, dtype=float))
    return made
