"""The source document's last question: is this run worth training on?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from balancer.diagnose.finding import Case, Finding, Value
from balancer.diagnose.g_rules import PIXEL_TERMS
from balancer.diagnose.saturation import ROWS
from balancer.diagnose.trends import curve
from balancer.diagnose.units import g_terms

LOST = 1.5  # a reconstruction term that much above its best is no compromise any more
# Findings that by themselves make a run no patient.
MINOR = frozenset({"inconsistent_columns", "learning_rate", "saturated.passed", "oscillation"})


def verdict(case: Case, findings: Sequence[Finding]) -> Finding:
    """One finding named `verdict`, whose variant is the answer.

    `unknown` (too little was read), `healthy`, `watch`, `rescue` (yes: out of balance, but the structure
    holds), `doubtful` (the structure is being lost), `back` (go back to an earlier checkpoint).
    """
    keys = {finding.words for finding in findings}
    judged = [name for name in ("d_adv", "d_loss", "g_loss") if name in case.history]
    rows = max((case.history[name].count for name in judged), default=0)
    if "divergence.nan" in keys:
        broken = next(finding for finding in findings if finding.words == "divergence.nan")
        return _answer("back", {"step": broken.evidence["step"]}, "high")
    if rows < ROWS or not ("d_adv" in case.history or findings):
        return _answer("unknown", {"rows": rows, "needed": ROWS}, "low")
    if {"blow_up", "divergence.grows"} & keys:
        worst = next(finding for finding in findings if finding.words in ("blow_up", "divergence.grows"))
        return _answer("back", {"step": int((worst.steps or (0, 0))[0])}, "medium")
    lost = _lost(case)
    if lost is not None:
        return _answer("doubtful", lost, "medium")
    if not findings:
        return _answer("healthy", {}, "medium")
    if {"saturated.lasting", "starved"} & keys:
        held = _held(case)
        return _answer("rescue" if held is None else "rescue_held", held or {}, "medium")
    if {finding.words for finding in findings} <= MINOR or {finding.rule for finding in findings} <= MINOR:
        return _answer("healthy", {}, "low")
    return _answer("watch", {"count": len(findings)}, "medium")


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
