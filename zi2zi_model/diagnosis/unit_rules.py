"""How a zi2zi log's losses were read, with the evidence: what d_loss adds up, which weights l1 and const carry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from balancer.diagnosis import Case, Confidence, Finding, curve, rule
from zi2zi_model.diagnosis.units import CATEGORY_IN_D, HALF_AT_CHANCE
from zi2zi_model.diagnosis.weights import KNOWN

# The source document takes the class defaults for granted (docs/source-document.md).
ASSUMED: Final = "100/15"
_VARIANTS: Final = {"100/15": "fit_100_15", "90/5": "fit_90_5", "97/15": "fit_97_15"}


@rule("units")
def _units(case: Case) -> Iterator[Finding]:
    if case.source.kind != "log":
        return
    if "d_loss" in case.history:
        yield _d_loss(case)
        if case.units.d_holds_category and case.units.d_basis != "told":
            if "category" not in case.history:
                yield _remark("category_unlogged", {"format": case.source.format}, "medium")
            elif (case.history["category"].high > 1e-3).any():
                yield _remark("category_inside", {"part": CATEGORY_IN_D}, "high")
    yield from _g_loss(case)


def _d_loss(case: Case) -> Finding:
    by, kind, evidence = case.units.evidence.get("d_by"), case.units.d_loss_kind, case.units.evidence
    chance = HALF_AT_CHANCE * (2 if kind == "sum" else 1)
    figures: dict[str, float | str] = {
        "chance": chance,
        "start": evidence.get("start", 0.0),
        "format": case.source.format,
    }
    if by == "told":
        return _remark(f"d_told_{kind}", figures, "high")
    if by == "adv":
        return _remark("d_mean_adv", figures, "high")
    if by == "start":
        return _remark(f"d_{kind}_start", figures, "high" if evidence.get("d_format") == kind else "medium")
    if by == "format" and kind != "unknown":
        return _remark(f"d_{kind}_format", figures, "medium")
    return _remark("d_unknown", figures, "low")


def _g_loss(case: Case) -> Iterator[Finding]:
    units, evidence = case.units, case.units.evidence
    by = str(evidence.get("g_by", ""))
    weights = {term: units.weights.get(term) or 0.0 for term in ("l1", "const")}
    if "l1" not in case.history and "const" not in case.history:
        return
    figures: dict[str, float | str] = {
        **weights,
        "fitting": evidence.get("g_fitting", 0.0),
        "rest": evidence.get("g_residual", 0.0),
    }
    if units.logged_weighted:
        sure: Confidence = "high" if by == "weighted" else "medium"
        named = units.weights_basis in ("format", "told")
        yield _remark("g_weighted" if named else "g_weighted_unknown", figures, sure)
    elif units.weights_basis == "told":
        yield _remark("g_told", figures, "high")
    elif by == "pair":
        yield _remark("g_raw", figures, "high")
    elif by == "fit":
        figures |= {name: evidence.get(f"g_{name}", 0.0) for name in ("l1_error", "const_error")}
        yield _remark("g_fit", figures, "medium")
    elif by in ("inseparable", "unlogged", "nothing"):
        yield _remark(f"g_{by}", figures, "low")


@rule("weights_fit")
def _weights_fit(case: Case) -> Iterator[Finding]:
    """Which known weights the logged sums fit, and what those that the document takes for granted would give."""
    pair = str(case.units.evidence.get("g_pair", ""))
    if pair not in _VARIANTS:
        return
    l1, const, adv = (curve(case.history[name]).values for name in ("l1", "const", "adv"))
    if "lambda_adv" in case.history:
        trusts = curve(case.history["lambda_adv"]).values
        pulls = adv[0] * trusts[0], adv[-1] * trusts[-1]
    else:
        pulls = adv[0], adv[-1]
    ends = {
        name: [weights[0] * l1[at] + weights[1] * const[at] + pull for at, pull in ((0, pulls[0]), (-1, pulls[1]))]
        for name, weights in KNOWN.items()
    }
    logged = curve(case.history["g_loss"]).values
    evidence: dict[str, float | str] = {
        "g_first": float(logged[0]),
        "g_last": float(logged[-1]),
        "made_first": float(ends[pair][0]),
        "made_last": float(ends[pair][1]),
        "assumed_first": float(ends[ASSUMED][0]),
        "assumed_last": float(ends[ASSUMED][1]),
        "share_first": float(pulls[0] / ends[pair][0]),
        "share_last": float(pulls[1] / ends[pair][1]),
    }
    span = (case.history.first_step, case.history.last_step)
    yield Finding("weights_fit", evidence, span, "high", variant=_VARIANTS[pair], remark=True)


def _remark(variant: str, evidence: dict[str, float | str], confidence: Confidence) -> Finding:
    return Finding("units", evidence, None, confidence, variant=variant, remark=True)


RULES: Final = (_units, _weights_fit)
