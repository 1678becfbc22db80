"""The checks that train: every way of the loop, equal runs, resumes at every step, parts of a batch, switched off."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from balancer.conformance.remembered import differences
from balancer.conformance.report import Check, judged, sentence_of
from balancer.conformance.trials import EverySecondStep, Ran, Trial, Trials, first_difference, with_train

VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "images": {},
    "points": {"model": "points"},
    "bf16": {"train": {"precision": "bf16"}},
    "micro-batches": {"train": {"micro_batches": 2}},
    "two updates of G": {"train": {"g_updates": 2}},
    "skipped D": {"beside": (EverySecondStep,)},
    "batch norm": {"settings": {"norm": "batch"}},
    "points in bf16": {"model": "points", "train": {"precision": "bf16"}},
    "points, skipped D": {"model": "points", "beside": (EverySecondStep,)},
}
# Relative difference between a batch as a whole and in parts that no way of averaging explains.
WRONG: Final = 0.2
OTHER: Final = 0.02
SWITCHES: Final = ("enabled", "enable", "active", "on")


def every_way(trials: Trials, models: list[str]) -> Iterator[Check]:
    """Train in every way that the loop offers: nothing is raised, everything is finite."""
    for name, variant in VARIANTS.items():
        trial = Trial(**{"model": models[0], **variant})
        if trial.model not in models or (trial.settings and trial.model != "images"):
            continue
        try:
            trials.run(trial, steps=min(trials.steps, 6) if variant else trials.steps)
        except (Exception, SystemExit) as error:
            yield Check(f"trains: {name}", "FAIL", sentence_of(error))
            if not variant:
                return
        else:
            yield Check(f"trains: {name}", "pass", "every step finite, nothing raised")


def equal_runs(trials: Trials, trial: Trial, whole: Ran) -> Iterator[Check]:
    """A second run is equal to the bit, though the clock runs otherwise."""
    again = trials.run(trial, lying=True)
    parted = first_difference(whole, again) or next(differences(whole.attributes, again.attributes), None)
    clocks = " and ".join(dict.fromkeys(sentence for sentence in again.notes.seen.get("clock", [])))
    why = f"; {clocks}: count steps, epochs or updates instead" if clocks else ""
    yield from judged("equal runs", [f"two equal runs differ: {parted}{why}"] if parted else [], "to the bit")


def resumes(trials: Trials, trial: Trial, whole: Ran) -> Iterator[Check]:
    """A run resumed after any step goes on to the bit, and what the plugin remembers is what it would have."""
    parted, forgotten = [], []
    for done, state in whole.kept.items():
        if done >= trials.steps:
            continue
        try:
            on = trials.run(trial, state=state)
        except (Exception, SystemExit) as error:
            parted.append(f"a resume after {done} steps: {sentence_of(error)}")
            continue
        if (where := first_difference(whole, on)) is not None:
            parted.append(f"a run resumed after {done} steps goes another way: {where}")
        elif (whole.state, whole.rng, whole.rank_rng) != (on.state, on.rng, on.rank_rng):
            parted.append(f"a run resumed after {done} steps ends with another state")
        for name in differences(whole.attributes, on.attributes):
            forgotten.append(f"it remembers {name} after a resume: put it into state_dict")
    yield from judged("resume", parted[:1], f"after each of {trials.steps - 1} steps, to the bit")
    firsts = {sentence.partition(" (")[0]: sentence for sentence in reversed(forgotten)}
    moved = [
        f"what state_dict returned after {done} steps changes later: return copies"
        for done, (handed, then) in whole.handed.items()
        if _comparable(handed) != then
    ]
    kept = "all that it remembers is in its state, as primitives and tensors"
    graph = [f"its attribute {name} keeps the graph of a step alive: detach it" for name in whole.graphs]
    yield from judged("state", [*firsts.values(), *moved[:1], *graph], kept)


def parts_of_a_batch(trials: Trials, trial: Trial) -> Iterator[Check]:
    """What it adds and writes does not depend on how the batch is cut."""
    slow = with_train(trial, lr=1e-6)
    whole, cut = trials.run(slow, steps=4), trials.run(with_train(slow, micro_batches=2), steps=4)
    name, kept = "micro-batches", "the same terms and writes, whole or in parts"
    if any(drawn is not None for ran in (whole, cut) for drawn in (ran.rng, ran.rank_rng)):
        yield Check(name, "pass", "it draws, so that only what is raised was looked at")
        return
    worst, wrong = "", 0.0
    for what, one, two in _pairs(whole, cut):
        off = abs(one - two) / max(abs(one), abs(two), 1e-6)
        if off > wrong:
            worst, wrong = f"{what} is {one:.4g} for a whole batch and {two:.4g} for one in two parts", off
    if wrong > WRONG:
        yield Check(name, "FAIL", f"{worst}: its terms are asked for each part, so count in after_d_step")
    elif wrong > OTHER:
        yield Check(name, "remark", f"{worst}: a statistic of the batch that is no mean")
    else:
        yield Check(name, "pass", kept)


def switched_off(trials: Trials, trial: Trial, whole: Ran, before: Ran) -> Iterator[Check]:
    """Left out on a resume it leaves nothing behind; a run without it is what it was; a switch of its own holds."""
    faults = []
    plain = Trials(None, {}, trials.steps, trials.beside)
    if trials.beside:
        before = plain.run(trial)
    half = trials.steps // 2
    off = plain.run(trial, state=whole.kept[half])
    left = [knob for knob, rows in off.contributions.items() if rows]
    if left:
        faults.append(f"left out on a resume, it still holds {', '.join(left)}")
    if (where := first_difference(before, plain.run(trial))) is not None:
        faults.append(f"a run without it is another one after it was run: {where}; it changed something for all")
    fields = trials.cls.Config.model_fields if trials.cls is not None else {}
    for switch in [name for name in SWITCHES if name in fields and fields[name].annotation is bool]:
        silent = trials.run(trial, settings={**trials.settings, switch: False})
        acts = [entry for entry in silent.notes.history if entry[2]]
        if acts:
            step, hook, written = acts[0]
            what = ", ".join(written)
            faults.append(f"with {switch} = false it writes all the same: {what} in {hook} of step {step}")
        elif (where := first_difference(before, silent)) is not None:
            faults.append(f"with {switch} = false the run is not the one without it: {where}")
    yield from judged("switched off", faults, "it leaves nothing behind")


def _pairs(whole: Ran, cut: Ran) -> Iterator[tuple[str, float, float]]:
    for (step, name), values in whole.notes.terms.items():
        if theirs := cut.notes.terms.get((step, name)):
            yield f"step {step}: the term {name}", _mean(values), _mean(theirs)
    for (step, name), values in whole.notes.published.items():
        theirs = cut.notes.published.get((step, name), [math.nan])
        yield f"step {step}: the signal {name}", _mean(values), _mean(theirs)
    last: list[dict[int, dict[str, Any]]] = [{}, {}]
    for ran, found in zip((whole, cut), last, strict=True):
        for step, _, written in ran.notes.history:
            found[step] = written
    for step, written in last[0].items():
        for name in dict.fromkeys([*written, *last[1].get(step, {})]):
            one, two = written.get(name), last[1].get(step, {}).get(name)
            if isinstance(one, bool | tuple) or isinstance(two, bool | tuple) or one is None or two is None:
                one, two = 1.0, float(one == two)
            yield f"step {step}: {name}", float(one), float(two)


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _comparable(value: Any) -> Any:
    from balancer.conformance.remembered import comparable

    return comparable(value)
