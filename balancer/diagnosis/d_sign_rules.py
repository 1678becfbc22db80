"""What D's other figures show: its accuracy where its loss has no level, the sign of its outputs, its penalty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from balancer.diagnosis.finding import Case, Figure, Finding, rule
from balancer.diagnosis.saturation import ROWS, above_since, span
from balancer.diagnosis.trends import curve, trend

SURE: Final = 0.98  # of all images told right
# Of the mean sign of D's outputs on training images, 0 without overfitting and 1 where it is complete: Karras et al.
# 2020 (arXiv:2006.06676), whose augmentation holds it at 0.6.
OVERFIT: Final = 0.85
FAR: Final = 10.0  # times the usual penalty


@rule("accurate", rows=ROWS)
def _accurate(case: Case) -> Iterator[Finding]:
    """D tells nearly every image right, where only its accuracy says so."""
    names = ["d_acc"] if "d_acc" in case.history else ["d_acc_real", "d_acc_fake"]
    if "d_adv" in case.history or any(name not in case.history for name in names):
        return
    series = [curve(case.history[name]) for name in names]
    if min(len(one) for one in series) < ROWS:
        return
    level = min(float(np.median(one.tail())) for one in series)
    since = max(above_since(one.smooth(), SURE) for one in series)
    if level >= SURE and since <= series[0].end - 0.2 * (series[0].end - float(series[0].steps[0])):
        evidence: dict[str, Figure] = {"level": level}
        yield Finding("accurate", evidence, (since, series[0].end), "medium", 75, "", WEAKEN)


@rule("overfitting", needs=["d_sign_real"], rows=ROWS)
def _overfitting(case: Case) -> Iterator[Finding]:
    """D calls nearly all training images real by a wide margin: it knows them by heart."""
    whole = curve(case.history["d_sign_real"])
    level = float(np.median(whole.tail()))
    if level < OVERFIT:
        return
    evidence: dict[str, Figure] = {"level": level, "above": OVERFIT}
    since = above_since(whole.smooth(), OVERFIT)
    yield Finding("overfitting", evidence, (min(since, whole.end), whole.end), "medium", 78, "", MORE_DATA)


@rule("penalty", needs=["d_gp"], rows=ROWS)
def _penalty(case: Case) -> Iterator[Finding]:
    """D's gradient penalty has risen far above what it was: its gradients grow."""
    whole = curve(case.history["d_gp"])
    over, level = trend(whole), float(np.median(whole.tail()))
    usual = float(np.median(whole.values))
    if over.up >= 1 and level > FAR * max(usual, 1e-6):
        evidence: dict[str, Figure] = {"last": level, "median": usual}
        yield Finding("penalty", evidence, span(whole), "medium", 62, "", ("slower", "d_lr_ratio"))


WEAKEN: Final = ("d_lr_ratio", "d_skip", "r1", "augment", "spectral_norm", "smaller_d")
MORE_DATA: Final = ("augment", "r1", "more_data", "d_lr_ratio", "smaller_d")
