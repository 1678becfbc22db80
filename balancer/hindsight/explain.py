"""Why every knob stood where it stood at a step of a run, from its decisions and configs; without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from balancer.contract.knobs import Decision
from balancer.errors import ConfigError
from balancer.hindsight.explain_step import StepState, explain_step
from balancer.hindsight.moments import acts_from
from balancer.hindsight.standing import Standing
from balancer.record.decisions import read_decisions
from balancer.record.recorder import DECISIONS
from balancer.record.segments import Segment, run_segments
from balancer.train.run import CONFIG

# Further decisions of a range are counted only.
MOST_DECISIONS: Final = 10_000


@dataclass(frozen=True)
class Taken:
    """A decision in the range asked for, and the first step in which it acts."""

    decision: Decision
    acts_from: int


@dataclass(frozen=True)
class Explanation:
    """The knobs of a run at one step, or at the first and the last of several, with every decision in between."""

    folder: Path
    first: StepState
    last: StepState
    decisions: tuple[Taken, ...]
    # Decisions in the range that are not listed, since they are too many.
    left_out: int = 0
    remarks: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        return {**dataclasses.asdict(self), "folder": str(self.folder)}


def explain(folder: str | Path, first: int, last: int | None = None) -> Explanation:
    """Explain the knobs of a run at a step, or over the steps from `first` to `last`, both included.

    It reads decisions.jsonl and the configs and nothing else. Without a config, as in the logs of somebody
    else's script, base values are unknown, and an effective value is the one that the last decision logged.

    Raises:
        ConfigError: not a run directory, or steps that the run does not have.
        CheckpointError: a line of decisions.jsonl is damaged.
        PluginError, CompositionError: a plugin of the run is not installed, or they no longer go together.
    """
    folder = Path(folder)
    last = first if last is None else last
    segments = run_segments(folder)
    if not segments and not (folder / DECISIONS).is_file():
        raise ConfigError(f"{folder} is no run directory: it holds neither {CONFIG} nor {DECISIONS}")
    _check_steps(folder, segments, first, last)
    ends = [Standing(segments, step) for step in dict.fromkeys((first, last))]
    taken: list[Taken] = []
    left_out = 0
    logged: list[Decision] = []  # the first and the last one read
    for decision in read_decisions(folder):
        logged[1:] = [decision]
        for end in ends:
            end.add(decision)
        if first <= decision.step <= last:
            if len(taken) < MOST_DECISIONS:
                taken.append(Taken(decision, acts_from(decision)))
            else:
                left_out += 1
        # In a script's log the end of an epoch may come after a resume at the next step.
        if decision.step > last + 1:
            break
    states = [explain_step(end) for end in ends]
    remarks = tuple(_remarks(folder, segments, ends[-1], first, last, logged))
    return Explanation(folder, states[0], states[-1], tuple(taken), left_out, remarks)


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


def _check_steps(folder: Path, segments: Sequence[Segment], first: int, last: int) -> None:
    if first < 0:
        raise ConfigError(f"step {first}: steps count from 0")
    if last < first:
        raise ConfigError(f"steps {first} to {last}: the first step of a range comes first")
    steps = _train(segments).get("steps")
    if isinstance(steps, int) and last >= steps:
        raise ConfigError(f"step {last}: the run in {folder} ends with step {steps - 1} (train.steps = {steps})")


def _train(segments: Sequence[Segment]) -> Mapping[str, Any]:
    table: Mapping[str, Any] = segments[-1].tables.get("train", {}) if segments else {}
    return table


def _remarks(
    folder: Path, segments: Sequence[Segment], end: Standing, first: int, last: int, logged: Sequence[Decision]
) -> Iterator[str]:
    """What a reader must know about where all this comes from, one sentence each."""
    names = dict.fromkeys(name for segment in segments for name in segment.plugins)
    if not segments:
        yield (
            f"{folder} has no {CONFIG}: which plugins were composed and with which settings, base values, other "
            "bands and the end of a contribution by a resume without its plugin cannot be known"
        )
    elif not names:
        yield "the run has no plugins: every knob is at its base value"
    elif not logged:
        yield f"no decision is logged: its plugins ({', '.join(names)}) wrote nothing, or {DECISIONS} is lost"
    if logged and logged[0].step > first and logged[0].moment == "on_run_start":
        begin = logged[0].step
        if all(segment.first != begin for segment in segments):
            yield f"the decisions begin with step {begin}: a run taken over from elsewhere has no earlier steps"
    if not logged or logged[-1].step < last:
        length = {key: value for key, value in _train(segments).items() if key in ("steps", "epochs")}
        asked = " and ".join(f"{value} {key}" for key, value in list(length.items())[:1])
        newest = f"the last decision is of step {logged[-1].step}" if logged else "there is no decision"
        yield (
            f"{newest}: whether the run got as far as step {last} the decisions do not say"
            + (f"; its config asks for {asked}" if asked else "")
        )
    for plugin, step in end.strangers.items():
        yield (
            f"{plugin} wrote at step {step}, though the config kept for that step does not compose it: configs of "
            "this run were replaced more than once, so what is said of those steps may be wrong"
        )
