"""A replay in words, and its trajectories as a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from rich.cells import cell_len, set_cell_size

from balancer.errors import ConfigError, say
from balancer.hindsight.comparison import Comparison, Course
from balancer.hindsight.replay_run import RunReplay
from balancer.hindsight.trajectory import Replay
from balancer.record.outputs import write_atomically
from balancer.show.phrases import phrase_text
from balancer.show.sparkline import sparkline
from balancer.show.words import Words, own

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPARK: Final = 48  # characters

LABELS: Final = ("recorded", "would_have_been", "over_the_steps")


def print_replay(run: RunReplay, lang: str = "en") -> None:
    """Print what `replay_run` returned, for people.

    Raises:
        ConfigError: there is no such language.
    """
    for line in replay_lines(run, lang):
        say(line)


def replay_lines(run: RunReplay, lang: str = "en") -> Iterator[str]:
    """The lines of `print_replay`: each knob as recorded and as it would have been, the common values first."""
    words = own(lang)
    plugins = words("ui.comma").join(run.plugins) or words("explain.no_plugins")
    yield words("replay.head", plugins=plugins, folder=run.folder, steps=len(run.replay), decisions=run.decisions)
    same = []
    for one in run.comparisons:
        if one.recorded is not None and one.first is None:
            same.append(one)
        else:
            yield ""
            yield from _comparison(one, run.replay, words)
    if same:
        yield ""
        yield words("replay.as_recorded")
        for one in same:
            yield "  " + words("replay.same", knob=one.knob, course=_course(one.replayed, words))
    yield ""
    for warning in run.warnings:
        yield words("replay.warning", text=warning)
    for remark in run.remarks:
        yield words("replay.note", text=phrase_text(remark, words))
    yield words("replay.note", text=words("replay.caveat"))


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


def _comparison(one: Comparison, replay: Replay, words: Words) -> Iterator[str]:
    yield one.knob
    missing = words("replay.not_recorded")
    yield _labelled("recorded", _course(one.recorded, words) if one.recorded is not None else missing, words)
    yield _labelled("would_have_been", _course(one.replayed, words), words)
    if one.replayed is not None and one.replayed.changes:
        yield _labelled("over_the_steps", sparkline(_thinned(replay.numbers(one.knob))), words)
    if one.first is not None:
        yield "  " + words("replay.differs", share=one.differs, first=one.first)


def _labelled(label: str, text: str, words: Words) -> str:
    """A line of a knob: what stands behind the labels begins in one column, however wide their characters are."""
    width = max(cell_len(words(f"replay.{key}")) for key in LABELS) + 2
    return f"  {set_cell_size(words(f'replay.{label}'), width)}{text}"


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The means of a few dozen equal stretches, as far as the knob was there."""
    values = values[~np.isnan(values)]
    edges = np.linspace(0, len(values), min(SPARK, len(values)) + 1).astype(int)
    return np.add.reduceat(values, edges[:-1]) / np.diff(edges)


def _course(course: Course | None, words: Words) -> str:
    if course is None:
        return words("replay.not_there")
    if len(course.values) == 1 and not course.others:
        return words("replay.throughout", value=course.values[0][0])
    values = words("ui.comma").join(words("replay.value", value=value, share=share) for value, share in course.values)
    return words(
        "replay.course",
        values=values,
        others=words("replay.others", count=course.others) if course.others else "",
        mean=course.mean,
        changes=words("replay.one_change" if course.changes == 1 else "replay.changes", count=course.changes),
    )


def _cell(value: float) -> str | float | int:
    if value != value:  # NaN
        return ""
    return int(value) if value.is_integer() else value
