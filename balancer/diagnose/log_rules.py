"""What a log says besides: values that are no numbers, learning rates, its units, columns that contradict others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from balancer.diagnose.d_rules import SMOOTHING_FLOOR
from balancer.diagnose.finding import Case, Finding, Value, rule
from balancer.diagnose.saturation import ROWS, above_since, saturated, span
from balancer.diagnose.trends import curve
from balancer.diagnose.units import g_terms, least_adv


@rule("divergence")
def _divergence(case: Case) -> Iterator[Finding]:
    """Losses that are no numbers any more, or grow without end."""
    broken = {name: case.history[name] for name in case.history.series if case.history[name].nonfinite}
    losses = {name: series for name, series in broken.items() if name in ("d_loss", "g_loss", *g_terms(case.history))}
    evidence: dict[str, Value]
    losses = losses or {name: series for name, series in broken.items() if not name.startswith("lambda_")}
    if losses:
        first = min(losses, key=lambda name: losses[name].first_nonfinite or 0.0)
        at = losses[first].first_nonfinite or 0.0
        evidence = {"signal": first, "count": losses[first].nonfinite, "step": int(at)}
        yield Finding("divergence", evidence, (at, case.history.last_step), "high", 100, "nan", ("slower",))
    if "g_loss" in case.history and case.history["g_loss"].count >= ROWS:
        whole = curve(case.history["g_loss"])
        level, tail = (
            float(np.median(np.abs(whole.values))),
            float(np.median(whole.values[-max(2, len(whole) // 10) :])),
        )
        if level > 0 and tail > 10 * level:
            evidence = {"median": level, "last": tail}
            began = above_since(whole, 5 * level)
            yield Finding("divergence", evidence, (began, whole.end), "high", 98, "grows", ("slower",))


@rule("learning_rate", needs=["lr_d", "lr_g"])
def _learning_rate(case: Case) -> Iterator[Finding]:
    steps, rates = case.history.aligned(["lr_d", "lr_g"])
    ratio = float(rates["lr_d"][-1] / rates["lr_g"][-1]) if rates["lr_g"][-1] else math.inf
    evidence: dict[str, Value] = {
        "lr_d": float(rates["lr_d"][-1]),
        "lr_g": float(rates["lr_g"][-1]),
        "ratio": ratio,
        "first_d": float(rates["lr_d"][0]),
        "first_g": float(rates["lr_g"][0]),
    }
    span = (float(steps[0]), case.history.last_step)
    if rates["lr_g"][-1] <= 0 or rates["lr_d"][-1] <= 0:
        yield Finding("learning_rate", evidence, span, "high", 78, "zero")
    elif ratio >= 0.9 and any(stretch.lasting for stretch in saturated(case)):
        yield Finding("learning_rate", evidence, span, "high", 58, "equal", ("d_lr_ratio",))
    elif case.source.kind == "run" or not case.source.family:
        still = all(np.ptp(rates[name]) <= 1e-9 * rates[name].max() for name in rates)
        yield Finding("learning_rate", evidence, span, "high", 0, "still" if still else "fact", remark=True)


@rule("d_units")
def _d_units(case: Case) -> Iterator[Finding]:
    """How d_loss was turned into d_adv: only where the log's family does not say it itself."""
    if case.source.kind == "run" or case.source.family or "d_loss" not in case.history:
        return
    by = str(case.units.evidence.get("d_by", "told" if case.units.d_basis == "told" else "nothing"))
    kind = case.units.d_loss_kind
    variant = {"start": f"start_{kind}"}.get(by, by)
    figures = {name: float(case.units.evidence.get(name, 0.0)) for name in ("start", "lowest")}
    yield Finding(
        "d_units", {**figures, "kind": kind}, None, "high" if by != "nothing" else "low", 0, variant, remark=True
    )


@rule("g_weights")
def _g_weights(case: Case) -> Iterator[Finding]:
    """Which weights G's terms carry, where the figures gave them."""
    if case.source.kind == "run" or case.source.family or case.units.weights_basis != "measured":
        return
    if case.units.logged_weighted:
        yield Finding(
            "g_weights", {"terms": ", ".join(case.units.logged_weighted)}, None, "high", 0, "sum", remark=True
        )
        return
    shown = ", ".join(f"{term} {weight:g}" for term, weight in case.units.weights.items() if weight is not None)
    yield Finding("g_weights", {"weights": shown}, None, "medium", 0, "fit", remark=True)


@rule("inconsistent_columns", needs=["d_adv", "adv"], rows=ROWS)
def _inconsistent_columns(case: Case) -> Iterator[Finding]:
    """G's adversarial loss lower than D's loss allows, for BCE with hard labels: the columns are not what they seem."""
    if case.source.kind == "run" or case.source.family or case.units.adversarial != "bce":
        return
    if any(True for _ in SMOOTHING_FLOOR.judge(case)):
        return  # soft labels have another minimum
    _, both = case.history.aligned(["d_adv", "adv"])
    least = np.array([least_adv(value) for value in both["d_adv"]])
    # D is updated between the two figures; only what lies clearly below is strange.
    off = both["adv"] < 0.8 * least - 0.1
    if off.mean() > 0.5:
        evidence: dict[str, Value] = {
            "adv": float(np.median(both["adv"])),
            "least": float(np.median(least)),
            "share": float(off.mean()),
        }
        yield Finding("inconsistent_columns", evidence, span(curve(case.history["adv"])), "medium", 82, "floor")


RULES: Final = (_divergence, _learning_rate, _d_units, _g_weights, _inconsistent_columns)
