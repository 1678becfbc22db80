"""The units of a zi2zi log: what d_loss adds up, which weights G's terms carry, in which of them they were logged."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, Literal

import numpy as np

from balancer.diagnosis import History, Series, Source, Units, g_terms, implied_adv, least_adv
from zi2zi_model.diagnosis.weights import DEFAULT, RAW_L1, find_weights

HALF_AT_CHANCE: Final = math.log(2.0)  # of one half of D's loss, in BCE
Reduction = Literal["mean", "sum", "unknown"]
# What d_loss adds up in the code that prints this format; "two-line" is not known to be either.
REDUCTIONS: Final[dict[str, Reduction]] = {"tf": "sum", "port": "sum", "fork": "mean", "later": "mean"}
# The logged category loss is that of real and generated images together, and d_loss holds half of it.
CATEGORY_IN_D: Final = 0.5


def zi2zi_units(history: History, source: Source, told: Units) -> Units | None:
    """The units of a zi2zi text log; None for anything else, such as our own runs.

    The history then holds raw terms (`in_raw_units`), learning rates from the lines on them, `d_adv` without the
    category loss where d_loss holds one, and `adv_share` where l1 and const cannot be told apart. Call it once on a
    history.
    """
    if source.kind != "log":
        return None
    units = _d_units(history, source, told)
    units = _g_units(history, source.format, units, told)
    in_raw_units(history, units)
    _rates(history, source)
    _d_adv(history, units)
    if units.evidence.get("g_by") == "inseparable":
        _adv_share(history)
    return units


def in_raw_units(history: History, units: Units) -> None:
    """Divide the terms that were logged weighted by their weights, in place."""
    for term in units.logged_weighted:
        weight = units.weights.get(term)
        if weight and weight != 1 and term in history:
            history.series[term] = history[term].scaled(1 / weight)


def _rates(history: History, source: Source) -> None:
    """`lr_d` and `lr_g` as the log's lines on their decay tell them, from its beginning on."""
    for name, network in (("lr_d", "D"), ("lr_g", "G")):
        facts = [fact for fact in source.facts_of("learning_rate") if fact.values.get("network") == network]
        if not facts or name in history:
            continue
        series = Series()
        series.append(history.first_step, float(facts[0].values["old"]))
        for fact in facts:
            series.append(max(fact.step, history.first_step), float(fact.values["new"]))
        history.series[name] = series


def _d_units(history: History, source: Source, told: Units) -> Units:
    holds = _holds_category(history, source, told)
    if told.d_basis == "told" or "d_loss" not in history:
        return replace(told, d_holds_category=holds, evidence={"d_by": "told" if told.d_basis == "told" else "nothing"})
    expected = REDUCTIONS.get(source.format, "unknown")
    units = replace(told, d_loss_kind=expected, d_basis="format", d_holds_category=holds)
    evidence: dict[str, float | int | str] = {"d_by": "format" if expected != "unknown" else "nothing"}
    start = _start(history, source, holds)
    ratio = start / HALF_AT_CHANCE if start is not None else 0.0
    if start is not None:
        evidence["start"] = start
    by_start = "sum" if 1.45 <= ratio <= 2.6 else "mean" if 0.6 <= ratio <= 1.25 else ""
    nearer = _nearer(history)
    if _no_sum(history):
        evidence["d_by"] = "adv"
        units = replace(units, d_loss_kind="mean", d_basis="measured")
    elif by_start and (expected == by_start or nearer == by_start):
        # Alone, a start near the other level would not outweigh the format: a new D may begin off chance.
        evidence["d_by"] = "start"
        units = replace(units, d_loss_kind="sum" if by_start == "sum" else "mean", d_basis="measured")
    elif expected == "unknown":
        units = replace(units, d_basis="assumed")
    evidence["d_format"] = expected
    return replace(units, d_scale=0.5 if units.d_loss_kind == "sum" else 1.0, evidence=evidence)


def _holds_category(history: History, source: Source, told: Units) -> bool | None:
    if told.d_holds_category is not None or source.format not in REDUCTIONS:
        return told.d_holds_category
    if "category" in history and "d_loss" in history:
        _, both = history.aligned(["d_loss", "category"])
        counts = both["category"] > 0.01
        if counts.sum() >= 3 and np.mean(both["d_loss"][counts] < 0.45 * both["category"][counts]) > 0.5:
            return False
    return True


