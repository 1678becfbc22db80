"""A replay in words, and its trajectories as a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.errors import ConfigError, say
from balancer.hindsight.comparison import Comparison, Course
from balancer.hindsight.replay_run import RunReplay
from balancer.hindsight.trajectory import Replay
from balancer.record.outputs import write_atomically
from balancer.show.sparkline import sparkline

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPARK: Final = 48  # characters

CAVEAT: Final = (
    "the signals are those of the recorded run: with other knobs it would have measured others, so this shows what "
    "the laws do with these signals, not how the run would have gone"
)


def print_replay(run: RunReplay) -> None:
    """Print what `replay_run` returned, for people."""
    for line in replay_lines(run):
        say(line)


def replay_lines(run: RunReplay) -> Iterator[str]:
    """The lines of `print_replay`: each knob as recorded and as it would have been, the common values first."""
    steps, plugins = len(run.replay), ", ".join(run.plugins) or "no plugins"
    yield f"{plugins} on the signals of {run.folder}: {steps} steps, {run.decisions} decisions"
    same = []
    for one in run.comparisons:
        if one.recorded is not None and one.first is None:
            same.append(one)
        else:
            yield ""
            yield from _comparison(one, run.replay)
    if same:
        yield ""
        yield "as recorded in every step:"
        yield from (f"  {one.knob}: {_course(one.replayed)}" for one in same)
    yield ""
    for warning in run.warnings:
        yield f"warning: {warning}"
    for remark in run.remarks:
        yield f"note: {remark}"
    yield f"note: {CAVEAT}"


def write_csv(replay: Replay, path: Path) -> None:
    """Write step, epoch and every knob of a replay, a row for each step; a file that is there is replaced at once.

    A switch is 0 or 1, names are counted, and a cell is empty where a knob was not there.

    Raises:
        ConfigError: the file cannot be written; what was there is left.
    """
    knobs = {name: replay.numbers(name) for name in replay}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "epoch", *knobs])
    for row in zip(replay.steps.tolist(), replay.epochs.tolist(), *knobs.values(), strict=True):
        writer.writerow([*row[:2], *(_cell(float(value)) for value in row[2:])])
    try:
        write_atomically(path, text.getvalue().encode())
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def _comparison(one: Comparison, replay: Replay) -> Iterator[str]:
    yield one.knob
    yield f"  recorded:         {_course(one.recorded) if one.recorded is not None else 'not recorded'}"
    yield f"  would have been:  {_course(one.replayed)}"
    if one.replayed is not None and one.replayed.changes:
        yield f"  over the steps:   {sparkline(_thinned(replay.numbers(one.knob)))}"
    if one.first is not None:
        yield f"  differs in {one.differs:.1%} of the steps, first in step {one.first}"


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The means of a few dozen equal stretches, as far as the knob was there."""
    values = values[~np.isnan(values)]
    edges = np.linspace(0, len(values), min(SPARK, len(values)) + 1).astype(int)
    return np.add.reduceat(values, edges[:-1]) / np.diff(edges)


def _course(course: Course | None) -> str:
    if course is None:
        return "not there"
    if len(course.values) == 1 and not course.others:
        return f"{course.values[0][0]:.6g} throughout"
    values = ", ".join(f"{value:.6g} ({share:.1%})" for value, share in course.values)
    others = f" and {course.others} other values" if course.others else ""
    changes = f"{course.changes} change{'' if course.changes == 1 else 's'}"
    return f"{values}{others}; mean {course.mean:.6g}; {changes}"


def _cell(value: float) -> str | float | int:
    if value != value:  # NaN
        return ""
    return int(value) if value.is_integer() else value
