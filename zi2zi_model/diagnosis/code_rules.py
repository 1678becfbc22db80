"""What is known of the code that wrote a zi2zi log: its faults, its resume, its learning rates. Remarks all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from balancer.diagnosis import Case, Fact, Finding, rule

# Formats of max32002/zi2zi-pytorch.
FORK: Final = ("fork", "later")
START: Final = 0.6
FLOOR: Final = 2e-4  # of the family's schedulers (D's 6e-5 in one commit)


@rule("const_loss")
def _const_loss(case: Case) -> Iterator[Finding]:
    if "const" in case.history and case.source.format in FORK:
        yield Finding("const_loss", confidence="medium", remark=True)


@rule("lambda_adv_start")
def _lambda_adv_start(case: Case) -> Iterator[Finding]:
    if case.source.format != "later" or "lambda_adv" not in case.history or case.source.facts_of("resumed"):
        return
    trust = case.history["lambda_adv"]
    if trust.steps[0] > 0:
        return
    if abs(float(trust.high[0]) - START) < 0.005:
        yield Finding("lambda_adv_start", {"start": START}, confidence="high", remark=True)


@rule("resume")
def _resume(case: Case) -> Iterator[Finding]:
    facts = case.source.facts_of("resumed")
    if not facts or case.source.kind != "log":
        return
    step = facts[-1].values.get("step", 0)
    evidence: dict[str, float | str] = {
        "step": f"{step:,.0f}" if isinstance(step, float | int) else str(step),
        "times": len(facts),
    }
    back = _back(case.source.facts_of("learning_rate"))
    if back is not None:
        yield Finding("resume", {**evidence, **back}, confidence="high", variant="rate_back", remark=True)
    else:
        yield Finding("resume", evidence, confidence="high", variant="plain", remark=True)


def _back(facts: Sequence[Fact]) -> dict[str, float | str] | None:
    """Where a learning rate that had decayed begins higher again."""
    for network in ("D", "G"):
        own = _decays(facts, network)
        for before, after in pairwise(own):
            if after[0] > 1.02 * before[1]:
                return {"network": network, "before": before[1], "after": after[0]}
    return None


@rule("decay")
def _decay(case: Case) -> Iterator[Finding]:
    facts = case.source.facts_of("learning_rate") if case.source.kind == "log" else []
    d, g = _decays(facts, "D"), _decays(facts, "G")
    evidence: dict[str, float | str] = {"decays": max(len(d), len(g))}
    for name, own in (("d", d), ("g", g)):
        if own:
            evidence |= {f"{name}_first": own[0][0], f"{name}_last": own[-1][1]}
    if not d or not g:
        if d or g:
            first, last = (d or g)[0][0], (d or g)[-1][1]
            one: dict[str, float | str] = {"network": "D" if d else "G", "first": first, "last": last}
            yield Finding("decay", {**evidence, **one}, confidence="high", variant="one", remark=True)
        return
    ratios = d[0][0] / g[0][0], d[-1][1] / g[-1][1]
    evidence |= {"ratio_first": ratios[0], "ratio_last": ratios[1], "floor": _floor(d) or _floor(g) or 0.0}
    floor, moved = bool(evidence["floor"]), abs(ratios[1] / ratios[0] - 1) > 0.03
    variant = "floor_ratio" if floor and moved else "floor" if floor else "ratio" if moved else "plain"
    yield Finding("decay", evidence, confidence="high", variant=variant, remark=True)


def _decays(facts: Sequence[Fact], network: str) -> list[tuple[float, float]]:
    """(old, new) learning rates of a network, above 0."""
    pairs = [
        (float(fact.values["old"]), float(fact.values["new"]))
        for fact in facts
        if fact.values.get("network") == network
    ]
    return [pair for pair in pairs if min(pair) > 0]


def _floor(decays: Sequence[tuple[float, float]]) -> float | None:
    """The rate at which a decay no longer lowers it, or the family's usual floor."""
    old, new = decays[-1]
    return new if old == new or abs(new - FLOOR) < 5e-7 else None


RULES: Final = (_const_loss, _lambda_adv_start, _resume, _decay)