def _start(history: History, source: Source, holds: bool | None) -> float | None:
    """d_loss of a new D, without its category part; None where the log begins later or leaves that part out."""
    d_loss = history["d_loss"]
    if holds and "category" not in history:
        # At chance it adds as much as a second half would.
        return None
    if source.facts_of("resumed") or float(d_loss.steps[0]) > 0 or d_loss.span > 8:
        return None
    start = float(d_loss.high[0])
    if holds and "category" in history:
        start -= CATEGORY_IN_D * float(history["category"].high[0])
    return start


def _no_sum(history: History) -> bool:
    """Whether, were d_loss a sum, G's adversarial loss would lie below what hard-label BCE allows."""
    if "adv" not in history or history["adv"].count < 5:
        return False
    _, both = history.aligned(["d_loss", "adv"])
    least = np.array([least_adv(value / 2) for value in both["d_loss"]])
    return bool(np.mean(both["adv"] < 0.9 * least - 0.05) > 0.5)


def _nearer(history: History) -> str:
    """As which kind d_loss goes better with G's adversarial loss, if D errs alike on both halves."""
    if "adv" not in history or history["adv"].count < 5:
        return ""
    _, both = history.aligned(["d_loss", "adv"])
    off = {
        kind: np.median([abs(adv - implied_adv(scale * d)) for d, adv in zip(both["d_loss"], both["adv"], strict=True)])
        for kind, scale in (("sum", 0.5), ("mean", 1.0))
    }
    return min(off, key=lambda kind: float(off[kind]))


def _g_units(history: History, form: str, units: Units, told: Units) -> Units:
    terms = g_terms(history)
    found = find_weights(history, form)
    evidence = {**units.evidence, "g_by": found.by, **{f"g_{name}": value for name, value in found.evidence.items()}}
    if found.pair:
        evidence["g_pair"] = found.pair
    told_weights = told.weights if told.weights_basis == "told" else {}
    known = {"adv": told_weights.get("adv", 1.0), "category": 1.0, "tv": 1.0}
    weights: dict[str, float | None] = {term: known.get(term) for term in terms}
    weighted = found.by == "weighted" or (found.by in ("unlogged", "nothing") and _looks_weighted(history))
    logged_weighted = tuple(term for term in ("l1", "const") if term in history) if weighted else ()
    units = replace(units, logged_weighted=logged_weighted, evidence=evidence)
    if told_weights:
        return replace(units, weights={**weights, **told_weights}, weights_basis="told")
    if weighted:
        # No figure tells them, only the code does; elsewhere the logged terms stay as they are.
        named = form in ("tf", "port")
        l1, const = DEFAULT if named else (1.0, 1.0)
        weights |= {term: value for term, value in (("l1", l1), ("const", const)) if term in history}
        return replace(units, weights=weights, weights_basis="format" if named else "measured")
    if found.by in ("pair", "fit"):
        return replace(
            units, weights={**weights, "l1": found.l1, "const": found.const, **found.others}, weights_basis="measured"
        )
    if found.by == "inseparable":
        return replace(units, weights=weights, weights_basis="measured")
    return replace(units, weights=dict.fromkeys(terms), weights_basis="assumed")


def _looks_weighted(history: History) -> bool:
    """Whether l1 is above what a raw one can be."""
    return "l1" in history and float(np.median(history["l1"].values)) > RAW_L1


def _d_adv(history: History, units: Units) -> None:
    """`d_adv` where the category loss has to be taken out of d_loss; otherwise it follows from the units."""
    if "d_adv" in history or not units.d_holds_category or "category" not in history or "d_loss" not in history:
        return
    if units.d_basis == "told" and units.d_floor:
        return
    if not (history["category"].high > 1e-3).any():
        return
    steps, both = history.aligned(["d_loss", "category"])
    binary = units.d_scale * (both["d_loss"] - CATEGORY_IN_D * both["category"])
    history.series["d_adv"] = Series.of(steps, np.maximum(binary, 0.0))


def _adv_share(history: History) -> None:
    """The adversarial term's share needs no weights: g_loss is the whole."""
    names = ["g_loss", "adv", *(["lambda_adv"] if "lambda_adv" in history else [])]
    steps, on_grid = history.aligned(names)
    part = on_grid["adv"] * on_grid.get("lambda_adv", np.ones(len(steps)))
    whole = on_grid["g_loss"]
    history.series["adv_share"] = Series.of(steps, np.divide(part, whole, out=np.zeros(len(steps)), where=whole > 0))
