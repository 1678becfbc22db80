"""What zi2zi's own losses tell: the category loss, columns that contradict each other, D out of hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from balancer.diagnosis import Case, Confidence, Finding, below_least, curve, rule, trend

FEWEST_ROWS: Final = 20
# Printed as 0.0000 or nearly so.
ZERO: Final = 5e-4
# A rise of the category loss up to here is none worth a word; at random it is 0.69 a half and settles near 0.01.
CATEGORY: Final = 0.05
# The fifth band of a later commit of max32002/zi2zi-pytorch: above this d_loss, lambda_adv 0.05.
D_LOSS_BLOWN_UP: Final = 5.0
BLOWN_UP_LAMBDA: Final = 0.05


# A rule without `needs` is silent about a log that has not got what it looks at.
@rule("category_zero")
def _category_zero(case: Case) -> Iterator[Finding]:
    if "category" not in case.history:
        return
    category = case.history["category"]
    part = max(1, len(category.values) // 5)
    if float(np.quantile(category.values[-part:], 0.9)) > ZERO:
        return
    always = float(np.quantile(category.values, 0.95)) <= ZERO
    evidence: dict[str, float | str] = {"highest": float(category.high.max()), "rows": category.count}
    sure: Confidence = "high" if category.count >= FEWEST_ROWS else "low"
    yield Finding("category_zero", evidence, None, sure, variant="always" if always else "reached", remark=True)


@rule("style_collapse", needs=["category"], rows=2 * FEWEST_ROWS)
def _style_collapse(case: Case) -> Iterator[Finding]:
    whole = curve(case.history["category"])
    over = trend(whole)
    if not over.rises(by=1.0) or over.last < CATEGORY or over.last - over.first < CATEGORY:
        return
    evidence: dict[str, float | str] = {"first": over.first, "last": over.last}
    yield Finding("style_collapse", evidence, (float(whole.steps[0]), whole.end), "low", 40)


@rule("inconsistent_columns", needs=["adv"], rows=FEWEST_ROWS)
def _columns(case: Case) -> Iterator[Finding]:
    if case.source.kind != "log":
        return
    span = (case.history.first_step, case.history.last_step)
    if case.units.adversarial == "bce" and "d_loss" in case.history:
        yield from _adv_below(case, span)
    if case.units.evidence.get("g_by") == "nothing":
        rest = case.units.evidence.get("g_residual", 0.0)
        yield Finding("inconsistent_columns", {"rest": rest}, span, "low", 30, "sum")


def _adv_below(case: Case, span: tuple[float, float]) -> Iterator[Finding]:
    """With hard-label BCE, D's loss sets a bound below G's; D's update in between allows a little."""
    _, both = case.history.aligned(["d_loss", "adv"])
    # The whole of d_loss, with the category loss, makes the bound too low rather than too high.
    off, least = below_least(case.units.d_scale * np.maximum(both["d_loss"], 0.0), both["adv"])
    if off.mean() > 0.5:
        evidence: dict[str, float | str] = {
            "adv": float(np.median(both["adv"][off])),
            "least": float(np.median(least[off])),
            "share": float(off.mean()),
        }
        yield Finding("inconsistent_columns", evidence, span, "medium", 80, "cheat_below")


@rule("d_blow_band")
def _d_blow_band(case: Case) -> Iterator[Finding]:
    if case.source.kind != "log" or "lambda_adv" not in case.history or "d_loss" not in case.history:
        return
    trust, d_loss = case.history["lambda_adv"], case.history["d_loss"]
    at = trust.low <= BLOWN_UP_LAMBDA + 0.005
    into = np.clip(np.searchsorted(d_loss.steps, trust.steps, side="right") - 1, 0, len(d_loss.steps) - 1)
    blown = at & (d_loss.high[into] > D_LOSS_BLOWN_UP)
    if blown.any():
        evidence: dict[str, float | str] = {
            "highest": float(d_loss.high.max()),
            "share": float(blown.mean()),
            "lambda_adv": BLOWN_UP_LAMBDA,
        }
        steps = (float(trust.steps[blown][0]), float(trust.last_steps[blown][-1]))
        yield Finding("d_blow_band", evidence, steps, "high", 70, remedies=("slower",))


RULES: Final = (_category_zero, _style_collapse, _columns, _d_blow_band)
