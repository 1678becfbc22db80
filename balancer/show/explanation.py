"""An explanation in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from balancer.contract.notes import Note
from balancer.errors import say
from balancer.hindsight.explain import Explanation, Taken
from balancer.hindsight.explain_step import Alternative, Contribution, KnobState, StepState
from balancer.reading.names import one_line
from balancer.record.folder import DECISIONS
from balancer.show.phrases import phrase_text, value_text
from balancer.show.words import Words, own

# Alternatives to either side of the one in force that are shown, where there are many.
AROUND = 3
# Characters of a note.
NOTE_LENGTH = 400


def print_explanation(explanation: Explanation, lang: str = "en") -> None:
    """Print what `explain` returned, for people.

    Raises:
        ConfigError: there is no such language.
    """
    for line in explanation_lines(explanation, lang):
        say(line)


def explanation_lines(explanation: Explanation, lang: str = "en") -> Iterator[str]:
    """The lines of `print_explanation`: the first step, the decisions of a range, its last step, the run's notes."""
    words = own(lang)
    first, last = explanation.first, explanation.last
    yield from _step(first, words)
    if last.step > first.step:
        yield ""
        yield from _decisions(explanation, words)
        yield ""
        yield from _step(last, words)
    else:
        later = [taken for taken in explanation.decisions if taken.acts_from > last.step]
        if later:
            yield ""
            yield words("explain.decided_later", step=last.step, following=last.step + 1)
            yield from (_decision(taken, words) for taken in later)
    if not (first.plugins or last.plugins):
        yield words("explain.without_plugins")
    if explanation.notes:
        yield ""
        yield from _notes(explanation.notes, explanation.notes_left_out, words)


def _step(state: StepState, words: Words) -> Iterator[str]:
    comma = words("ui.comma")
    epoch = words("explain.no_epochs") if state.epoch < 0 else words("explain.epoch", epoch=state.epoch)
    plugins = comma.join(state.plugins) or words("explain.no_plugins")
    yield words("explain.step", step=state.step, epoch=epoch, plugins=plugins)
    for knob in state.knobs:
        if not knob.contributions:
            continue
        yield ""
        yield from _knob(knob, words)
    rest = [f"{knob.knob} {value_text(knob.effective, words)}" for knob in state.knobs if not knob.contributions]
    if rest:
        yield ""
        yield words("explain.at_base", knobs=comma.join(rest))
    about: dict[str, list[str]] = {}
    for knob in state.knobs:
        for remark in () if knob.contributions else knob.remarks:
            about.setdefault(phrase_text(remark, words), []).append(knob.knob)
    for text, knobs in about.items():
        yield "  " + words("explain.remark_on", knobs=comma.join(knobs), text=text)


def _knob(knob: KnobState, words: Words) -> Iterator[str]:
    yield words("explain.knob", knob=knob.knob, value=value_text(knob.effective, words), moment=knob.read_after)
    yield f"  {phrase_text(knob.how, words)}"
    for one in knob.contributions:
        yield f"  - {_contribution(one, words)}"
        if one.note:
            yield f"      {one.note}"
        yield from _alternatives(knob.knob, one.alternatives, words)
    for remark in knob.remarks:
        yield "  " + words("explain.remark", text=phrase_text(remark, words))


def _contribution(one: Contribution, words: Words) -> str:
    return words(
        "explain.contribution",
        plugin=one.plugin,
        op=one.op,
        value=words("explain.withdrawn") if one.value is None else value_text(one.value, words),
        step=one.step,
        epoch=one.epoch,
        moment=one.moment,
        on=_on(one.signals, words),
    )


def _alternatives(knob: str, outcomes: Sequence[Alternative], words: Words) -> Iterator[str]:
    here = next((index for index, outcome in enumerate(outcomes) if outcome.here), 0)
    first, last = max(0, here - AROUND), here + AROUND + 1
    if first:
        yield "      " + words("explain.more_before", count=first)
    for outcome in outcomes[first:last]:
        value, effective = value_text(outcome.value, words), value_text(outcome.effective, words)
        said = words(
            "explain.alternative", when=phrase_text(outcome.when, words), value=value, knob=knob, effective=effective
        )
        yield f"    {'*' if outcome.here else ' '} {said}"
    if len(outcomes) > last:
        yield "      " + words("explain.more", count=len(outcomes) - last)


def _decisions(explanation: Explanation, words: Words) -> Iterator[str]:
    count = len(explanation.decisions) + explanation.left_out
    key = "no_decision" if not count else "one_decision" if count == 1 else "decisions"
    yield words(f"explain.{key}", count=count, first=explanation.first.step, last=explanation.last.step)
    yield from (_decision(taken, words) for taken in explanation.decisions)
    if explanation.left_out:
        yield "  " + words("explain.more_decisions", count=explanation.left_out)


def _decision(taken: Taken, words: Words) -> str:
    one = taken.decision
    return "  " + words(
        "explain.decision",
        step=one.step,
        moment=one.moment,
        plugin=one.plugin,
        op=one.op,
        knob=one.knob,
        old=value_text(one.old, words),
        new=value_text(one.new, words),
        on=_on(one.signals, words),
        effective=value_text(one.effective, words),
        later=words("explain.later", step=taken.acts_from) if taken.acts_from > one.step else "",
        note=words("explain.with_note", note=one.note) if one.note else "",
    )


def _notes(notes: Sequence[Note], left_out: int, words: Words) -> Iterator[str]:
    yield words("explain.notes")
    for note in notes:
        text = one_line(note.text, NOTE_LENGTH)
        yield "  " + words("explain.a_note", step=note.step, kind=note.kind, who=one_line(note.who), text=text)
    if left_out:
        yield "  " + words("explain.more_notes", count=left_out, file=DECISIONS)


def _on(signals: Mapping[str, float], words: Words) -> str:
    if not signals:
        return ""
    said = (f"{name} = {value:.6g}" for name, value in signals.items())
    return words("explain.on", signals=words("ui.comma").join(said))
