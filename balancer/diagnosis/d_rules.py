"""What D's loss alone shows: saturation, the floor of smoothed labels, a D at chance or blown up, swings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.contract.levels import CHANCE, RECOVERED_ABOVE, SATURATED_BELOW
from balancer.diagnosis.finding import Case, Confidence, Figure, Finding, rule
from balancer.diagnosis.noise import apart, climb, needed
from balancer.diagnosis.remedies import FLAGGED
from balancer.diagnosis.saturation import ROWS, above_since, saturated, saturated_below, span
from balancer.diagnosis.trends import Curve, crossings, curve, logs, trend
from balancer.diagnosis.units import PIXEL_TERMS

if TYPE_CHECKING:
    from balancer.reading.series import Floats, Series

# What weakens D, and what G answers it with: the source document's and the field's.
WEAKEN_D: Final = (
    *("raise_lambda", "matching_aware", "two_g_updates", "autobalance"),
    *("d_lr_ratio", "d_skip", "freeze_head", "combination", "label_smoothing"),
    *("r1", "augment", "spectral_norm", "smaller_d"),
    *FLAGGED,
)
BLOWN_UP: Final = 5.0  # the fifth band of a later commit of the document's code: D had blown up there
NEAR_CHANCE: Final = 1.05  # times chance: a D that guesses, and is not sure of what is wrong
DRIFT: Final = 0.03  # of its level
BURST: Final = 0.02  # of all rows, in which D breaks down
# Entropy of smoothed labels, as the mean of both halves: what D's loss cannot fall below; and the label of generated
# images, of which a D at its best thinks just so much, which puts G's adversarial loss at -ln of it.
FLOORS: Final = {"0.9 / 0.1": (0.3251, 0.1), "0.95 / 0.05": (0.1985, 0.05), "0.9 / 0": (0.1625, 0.0)}


@rule("saturated", needs=["d_adv"], rows=5)
def _saturated(case: Case) -> Iterator[Finding]:
    found = saturated(case)
    if not found:
        return
    worst = max(found, key=lambda stretch: (stretch.at_end, stretch.share))
    whole = curve(case.history["d_adv"])
    part = whole.since(worst.first)
    if not worst.at_end:
        part = part.until(worst.last + 1)
    evidence: dict[str, Figure] = {
        "median": worst.median,
        "low": float(part.values.min()),
        "high": float(part.values.max()),
        "share": worst.share,
        "times": len(found),
        "below": saturated_below(case),
        "recovered": saturated_below(case) * RECOVERED_ABOVE / SATURATED_BELOW,
    }
    if case.units.healthy is not None:
        evidence |= dict(zip(("healthy_low", "healthy_high"), case.units.healthy, strict=True))
        if case.units.healthy_by:
            evidence |= {"healthy_by": case.units.healthy_by}
    few = case.history["d_adv"].count < ROWS
    # Halved or not, a loss so low is one of a D that has won.
    sure = case.units.d_basis != "assumed" or worst.median < SATURATED_BELOW / 2
    steps = (worst.first, worst.last)
    if worst.lasting:
        how: Confidence = "low" if few else "high" if sure else "medium"
        yield Finding("saturated", evidence, steps, how, 90, "lasting", WEAKEN_D)
    elif worst.at_end:
        yield Finding("saturated", evidence, steps, "low" if few else "medium", 75, "open", WEAKEN_D)
    else:
        broken = next(iter(_blow_up.judge(case)), None)
        led = broken is not None and worst.last >= (broken.steps or steps)[0] - 0.05 * (whole.end - whole.steps[0])
        yield Finding("saturated", evidence, steps, "medium", 30, "led" if led else "passed")


@rule("smoothing_floor", needs=["d_loss"], rows=ROWS)
def _smoothing_floor(case: Case) -> Iterator[Finding]:
    """D's loss sits on the entropy of smoothed labels: it is at its best, however healthy the figure looks."""
    if case.units.adversarial != "bce" or case.source.kind == "run" or not case.units.levels:
        return
    scale = case.units.d_scale
    part = curve(case.history["d_loss"])
    later = part.values[len(part) // 2 :] * scale
    lowest = float(np.percentile(case.history["d_loss"].low[len(case.history["d_loss"].low) // 2 :], 2)) * scale
    adv = _level(case, "adv")
    for labels, (floor, fake) in FLOORS.items():
        above = later - floor
        if not (-0.01 <= lowest - floor <= 0.03 and np.median(above) <= 0.04 and np.std(later) <= 0.03):
            continue
        at_best = -math.log(fake) if fake else 2.3
        if adv is not None and (adv < 0.7 * at_best or (fake and adv > 1.4 * at_best)):
            continue
        median = float(np.median(later))
        evidence: dict[str, Figure] = {"labels": labels, "floor": floor, "median": median, "lowest": lowest}
        sure: Confidence = "medium" if adv is not None else "low"
        yield Finding("smoothing_floor", evidence, span(part), sure, 80, "", ("no_smoothing",))
        return


@rule("blow_up", needs=["d_adv"], rows=ROWS)
def _blow_up(case: Case) -> Iterator[Finding]:
    """D's loss has risen far above chance: its outputs are confident and wrong."""
    whole = curve(case.history["d_adv"]).smooth()
    level = float(np.median(whole.tail()))
    was_lower = float(whole.values.min()) < min(1.2 * CHANCE, level / 3)
    far = level > BLOWN_UP or level > max(2 * CHANCE, 5 * float(np.median(whole.values)))
    if level > BLOWN_UP and not was_lower and case.units.d_basis in ("measured", "format") and _same_answer(case):
        yield Finding("blow_up", _at_chance(case, level), span(whole), "high", 95, "always", ("slower", "d_lr_ratio"))
    elif was_lower and far and _climbs(curve(case.history["d_adv"])):
        steps = above_since(whole, 1.5 * CHANCE), whole.end
        yield Finding("blow_up", _at_chance(case, level), steps, "high", 95, "", ("slower", "d_lr_ratio"))


@rule("bursts", needs=["d_adv"], rows=ROWS)
def _bursts(case: Case) -> Iterator[Finding]:
    """D breaks down again and again: in many rows its loss lies far above chance, and between them it does not."""
    series = case.history["d_adv"]
    # Of a span of rows only the mean, the lowest and the highest are known: that many as high make its mean.
    broken, usual = series.high > BLOWN_UP, float(np.median(series.low))
    rows = series.span * (series.values - usual) / np.maximum(series.high - usual, 1e-9)
    count = int(np.maximum(rows, 1.0)[broken].sum())
    if count < 3 or not BURST <= count / series.count < 0.5 or usual > CHANCE or any(_blow_up.judge(case)):
        return
    evidence: dict[str, Figure] = {
        "count": count,
        "rows": series.count,
        "above": BLOWN_UP,
        "high": float(series.high.max()),
        "chance": CHANCE,
        "median": usual,
    }
    where = np.flatnonzero(broken)
    steps = float(series.steps[where[0]]), float(series.last_steps[where[-1]])
    once = len(where) >= 0.5 * (where[-1] - where[0] + 1) and len(where) < len(broken) / 2
    yield Finding("bursts", evidence, steps, "medium", 77, "once" if once else "", ("slower", "d_lr_ratio", "ema"))


@rule("collapse", needs=["d_adv"], rows=ROWS)
def _collapse(case: Case) -> Iterator[Finding]:
    """D cannot tell real from generated for long: at chance or above it, at the end of the log."""
    whole = curve(case.history["d_adv"]).smooth()
    level = float(np.median(whole.tail()))
    # Were d_loss a sum, half of it would be the level: then what is at chance as a half counts, or a D that has come to
    # rest on the very level of a guess.
    at_rest = abs(level / CHANCE - 1) < 0.02 and float(np.std(whole.tail())) < 0.02
    halved = level / 2 if case.units.d_loss_kind == "unknown" and not at_rest else level
    began = above_since(whole, 0.9 * CHANCE)
    if not _moved(curve(case.history["d_adv"]), began):
        if float(np.median(whole.values)) < 0.9 * CHANCE:
            return
        began = float(whole.steps[0])  # it has always been so
    lasting = began <= whole.end - 0.2 * (whole.end - whole.steps[0])
    if not (halved >= 0.9 * CHANCE and lasting) or _tells_apart(case):
        return
    if any(_blow_up.judge(case)) or any(_bursts.judge(case)):
        return
    if case.units.healthy_range is not None and halved <= case.units.healthy_range[1]:
        return  # its code's authors call that right
    if _improves(case, began):
        yield Finding("collapse", _at_chance(case, level), (began, whole.end), "low", 30, "improving")
        return
    # Without a target to compare with, a G as good as D can judge looks the same, if D had learned or still does.
    learned = float(np.percentile(whole.values, 10)) < 0.9 * CHANCE or _drifts(case.history["d_adv"])
    if learned and halved <= NEAR_CHANCE * CHANCE and not PIXEL_TERMS.intersection(case.history.measured):
        yield Finding("collapse", _at_chance(case, level), (began, whole.end), "low", 30, "even")
        return
    sure: Confidence = "medium" if case.units.d_basis != "assumed" else "low"
    yield Finding("collapse", _at_chance(case, level), (began, whole.end), sure, 80, "", ("free_d", "lambda_one"))


def _climbs(of: Curve) -> bool:
    """Whether a curve rises as noise does not, by itself or on logarithms: what has blown up may swing over decades."""
    return max(climb(of.values), climb(logs(of.values))) >= needed(len(of))


def _drifts(series: Series) -> bool:
    """Whether a level near chance goes anywhere at all, as that of a D that is not trained does not."""
    over = trend(curve(series))
    return max(over.up, over.down) >= 1 and abs(over.change) >= DRIFT


def _same_answer(case: Case) -> bool:
    """Whether D calls real and generated images the same, and is sure of it."""
    real, fake = _level(case, "d_prob_real"), _level(case, "d_prob_fake")
    return real is not None and fake is not None and abs(real - fake) < 0.02 and not 0.02 < real < 0.98


def _moved(of: Curve, step: float) -> bool:
    """Whether a curve lies elsewhere from a step on than before it, as noise does not."""
    first = int(np.searchsorted(of.steps, step))
    return apart(of.values, first, len(of) - 1) >= needed(len(of))


def _improves(case: Case, began: float) -> bool:
    """Whether G came nearer to its target since then: a D that cannot tell may be one that G has caught up with."""
    for term in PIXEL_TERMS:
        if term in case.history:
            part = curve(case.history[term]).since(began)
            if len(part) >= ROWS and trend(part).falls(by=0.03, rank=0.5):
                return True
    return False


def _at_chance(case: Case, level: float) -> dict[str, Figure]:
    return {"median": level, "chance": CHANCE, "high": float(case.history["d_adv"].high.max())}


def _tells_apart(case: Case) -> bool:
    """Whether other signals show that D tells real from generated all the same: few bad cases make a high loss."""
    accuracy = _level(case, "d_acc")
    if accuracy is not None:
        return accuracy > 0.7
    for kind, least in (("logit", 0.5), ("prob", 0.2)):
        real, fake = _level(case, f"d_{kind}_real"), _level(case, f"d_{kind}_fake")
        if real is not None and fake is not None:
            return real - fake > least
    real, fake = _level(case, "d_acc_real"), _level(case, "d_acc_fake")
    return real is not None and fake is not None and (real + fake) / 2 > 0.7


def _level(case: Case, name: str) -> float | None:
    """The median of a signal's last fifth."""
    if name not in case.history:
        return None
    return float(np.median(curve(case.history[name]).tail(least=1)))


@rule("oscillation", needs=["d_adv"], rows=2 * ROWS)
def _oscillation(case: Case) -> Iterator[Finding]:
    whole = curve(case.history["d_adv"])
    swings = crossings(whole, SATURATED_BELOW, 0.8 * CHANCE)
    # Rows in any order swing as often as they like.
    if swings >= 6 and _waves(logs(whole.values), swings):
        evidence: dict[str, Figure] = {
            "swings": swings,
            "low": float(np.percentile(whole.values, 5)),
            "high": float(np.percentile(whole.values, 95)),
        }
        yield Finding("oscillation", evidence, span(whole), "medium", 50, "", ("slower", "d_lr_ratio", "ema"))


def _waves(values: Floats, swings: int) -> bool:
    """Whether values go through the levels between their extremes: an eighth of a wave apart they resemble each other.

    Of noise in any order they do not, and of a series of short memory (0.5 from row to row) less.
    """
    lag = max(len(values) // (4 * swings), 1)
    centred = values - values.mean()
    similar = float((centred[lag:] * centred[:-lag]).mean()) / float(np.square(centred).mean())
    return similar > 0.5 + 2 / math.sqrt(len(values))
