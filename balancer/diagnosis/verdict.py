"""The source document's last question: is this run worth training on?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from balancer.diagnosis.finding import Case, Confidence, Figure, Finding
from balancer.diagnosis.noise import climb, needed
from balancer.diagnosis.saturation import ROWS
from balancer.diagnosis.trends import curve, logs
from balancer.diagnosis.units import PIXEL_TERMS, g_terms

LOST = 1.5  # a pixel term that much above its best is no longer a compromise
OUT_OF_REACH = 15.0  # of G's adversarial loss: logits of −15, from where no answer of G changes D's mind
FAR_OFF = 1.5  # times the highest that a loss was before, but for one row in a hundred
# Findings that by themselves endanger no run.
MINOR = frozenset({"inconsistent_columns", "saturated", "oscillation", "collapse.improving", "collapse.even"})


def verdict(case: Case, findings: Sequence[Finding]) -> Finding:
    """One finding named `verdict`, whose variant is the answer.

    `not_begun` (D is not trained yet), `unknown` (too little was read), `trends` (no level of D's loss is known, and no
    trend is bad), `no_levels` (the same, of a loss that has none), `healthy`, `minor`, `watch`, `rescue` and
    `rescue_held` (yes: out of balance, not broken), `doubtful` (the structure is being lost), `out_of_reach` (G can no
    longer answer D), `still` (nothing moves any more), `lost` (broken from the first row read), `back` (go back to an
    earlier checkpoint).
    """
    keys = {finding.words: finding for finding in findings}
    judged = [name for name in ("d_adv", "d_loss", "g_loss", *g_terms(case.history)) if name in case.history]
    rows = max((case.history[name].count for name in judged), default=0)
    broken = keys.get("divergence.nan")
    if broken is not None and broken.confidence == "high":
        return _answer("back", {"step": int(_before_it(case, float(broken.evidence["step"])))}, "high")
    begun = case.units.evidence.get("d_by") != "not_begun"
    if not begun and not findings:
        return _answer("not_begun", {}, "medium")
    if rows < ROWS or not judged:
        return _answer("unknown", {"rows": rows, "needed": ROWS}, "low")
    for key in ("blow_up", "divergence.grows"):
        if key in keys:
            return _answer("back", {"step": int(_damage(keys[key], findings))}, "medium")
    if "blow_up.always" in keys:
        return _answer("lost", {"step": int((keys["blow_up.always"].steps or (0, 0))[0])}, "high")
    if "still" in keys:
        return _answer("still", keys["still"].evidence, "high")
    pixels = _pixels(case)
    for one in pixels:
        if one["lost"]:
            return _answer("doubtful", one, "medium")
    starved = keys.get("starved")
    if starved is not None and float(starved.evidence["median"]) > OUT_OF_REACH:
        return _answer("out_of_reach", {"adv": starved.evidence["median"]}, "medium")
    if {"saturated.lasting", "starved"} & keys.keys():
        if not pixels:
            return _answer("rescue", {}, "low")
        # What says that the structure holds.
        return _answer("rescue_held", {"term": pixels[0]["term"], "above": pixels[0]["above"]}, "medium")
    if not findings:
        if "d_adv" in case.history:
            return _answer("healthy", {}, "medium")
        return _answer("trends" if case.units.loss.has_levels else "no_levels", {"loss": case.units.adversarial}, "low")
    minor = all({finding.rule, finding.words} & MINOR for finding in findings) and "saturated.open" not in keys
    return _answer("minor" if minor else "watch", {"count": len(findings)}, "medium")


def _before_it(case: Case, step: float) -> float:
    """The step from which on a loss lay far above all that it had been, up to the one at which a loss was no number."""
    began = step
    for name in ("d_loss", "d_loss_real", "d_loss_fake", "g_loss", *g_terms(case.history)):
        if name not in case.history or case.history[name].count < ROWS:
            continue
        before = case.history[name].steps < step
        values = np.abs(case.history[name].high[before])
        usual = float(np.percentile(values[: 3 * len(values) // 4 + 1], 99)) if len(values) else 0.0
        far = np.flatnonzero(values <= FAR_OFF * usual)
        if usual > 0 and len(far) and far[-1] < len(values) - 1:
            began = min(began, float(case.history[name].steps[before][far[-1] + 1]))
    return began


def _damage(broken: Finding, findings: Sequence[Finding]) -> float:
    """The step before which all was well: a D that had won before it blew up is no place to go back to."""
    first = (broken.steps or (0.0, 0.0))[0]
    won = [one.steps[0] for one in findings if one.words == "saturated.led" and one.steps and one.steps[0] <= first]
    return min([first, *won])


def _answer(variant: str, evidence: Mapping[str, Figure], confidence: Confidence) -> Finding:
    return Finding("verdict", evidence, None, confidence, 100, variant)


def _pixels(case: Case) -> list[dict[str, Any]]:
    """Each term that compares pixels (or spectra) with the target, L1 first: its best, its last level, how far above.

    The best is the lowest mean of a tenth of the log, `step` where it was; `lost` says whether the term has risen since
    as noise does not.
    """
    found = []
    for term in sorted(PIXEL_TERMS, key=lambda term: (term != "l1", term)):
        if term not in case.history or case.history[term].count < ROWS:
            continue
        whole = curve(case.history[term])
        width = max(len(whole) // 10, 2)
        means = np.convolve(whole.values, np.full(width, 1 / width), mode="valid")
        at, last = int(np.argmin(means)), float(np.median(whole.tail(20, least=width)))
        best = float(means[at])
        if best > 0:
            # The lowest place was looked for: from there noise rises more than from any other.
            lost = last > LOST * best and climb(logs(whole.values[at:])) >= 1.8 * needed(len(whole) - at)
            step = int(whole.steps[at + width - 1])
            found.append(
                {"term": term, "best": best, "last": last, "above": last / best - 1, "step": step, "lost": lost}
            )
    return found
