"""What D's loss alone shows: saturation, the floor of smoothed labels, a D at chance or blown up, swings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from balancer.diagnose.finding import Case, Confidence, Finding, Value, rule
from balancer.diagnose.saturation import ROWS, above_since, saturated, span
from balancer.diagnose.trends import crossings, curve
from balancer.diagnose.units import CHANCE
from balancer.health import HEALTHY_D_ADV, SATURATED_BELOW

# Remedies in the document's order: weaken D first, with the pair that it tries first before all.
WEAKEN_D: Final = ("combination", "d_lr_ratio", "d_skip", "label_smoothing")
BLOWN_UP: Final = 5.0  # the fifth band of a later commit of the document's code: D had blown up there
# Entropy of smoothed labels, as the mean of both halves: what D's loss cannot fall below.
FLOORS: Final = {"0.9 / 0.1": 0.3251, "0.95 / 0.05": 0.1985, "0.9 / 0": 0.1625}


@rule("saturated", needs=["d_adv"], rows=5)
def _saturated(case: Case) -> Iterator[Finding]:
    found = saturated(case)
    if not found:
        return
    worst = max(found, key=lambda stretch: (stretch.at_end, stretch.share))
    part = curve(case.history["d_adv"]).since(worst.first)
    if not worst.at_end:
        part = part.until(worst.last + 1)
    evidence: dict[str, Value] = {
        "median": worst.median,
        "low": float(part.values.min()),
        "high": float(part.values.max()),
        "share": worst.share,
        "times": len(found),
        "below": SATURATED_BELOW,
        "healthy_low": HEALTHY_D_ADV[0],
        "healthy_high": HEALTHY_D_ADV[1],
    }
    few = case.history["d_adv"].count < ROWS
    # Halved or not, a loss so low is one of a D that has won.
    sure = case.units.d_basis != "assumed" or worst.median < SATURATED_BELOW / 2
    if worst.lasting:
        yield Finding(
            "saturated",
            evidence,
            (worst.first, worst.last),
            "low" if few else "high" if sure else "medium",
            90,
            "lasting",
            WEAKEN_D,
        )
    elif worst.at_end:
        yield Finding(
            "saturated", evidence, (worst.first, worst.last), "low" if few else "medium", 75, "open", WEAKEN_D
        )
    else:
        yield Finding("saturated", evidence, (worst.first, worst.last), "medium", 30, "passed")


@rule("smoothing_floor", needs=["d_loss"], rows=ROWS)
def _smoothing_floor(case: Case) -> Iterator[Finding]:
    """D's loss sits on the entropy of smoothed labels: it is at its best, however healthy the figure looks."""
    if case.units.adversarial != "bce" or case.source.kind == "run":
        return
    scale = case.units.d_scale
    part = curve(case.history["d_loss"])
    later = part.values[len(part) // 2 :] * scale
    lowest = float(np.percentile(case.history["d_loss"].low[len(case.history["d_loss"].low) // 2 :], 2)) * scale
    for labels, floor in FLOORS.items():
        above = later - floor
        if -0.01 <= lowest - floor <= 0.03 and float(np.median(above)) <= 0.04 and float(np.std(later)) <= 0.03:
            evidence: dict[str, Value] = {
                "labels": labels,
                "floor": floor,
                "median": float(np.median(later)),
                "lowest": lowest,
            }
            yield Finding("smoothing_floor", evidence, span(part), "medium", 80, "", ("no_smoothing",))
            return


@rule("collapse", needs=["d_adv"], rows=ROWS)
def _collapse(case: Case) -> Iterator[Finding]:
    """D cannot tell real from generated for long: at chance or above it, at the end of the log."""
    whole = curve(case.history["d_adv"]).smooth()
    tail = whole.values[-max(3, len(whole) // 5) :]
    level = float(np.median(tail))
    evidence: dict[str, Value] = {"median": level, "chance": CHANCE, "high": float(case.history["d_adv"].high.max())}
    began = above_since(whole, 0.9 * CHANCE)
    if level > BLOWN_UP or (level > 2 * CHANCE and level > 5 * float(np.median(whole.values))):
        yield Finding("blow_up", evidence, (began, whole.end), "high", 95, "", ("slower", "d_lr_ratio"))
    elif level >= 0.9 * CHANCE and began <= whole.end - 0.2 * (whole.end - whole.steps[0]):
        sure: Confidence = "medium" if case.units.d_basis != "assumed" else "low"
        yield Finding("collapse", evidence, (began, whole.end), sure, 80, "", ("lambda_one", "slower"))


@rule("oscillation", needs=["d_adv"], rows=2 * ROWS)
def _oscillation(case: Case) -> Iterator[Finding]:
    whole = curve(case.history["d_adv"])
    swings = crossings(whole, SATURATED_BELOW, 0.8 * CHANCE)
    if swings >= 6:
        evidence: dict[str, Value] = {
            "swings": swings,
            "low": float(np.percentile(whole.values, 5)),
            "high": float(np.percentile(whole.values, 95)),
        }
        yield Finding("oscillation", evidence, span(whole), "medium", 50, "", ("slower", "d_lr_ratio"))


SMOOTHING_FLOOR: Final = _smoothing_floor
RULES: Final = (_saturated, _smoothing_floor, _collapse, _oscillation)
