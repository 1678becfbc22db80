"""What else a log says: values that are not numbers, learning rates, its units, columns that contradict others."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.diagnosis.contradictions import is_weighed
from balancer.diagnosis.finding import Case, Confidence, Figure, Finding, rule
from balancer.diagnosis.saturation import ROWS, above_since, saturated, span
from balancer.diagnosis.trends import curve, trend
from balancer.diagnosis.units import PIXEL_TERMS, below_least, g_terms

if TYPE_CHECKING:
    from balancer.reading.series import Series


@rule("divergence")
def _divergence(case: Case) -> Iterator[Finding]:
    """Losses that are no longer numbers, or grow without end."""
    terms = g_terms(case.history)
    series = {name: case.history[name] for name in case.history.series if name in ("d_loss", "g_loss", "d_adv", *terms)}
    evidence: dict[str, Figure]
    lost = {name: one for name, one in series.items() if one.trailing}
    if lost:
        first = min(lost, key=lambda name: lost[name].trailing_since)
        count, at = lost[first].trailing, lost[first].trailing_since
        evidence = {"signal": first, "count": count, "step": int(at)}
        sure: Confidence = "high" if count > 2 else "low"
        yield Finding("divergence", evidence, (at, case.history.last_step), sure, 100, "nan", ("slower",))
    elif broken := {name: one for name, one in series.items() if one.nonfinite}:
        first = max(broken, key=lambda name: broken[name].nonfinite)
        evidence = {"signal": first, "count": broken[first].nonfinite, "step": int(broken[first].first_nonfinite or 0)}
        yield Finding("divergence", evidence, None, "high", 0, "passed", remark=True)
    for name in ("g_loss", *(term for term in terms if term in PIXEL_TERMS)):
        if name not in case.history or case.history[name].count < ROWS:
            continue
        whole = curve(case.history[name])
        level = float(np.median(np.abs(whole.values)))
        tail = float(np.median(whole.tail(10, least=2)))
        if level > 0 and tail > 10 * level and trend(whole).up >= 1:
            evidence = {"signal": name, "median": level, "last": tail}
            began = above_since(whole, 5 * level)
            yield Finding("divergence", evidence, (began, whole.end), "high", 98, "grows", ("slower",))
            return


@rule("still")
def _still(case: Case) -> Iterator[Finding]:
    """Every loss has kept one value since a step: nothing is trained any more, or nothing new is printed."""
    names = [name for name in ("d_loss", "d_loss_real", "d_loss_fake", "d_adv", "g_loss", *g_terms(case.history))
             if name in case.history and case.history[name].count >= ROWS]  # fmt: skip
    series = {name: case.history[name] for name in names}
    # One network's loss alone may be printed as 0, or be a constant.
    if not (any(name.startswith("d_") for name in series) and any(not name.startswith("d_") for name in series)):
        return
    since = max(map(_still_since, series.values()))
    first, last = case.history.first_step, case.history.last_step
    rows = min(int((one.last_steps >= since).sum()) * one.span for one in series.values())
    if rows >= ROWS and last - since >= 0.1 * (last - first):
        shown = ", ".join(f"{name} {one.values[-1]:.4g}" for name, one in series.items())
        evidence: dict[str, Figure] = {"step": int(since), "rows": rows, "values": shown}
        yield Finding("still", evidence, (since, last), "high", 97, "", ())


def _still_since(one: Series) -> float:
    """The step from which on a series keeps its last value."""
    value = one.values[-1]
    moved = np.flatnonzero((one.low != value) | (one.high != value))
    return float(one.steps[0] if len(moved) == 0 else one.steps[min(moved[-1] + 1, len(one.steps) - 1)])


# A rate of Adam at which a step changes no weight of 0.01 in float32, whose last digit is 1e-9 of it.
NO_RATE: Final = 1e-12


@rule("learning_rate")
def _learning_rate(case: Case) -> Iterator[Finding]:
    # lr_0, lr_1: of optimizers that the log numbers.
    names = [name for name in ("lr_d", "lr_g", "lr") if name in case.history]
    names += [name for name in case.history.measured if name.startswith("lr_") and name[3:].isdigit()]
    rates = {name: case.history[name].values for name in names}
    # Schedules may end at 0; a network that was not trained for a twentieth of the log is a different matter.
    dead = [name for name, values in rates.items() if not (values[-max(2, len(values) // 20) :] > NO_RATE).any()]
    whole = (case.history.first_step, case.history.last_step)
    if dead:
        yield Finding("learning_rate", {"names": ", ".join(dead)}, whole, "high", 78, "zero")
    if dead or not {"lr_d", "lr_g"} <= rates.keys() or not rates["lr_g"][-1]:
        return
    last_d, last_g = float(rates["lr_d"][-1]), float(rates["lr_g"][-1])
    evidence: dict[str, Figure] = {
        "lr_d": last_d,
        "lr_g": last_g,
        "ratio": last_d / last_g,
        "first_d": float(rates["lr_d"][0]),
        "first_g": float(rates["lr_g"][0]),
    }
    if last_d >= 0.9 * last_g and any(stretch.lasting for stretch in saturated(case)):
        yield Finding("learning_rate", evidence, whole, "high", 58, "equal", ("d_lr_ratio",))
    elif case.source.kind == "run" or not case.source.family:
        still = all(np.ptp(rates[name]) <= 1e-9 * rates[name].max() for name in ("lr_d", "lr_g"))
        yield Finding("learning_rate", evidence, whole, "high", 0, "still" if still else "fact", remark=True)


@rule("known_code")
def _known_code(case: Case) -> Iterator[Finding]:
    """Which training code wrote the log, and so in which units it stands."""
    code = case.source.code or case.source.not_code
    if code is not None:
        figures: dict[str, Figure] = {"title": code.title, "source": code.source, "code": code.name}
        if case.source.code is None:
            figures |= {"losses": ", ".join(code.losses)}
            yield Finding("known_code", figures, None, "high", 0, "altered", remark=True)
            return
        yield Finding("known_code", figures, None, "high", 0, "" if case.source.codes else "told", remark=True)


@rule("d_units")
def _d_units(case: Case) -> Iterator[Finding]:
    """How d_loss was turned into d_adv: only where the log's family does not say it itself."""
    alone = str(case.units.evidence.get("d_by", "")).endswith(("s_alone", "not_begun"))
    logged = alone or any(name in case.history for name in ("d_loss", "d_loss_real"))
    if case.source.kind == "run" or case.source.family or not logged:
        return
    units, evidence = case.units, case.units.evidence
    by = str(evidence.get("d_by", "told" if units.d_basis == "told" else "nothing"))
    figures: dict[str, Figure] = {
        name: float(evidence.get(name, 0.0)) for name in ("start", "at", "lowest", "times", "adv")
    }
    figures["count"] = int(float(evidence.get("count", 0)))
    if by == "code":
        figures["count"] = units.discriminators
    figures |= {"kind": units.d_loss_kind, "path": case.source.path, "loss": units.adversarial}
    sure: Confidence = "low" if by in ("nothing", "above_chance", "not_bce", "too_high") else "high"
    yield Finding("d_units", figures, None, sure, 0, by, remark=True)
    if "rest" in evidence:
        rest: dict[str, Figure] = {"rest": float(evidence["rest"]), "loss": units.adversarial}
        yield Finding("d_units", rest, None, "medium", 0, "rest", remark=True)
    elif "only" in evidence:
        yield Finding("d_units", {"loss": units.adversarial}, None, "medium", 0, "only", remark=True)
    elif units.adversarial == "hinge" and units.adversarial_basis == "measured" and units.levels:
        yield Finding("d_units", {}, None, "medium", 0, "hinge", remark=True)
    assumed = units.adversarial_basis == "assumed" and units.levels and not by.startswith(("probabilities", "start"))
    code = case.source.code
    if assumed and code is not None and code.losses:
        others = ", ".join(name for name in code.losses if name != units.adversarial)
        default: dict[str, Figure] = {"loss": units.adversarial, "others": others}
        yield Finding("d_units", default, None, "medium", 0, "default", remark=True)
    elif assumed:
        yield Finding("d_units", {"loss": units.adversarial}, None, "low", 0, "assumed", remark=True)
    if "began" in evidence:
        yield Finding("d_units", {"step": int(float(evidence["began"]))}, None, "high", 0, "began", remark=True)


