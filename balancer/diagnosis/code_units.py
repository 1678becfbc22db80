"""The units of a log whose training code is known: what its table says, where the user says nothing else."""

from __future__ import annotations

from dataclasses import replace

from balancer.diagnosis.units import Basis, Units, g_terms
from balancer.reading.codes import Code
from balancer.reading.history import History


def code_units(history: History, stated: Units, code: Code) -> Units:
    """What its table says before the loss is looked for; the history then holds raw terms and raw halves of D."""
    for half in ("d_loss_real", "d_loss_fake"):
        if code.d_weight != 1 and half in history:
            history.series[half] = history[half].scaled(1 / code.d_weight)
    count = code.discriminators if stated.discriminators == 1 else stated.discriminators
    units = replace(stated, discriminators=count, healthy_range=code.healthy, healthy_by=code.healthy_source)
    return _g_units(history, units, code)


def _g_units(history: History, units: Units, code: Code) -> Units:
    """The weights of G's terms; those that are printed multiplied become raw in the history."""
    terms = g_terms(history)
    told = units.weights if units.weights_basis == "told" else {}
    if not (code.weighted or code.weights or code.configured):
        return units
    known = {**code.weighted, **dict.fromkeys(code.configured, 1.0), **told}
    multiplied = [term for term in terms if term in {**code.weighted, **dict.fromkeys(code.configured)}]
    for term in multiplied:
        if (weight := known[term]) and weight != 1:
            history.series[term] = history[term].scaled(1 / weight)
    weights = {term: known.get(term, code.weights.get(term)) for term in terms}
    basis: Basis = "told" if told else "format"
    return replace(units, weights=weights, weights_basis=basis, logged_weighted=tuple(multiplied))


def code_d_units(history: History, units: Units, code: Code) -> Units:
    """What d_loss adds up; nothing of it where the table does not say it, or the figures are not of its kind."""
    if not code.levels:
        return replace(units, levels=False, d_basis="format", evidence={"d_by": "code_no_levels"})
    if code.category_inside and "d_loss" in history:
        return replace(units, levels=False, d_basis="format", evidence={"d_by": "category_inside"})
    whole = "d_loss" in history and not {"d_loss_real", "d_loss_fake"} <= history.series.keys()
    if code.d_loss == "unknown" or not whole or not units.loss.has_levels or "d_adv" in history:
        return units
    if float(history["d_loss"].low.min()) < -1e-9:
        return units
    read = units.reading_d_loss(code.d_loss)
    scale, floor = read.d_scale / code.d_weight, read.d_floor * code.d_weight
    return replace(read, d_scale=scale, d_floor=floor, d_basis="format", evidence={"d_by": "code"})
