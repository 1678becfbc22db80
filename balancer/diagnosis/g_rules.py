"""What G's loss and its terms show: starvation, the adversarial share, rises, compromise, hints of mode collapse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from balancer.contract.levels import CHANCE, RECOVERED_ABOVE, STARVED_ABOVE
from balancer.diagnosis.finding import Case, Confidence, Figure, Finding, rule
from balancer.diagnosis.saturation import ROWS, saturated, span
from balancer.diagnosis.trends import Curve, curve, trend
from balancer.diagnosis.units import PIXEL_TERMS, g_terms, implied_adv

TRUST_LESS: Final = ("dynamic_lambda", "raise_lambda", "combination", "schedule")
# Terms that tie G to its target; the others are free to rise.
RECONSTRUCTION: Final = PIXEL_TERMS | {"const", "perceptual", "fm", "content"}


@rule("starved", needs=["d_adv", "adv"], rows=5)
def _starved(case: Case) -> Iterator[Finding]:
    if case.units.adversarial != "bce":
        return
    last = next((stretch for stretch in saturated(case) if stretch.at_end), None)
    if last is None:
        return
    part = curve(case.history["adv"]).since(last.first)
    level = float(np.median(part.values)) if len(part) else 0.0
    if level <= STARVED_ABOVE:
        return
    evidence: dict[str, Figure] = {"median": level, "high": float(part.values.max()), "above": STARVED_ABOVE}
    lasting: Confidence = "high" if last.lasting and case.history["adv"].count >= ROWS else "medium"
    yield Finding(
        "starved",
        evidence,
        (last.first, last.last),
        lasting,
        85,
        "",
        ("raise_lambda", "matching_aware", "two_g_updates", "autobalance", "dynamic_lambda", "lower_lambda"),
    )


@rule("adv_share", needs=["adv_share", "adv"], rows=ROWS)
def _adv_share(case: Case) -> Iterator[Finding]:
    shares = curve(case.history["adv_share"])
    over = trend(shares)
    evidence: dict[str, Figure] = {"first": over.first, "last": over.last, "peak": float(shares.values.max())}
    last = next((stretch for stretch in saturated(case) if stretch.lasting), None)
    if over.rises(by=0.2) and last is not None and over.last >= 0.1:
        yield Finding("adv_share", evidence, span(shares), "medium", 70, "rises", TRUST_LESS)
    elif last is not None and over.last >= 0.2:
        yield Finding("adv_share", evidence, span(shares), "medium", 60, "stands", TRUST_LESS)
    elif last is not None and over.last < 0.02:
        yield Finding("adv_share", evidence, span(shares), "medium", 45, "small", ("lambda_one",))


@rule("cheat_rising", needs=["adv"], rows=ROWS)
def _cheat_rising(case: Case) -> Iterator[Finding]:
    """G's adversarial loss rises in every run at first, and may drift in a balanced one: D must be winning too."""
    if not case.units.loss.has_levels:
        return  # a critic's outputs drift as they like: only their gap means something
    whole = curve(case.history["adv"])
    over, later = trend(whole), trend(whole.since(float(whole.steps[len(whole) // 2])))
    # That it rises is shown by the whole; its second half must only not have come to rest.
    if not over.rises(by=0.25) or later.change < 0.08 or later.rank < 0.5:
        return
    if case.units.levels and case.units.adversarial == "bce":
        winning = over.last > STARVED_ABOVE or any(stretch.at_end for stretch in saturated(case))
    elif "d_loss" in case.history and case.history["d_loss"].count >= ROWS:
        winning = trend(curve(case.history["d_loss"])).falls(by=0.3)
    else:
        winning = False
    if winning:
        evidence: dict[str, Figure] = {"first": over.first, "last": over.last, "rank": over.rank}
        sure: Confidence = "high" if over.rank > 0.9 and case.units.levels else "medium"
        yield Finding("cheat_rising", evidence, span(whole), sure, 65, "", ("d_lr_ratio", "d_skip"))


@rule("g_loss_rising", needs=["g_loss"], rows=ROWS)
def _g_loss_rising(case: Case) -> Iterator[Finding]:
    whole = curve(case.history["g_loss"])
    over = trend(whole)
    if not over.rises(by=0.05):
        return
    evidence: dict[str, Figure] = {"first": over.first, "last": over.last, "change": over.change, "rank": over.rank}
    variant = ""
    drivers = _drivers(case)
    if drivers:
        evidence |= {"part": drivers[0][1]}
        variant = "adv" if drivers[0][0] == "adv" else ""
        if variant and not case.units.loss.has_levels:
            return  # a critic's outputs drift as they like, and with them G's loss
    if _answers_d(case, over.last):
        return
    sure: Confidence = "high" if over.rank > 0.95 else "medium"
    yield Finding("g_loss_rising", evidence, span(whole), sure, 60, variant, ("combination",))


def _answers_d(case: Case, level: float) -> bool:
    """Whether G's loss, of which no term is logged, is just what a D in balance makes of it: it had to rise so far."""
    if g_terms(case.history) or case.units.adversarial != "bce" or "d_adv" not in case.history:
        return False
    d_adv = float(np.median(curve(case.history["d_adv"]).tail()))
    return d_adv > RECOVERED_ABOVE and level <= 1.5 * implied_adv(d_adv)


@rule("compromise", needs=["adv", "d_adv"], rows=ROWS)
def _compromise(case: Case) -> Iterator[Finding]:
    """G holds on to its reconstruction terms, which get no better, while it loses against D."""
    if not any(stretch.lasting for stretch in saturated(case)):
        return
    held = [term for term in g_terms(case.history) if term in RECONSTRUCTION and case.history[term].count >= ROWS]
    moving = {term: trend(curve(case.history[term])) for term in held}
    rising = [term for term, over in moving.items() if over.rises(by=0.01, rank=0.6)]
    if not rising:
        return
    first = max(rising, key=lambda term: moving[term].change)
    evidence: dict[str, Figure] = {
        "terms": ", ".join(rising),
        "term": first,
        "first": moving[first].first,
        "last": moving[first].last,
        "change": moving[first].change,
    }
    shares = [f"{term}_share" for term in held if f"{term}_share" in case.history]
    variant = ""
    if shares:
        evidence["share"] = sum(trend(curve(case.history[name])).last for name in shares)
        variant = "share"
    yield Finding(
        "compromise", evidence, span(curve(case.history[first])), "medium", 55, variant, ("combination", "raise_lambda")
    )


@rule("mode_collapse", needs=["adv", "d_adv"], rows=ROWS)
def _mode_collapse(case: Case) -> Iterator[Finding]:
    """G fools D and pays with its reconstruction: perhaps it draws the same for every input."""
    if case.units.adversarial != "bce":
        return
    adv, d_adv = curve(case.history["adv"]), curve(case.history["d_adv"])
    fooled = float(np.median(adv.tail()))
    if fooled > 0.5 or float(np.median(d_adv.tail())) < CHANCE:
        return
    for term in g_terms(case.history):
        if term in RECONSTRUCTION and case.history[term].count >= ROWS:
            over = trend(curve(case.history[term]))
            if over.rises(by=0.1):
                evidence: dict[str, Figure] = {"adv": fooled, "term": term, "first": over.first, "last": over.last}
                yield Finding("mode_collapse", evidence, span(adv), "low", 72, "", ("combination",))
                return


def _drivers(case: Case) -> list[tuple[str, float]]:
    """How much of the rise of G's loss each weighted term makes up, the largest first."""
    if "g_loss" not in case.history:
        return []
    total = trend(curve(case.history["g_loss"]))
    rise = total.last - total.first
    found = []
    for term in g_terms(case.history):
        name = f"{term}_share"
        if name in case.history and rise > 0:
            steps, both = case.history.aligned([name, "g_loss"])
            part = trend(Curve(steps, both[name] * both["g_loss"], float(steps[-1])))
            found.append((term, (part.last - part.first) / rise))
    return sorted(found, key=lambda item: -item[1])