@rule("second_pair")
def _second_pair(case: Case) -> Iterator[Finding]:
    """CycleGAN and its like train two pairs: one diagnosis judges one of them."""
    others = {}
    for signal, name in case.source.tags.items():
        twin = re.sub(r"(?<![A-Za-z])A(?![A-Za-z])", "B", name)
        if twin != name and twin in case.source.other_tags:
            others[signal] = twin
    if "d_loss" in others or "adv" in others:
        tags = " ".join(f"--tag {signal}={shlex.quote(name)}" for signal, name in others.items())
        read = ", ".join(case.source.tags[signal] for signal in others)
        figures: dict[str, Figure] = {"read": read, "path": shlex.quote(case.source.path), "tags": tags}
        yield Finding("second_pair", figures, None, "high", 0, remark=True)


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
    _, both = case.history.aligned(["d_adv", "adv"])
    off, least = below_least(both["d_adv"], both["adv"])
    if off.mean() > 0.5:
        evidence: dict[str, Figure] = {
            "adv": float(np.median(both["adv"][off])),
            "least": float(np.median(least[off])),
            "share": float(off.mean()),
        }
        variant = "weighted" if is_weighed(case.history) else "floor"
        yield Finding("inconsistent_columns", evidence, span(curve(case.history["adv"])), "medium", 82, variant)
