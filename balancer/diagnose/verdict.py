"""The source document's last question: is this run worth training on?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from balancer.diagnose.finding import Case, Finding, Value
from balancer.diagnose.saturation import ROWS
from balancer.diagnose.trends import curve
from balancer.diagnose.units import PIXEL_TERMS, g_terms

LOST = 1.5  # a pixel term that much above its best is no compromise any more
OUT_OF_REACH = 15.0  # of G's adversarial loss: logits of −15, from where no answer of G changes D's mind
# Findings that by themselves make a run no patient.
MINOR = frozenset({"inconsistent_columns", "saturated", "oscillation", "collapse.improving"})


def verdict(case: Case, findings: Sequence[Finding]) -> Finding:
    """One finding named `verdict`, whose variant is the answer.

    `unknown` (too little was read), `trends` (no level of D's loss is known, and no trend is bad), `healthy`, `minor`,
    `watch`, `rescue` and `rescue_held` (yes: out of balance, not broken), `doubtful` (the structure is being lost),
    `out_of_reach` (G cannot answer D any more), `back` (go back to an earlier checkpoint).
    """
    keys = {finding.words: finding for finding in findings}
    judged = [name for name in ("d_adv", "d_loss", "g_loss", *g_terms(case.history)) if name in case.history]
    rows = max((case.history[name].count for name in judged), default=0)
    broken = keys.get("divergence.nan")
    if broken is not None and broken.confidence == "high":
        return _answer("back", {"step": broken.evidence["step"]}, "high")
    if rows < ROWS or not judged:
        return _answer("unknown", {"rows": rows, "needed": ROWS}, "low")
    for key in ("blow_up", "divergence.grows"):
        if key in keys:
            return _answer("back", {"step": int((keys[key].steps or (0, 0))[0])}, "medium")
    lost = _lost(case)
    if lost is not None:
        return _answer("doubtful", lost, "medium")
    starved = keys.get("starved")
    if starved is not None and float(starved.evidence["median"]) > OUT_OF_REACH:
        return _answer("out_of_reach", {"adv": starved.evidence["median"]}, "medium")
    if {"saturated.lasting", "starved"} & keys.keys():
        held = _held(case)
        return _answer("rescue" if held is None else "rescue_held", held or {}, "medium" if held else "low")
    if not findings:
        return _answer(
            "healthy" if "d_adv" in case.history else "trends", {}, "medium" if "d_adv" in case.history else "low"
        )
    minor = all({finding.rule, finding.words} & MINOR for finding in findings) and "saturated.open" not in keys
    return _answer("minor" if minor else "watch", {"count": len(findings)}, "medium")


def _answer(variant: str, evidence: dict[str, Value], confidence: str) -> Finding:
    assert confidence in ("high", "medium", "low")
    return Finding("verdict", evidence, None, confidence, 100, variant)  # type: ignore[arg-type]


def _lost(case: Case) -> dict[str, Value] | None:
    """A term that compares pixels (or spectra) with the target and rose by half above its best."""
    for term in g_terms(case.history):
        if term in PIXEL_TERMS and case.history[term].count >= ROWS:
            values = curve(case.history[term]).smooth().values
            best, last = float(values.min()), float(np.median(values[-max(3, len(values) // 20) :]))
            if best > 0 and last > LOST * best:
                # Where it last was within a twentieth of its best.
                near = int(np.flatnonzero(values <= 1.05 * best)[-1])
                step = float(curve(case.history[term]).steps[near])
                return {"term": term, "best": best, "last": last, "step": int(step)}
    return None


def _held(case: Case) -> dict[str, Value] | None:
    """How far the steadiest reconstruction term is above its best: what says that the structure holds."""
    for term in ("l1", *sorted(PIXEL_TERMS)):
        if term in case.history and case.history[term].count >= ROWS:
            values = curve(case.history[term]).smooth().values
            best, last = float(values.min()), float(np.median(values[-max(3, len(values) // 20) :]))
            if best > 0:
                return {"term": term, "above": last / best - 1}
    return None
