"""Why every knob stood where it stood at a step of a run: the step's recorded row, its decisions, its composition."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.contract.knobs import Decision
from balancer.contract.notes import Note
from balancer.errors import ConfigError, DataError
from balancer.hindsight.active import Active
from balancer.hindsight.explain_step import StepState, explain_step
from balancer.record.compositions import Composed, run_compositions
from balancer.record.decisions import read_decisions, read_notes
from balancer.record.signals import SignalRows

if TYPE_CHECKING:
    from balancer.record.signals import Floats

# Further decisions of a range, and further notes, are counted only.
MOST_DECISIONS: Final = 10_000
MOST_NOTES: Final = 20


@dataclass(frozen=True)
class Taken:
    """A decision in the range asked for, and the first step in which it acts."""

    decision: Decision
    acts_from: int


@dataclass(frozen=True)
class Explanation:
    """The knobs of a run at one step, or at the first and the last of several, with every decision in between.

    `balancer.as_text` and `balancer.as_data` put it into words.

    Attributes:
        left_out: decisions in the range that are not listed, since they are too many.
        notes: the first notes of the whole run, whatever the steps.
        notes_left_out: how many more there are.
    """

    folder: Path
    first: StepState
    last: StepState
    decisions: tuple[Taken, ...]
    left_out: int = 0
    notes: tuple[Note, ...] = ()
    notes_left_out: int = 0


def explain(run: str | Path, first: int, last: int | None = None, *, neighbours: bool = True) -> Explanation:
    """Explain the knobs of a run at a step, or over the steps from `first` to `last`, both included; without torch.

    Args:
        run: a run directory, or the `log_dir` of a script's `Balancer`.
        first: a step, from 0.
        last: the last step of a range.
        neighbours: ask each law what else it would have answered, by a replay of neighbouring values.

    Raises:
        ConfigError: not a run directory, or steps that the run does not have.
        DataError, CheckpointError: its signals, decisions or compositions are missing or damaged.
    """
    folder = Path(run)
    last = first if last is None else last
    if first < 0:
        raise ConfigError(f"step {first}: steps count from 0")
    if last < first:
        raise ConfigError(f"steps {first} to {last}: the first step of a range comes first")
    compositions = run_compositions(folder)
    rows = SignalRows(folder)
    ends = {step: Active(step) for step in (first, last)}
    recorded = {step: rows.at(step) for step in ends}
    for step, row in recorded.items():
        if row is None:
            raise ConfigError(f"step {step}: the run in {folder} has recorded {_steps(rows)}")
    taken: list[Decision] = []
    left_out = 0
    for decision in read_decisions(folder):
        for end in ends.values():
            end.add(decision)
        if first <= decision.step <= last:
            if len(taken) < MOST_DECISIONS:
                taken.append(decision)
            else:
                left_out += 1
        # In a script's log the end of an epoch may come after a resume at the next step.
        if decision.step > last + 1:
            break
    states = {
        step: explain_step(end, row, _at(compositions, step, folder), neighbours)
        for (step, end), row in zip(ends.items(), recorded.values(), strict=True)
        if row is not None
    }
    notes = read_notes(folder)
    noted = tuple(itertools.islice(notes, MOST_NOTES))
    return Explanation(
        folder,
        states[first],
        states[last],
        acting_from(taken, compositions, rows),
        left_out,
        noted,
        sum(1 for _ in notes),
    )


def parse_steps(text: str) -> tuple[int, int]:
    """`N`, or `A:B` with both ends included, as a first and a last step.

    Raises:
        ConfigError: not of that form.
    """
    head, colon, tail = text.partition(":")
    ends = [end.strip() for end in ((head, tail) if colon else (head, head))]
    if not all(end.isascii() and end.isdigit() and len(end) < 16 for end in ends):
        raise ConfigError(f"step {text!r}: expected a step from 0 on, such as 1200, or a range such as 1200:1250")
    first, last = map(int, ends)
    if last < first:
        raise ConfigError(f"step {text!r}: the first step of a range comes first: {last}:{first}")
    return first, last


def _at(compositions: Sequence[Composed], step: int, folder: Path) -> Composed:
    for composed in reversed(compositions):
        if composed.first <= step:
            return composed
    first = compositions[0].first
    raise ConfigError(f"step {step}: what the run in {folder} was composed of before step {first} is not recorded")


def acting_from(decisions: Sequence[Decision], compositions: Sequence[Composed], rows: SignalRows) -> tuple[Taken, ...]:
    """Decisions, each with the first step in which it acts.

    What could act in its own step did not where G came first in it: then that step recorded another value, and the next
    one this.
    """
    acts = {id(one): one.step + (not _in_step(one, compositions)) for one in decisions}
    steps = rows.column("step")
    together: dict[str, dict[int, list[Decision]]] = {}
    for one in decisions:
        if acts[id(one)] == one.step and one.knob not in ("lr_d", "lr_g"):
            together.setdefault(one.knob, {}).setdefault(one.step, []).append(one)
    for knob, by_step in together.items():
        column = rows.column(knob)
        if steps is None or column is None:
            continue
        for place in np.flatnonzero(np.isin(steps, list(by_step))).tolist():
            mine = by_step[int(steps[place])]
            before, held, after = (_value(column, place + offset) for offset in (-1, 0, 1))
            if held not in [one.effective for one in mine] and (
                after == mine[-1].effective or (after is None and before == held)
            ):
                acts.update((id(one), one.step + 1) for one in mine)
    return tuple(Taken(one, acts[id(one)]) for one in decisions)


def _value(column: Floats, place: int) -> float | None:
    return float(column[place]) if 0 <= place < len(column) else None


def _in_step(decision: Decision, compositions: Sequence[Composed]) -> bool:
    """Whether a decision acts in its own step, where D comes first in it and G is updated once."""
    for composed in reversed(compositions):
        if composed.first <= decision.step and decision.knob in composed.knobs:
            return composed.knobs[decision.knob].acts_in_step(decision.moment)
    return True


def _steps(rows: SignalRows) -> str:
    steps = rows.column("step")
    if steps is None or not len(steps):
        raise DataError(f"{rows.path} holds no step: has the run begun?")
    gaps = " with gaps" if len(steps) <= steps[-1] - steps[0] else ""
    return f"steps {steps[0]:.0f} to {steps[-1]:.0f}{gaps}"
