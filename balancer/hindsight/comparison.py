"""A knob as a run recorded it beside what a replay makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from balancer.hindsight.trajectory import Replay

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Values of a knob that are told one by one.
MOST_VALUES: Final = 6


class Columns(Protocol):
    """What was recorded of knobs: `balancer.record.signals.SignalRows`, or what a log says."""

    def column(self, name: str) -> NDArray[np.float64] | None:
        """All values of one knob, of shape (steps,), or None where there are none."""
        ...


@dataclass(frozen=True)
class Course:
    """What a knob did: its commonest values, each with its share of the steps, how many others, mean, changes."""

    values: tuple[tuple[float, float], ...]
    others: int
    mean: float
    changes: int


@dataclass(frozen=True)
class Comparison:
    """A knob as recorded and as replayed, in numbers: a switch is 0 or 1, names are counted.

    `recorded` is None where the run did not have the knob, or no step of it. `differs` is the share of the steps that
    have both in which they differ, `first` the first of those steps.
    """

    knob: str
    recorded: Course | None
    replayed: Course | None
    differs: float
    first: int | None


def compare(replay: Replay, recorded: Columns, knob: str) -> Comparison:
    """Compare one knob of a replay with the column that its run recorded, step by step."""
    now, then = replay.numbers(knob), recorded.column(knob)
    if then is None:
        return Comparison(knob, None, _course(now), 0.0, None)
    both = ~(np.isnan(now) | np.isnan(then))
    differ = both & (now != then)
    first = int(replay.steps[np.argmax(differ)]) if differ.any() else None
    share = float(differ.sum() / both.sum()) if both.any() else 0.0
    return Comparison(knob, _course(then), _course(now), share, first)


def _course(values: NDArray[np.float64]) -> Course | None:
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    distinct, counts = np.unique(values, return_counts=True)
    common = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    return Course(
        tuple((float(distinct[index]), float(counts[index] / len(values))) for index in common),
        len(distinct) - len(common),
        float(values.mean()),
        int((values[1:] != values[:-1]).sum()),
    )
