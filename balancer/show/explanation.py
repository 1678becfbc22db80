"""An explanation in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from balancer.contract.notes import Note
from balancer.errors import say
from balancer.hindsight.explain import Explanation, Taken
from balancer.hindsight.explain_step import Alternative, Contribution, KnobState, StepState
from balancer.hindsight.merge_text import text_of
from balancer.reading.names import one_line
from balancer.record.folder import DECISIONS

# Alternatives to either side of the one in force that are shown, where there are many.
AROUND = 3
# Characters of a note.
NOTE_LENGTH = 400


def print_explanation(explanation: Explanation) -> None:
    """Print what `explain` returned, for people."""
    for line in explanation_lines(explanation):
        say(line)


def explanation_lines(explanation: Explanation) -> Iterator[str]:
    """The lines of `print_explanation`: the first step, the decisions of a range, its last step, the run's notes."""
    first, last = explanation.first, explanation.last
    yield from _step(first)
    if last.step > first.step:
        yield ""
        yield from _decisions(explanation.decisions, explanation.left_out, first.step, last.step)
        yield ""
        yield from _step(last)
    else:
        later = [taken for taken in explanation.decisions if taken.acts_from > last.step]
        if later:
            yield ""
            yield f"decided in step {last.step}, acting from step {last.step + 1} on:"
            yield from (_decision(taken) for taken in later)
    if not (first.plugins or last.plugins):
        yield "note: the run has no plugins: every knob is at its base value"
    if explanation.notes:
        yield ""
        yield from _notes(explanation.notes, explanation.notes_left_out)


def _step(state: StepState) -> Iterator[str]:
    epoch = "no epochs counted" if state.epoch < 0 else f"epoch {state.epoch}"
    yield f"step {state.step}, {epoch}: {', '.join(state.plugins) or 'no plugins'}"
    for knob in state.knobs:
        if not knob.contributions:
            continue
        yield ""
        yield from _knob(knob)
    rest = [f"{knob.knob} {text_of(knob.effective)}" for knob in state.knobs if not knob.contributions]
    if rest:
        yield ""
        yield f"at their base, as no plugin contributes: {', '.join(rest)}"
    about: dict[str, list[str]] = {}
    for knob in state.knobs:
        for remark in () if knob.contributions else knob.remarks:
            about.setdefault(remark, []).append(knob.knob)
    yield from (f"  ({', '.join(knobs)}: {remark})" for remark, knobs in about.items())


def _knob(knob: KnobState) -> Iterator[str]:
    yield f"{knob.knob} = {text_of(knob.effective)} (read after {knob.read_after})"
    yield f"  {knob.how}"
    for one in knob.contributions:
        yield f"  - {_contribution(one)}"
        if one.note:
            yield f"      {one.note}"
        yield from _alternatives(knob.knob, one.alternatives)
    for remark in knob.remarks:
        yield f"  ({remark})"


def _contribution(one: Contribution) -> str:
    what = "withdrawn" if one.value is None else text_of(one.value)
    since = f"since step {one.step}, epoch {one.epoch}, {one.moment}"
    return f"{one.plugin}: {one.op} {what}, {since}{_on(one.signals)}"


def _alternatives(knob: str, outcomes: Sequence[Alternative]) -> Iterator[str]:
    here = next((index for index, outcome in enumerate(outcomes) if outcome.here), 0)
    first, last = max(0, here - AROUND), here + AROUND + 1
    if first:
        yield f"      … {first} before"
    for outcome in outcomes[first:last]:
        mark = "*" if outcome.here else " "
        yield f"    {mark} {outcome.when}: {text_of(outcome.value)} -> {knob} {text_of(outcome.effective)}"
    if len(outcomes) > last:
        yield f"      … {len(outcomes) - last} more"


def _decisions(decisions: Sequence[Taken], left_out: int, first: int, last: int) -> Iterator[str]:
    count = len(decisions) + left_out
    if not count:
        yield f"no decision in steps {first} to {last}"
        return
    yield f"{count} decision{'s' if count > 1 else ''} in steps {first} to {last}:"
    yield from (_decision(taken) for taken in decisions)
    if left_out:
        yield f"  … {left_out} more: ask for fewer steps to see them"


def _decision(taken: Taken) -> str:
    decision = taken.decision
    later = f", acting from step {taken.acts_from} on" if taken.acts_from > decision.step else ""
    change = f"{text_of(decision.old)} -> {text_of(decision.new)}"
    note = f" ({decision.note})" if decision.note else ""
    return (
        f"  step {decision.step}, {decision.moment}: {decision.plugin} {decision.op} {decision.knob} {change}"
        f"{_on(decision.signals)}, making it {text_of(decision.effective)}{later}{note}"
    )


def _notes(notes: Sequence[Note], left_out: int) -> Iterator[str]:
    yield "notes of the run:"
    for note in notes:
        yield f"  step {note.step}, {note.kind}: {one_line(note.who)}: {one_line(note.text, NOTE_LENGTH)}"
    if left_out:
        yield f"  … {left_out} more in {DECISIONS}"


def _on(signals: Mapping[str, float]) -> str:
    return ", on " + ", ".join(f"{name} = {value:.6g}" for name, value in signals.items()) if signals else ""
