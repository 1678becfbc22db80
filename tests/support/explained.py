"""What `explain` says of a run's steps, held against what signals.bin recorded of them."""

from __future__ import annotations

from pathlib import Path

from balancer.contract.knobs import Value
from balancer.hindsight.explain import explain
from balancer.hindsight.explain_step import StepState
from balancer.hindsight.phrase import Phrase
from balancer.record.signals import read_signals
from balancer.show.phrases import phrase_text
from balancer.show.words import own


def number(value: Value) -> float:
    return float(len(value)) if isinstance(value, tuple) else float(value)


def said(phrase: Phrase) -> str:
    """A phrase in English."""
    return phrase_text(phrase, own("en"))


def assert_true(folder: Path) -> list[StepState]:
    """Every knob of every step is as recorded, and what is logged of contributions and bases makes it that."""
    columns = read_signals(folder)
    states = []
    for index, step in enumerate(columns["step"].tolist()):
        state = explain(folder, int(step), neighbours=False).first
        states.append(state)
        assert state.epoch == columns["epoch"][index]
        for knob in state.knobs:
            assert number(knob.effective) == columns[knob.knob][index], f"{knob.knob} at step {step}"
            assert not any(remark.words == "explain.incomplete" for remark in knob.remarks), (knob, step)
    return states
