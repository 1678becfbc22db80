"""Many rows at once: their values by name, put on the axis of steps together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from balancer.reading.source import Row
from balancer.reading.step_axis import StepAxis

if TYPE_CHECKING:
    from balancer.reading.series import Floats

    Table = dict[str, Floats]


class RowBlock(NamedTuple):
    """Rows whose steps do not fall: steps of shape (n,), and values of shape (n,) by signal."""

    steps: Floats
    columns: Table

    def rows(self) -> Iterator[Row]:
        """The same rows, one by one."""
        for place, step in enumerate(self.steps.tolist()):
            yield step, row_at(self.columns, place)


def row_at(table: Table, place: int) -> dict[str, float]:
    """One row of a table."""
    return {name: float(values[place]) for name, values in table.items()}


def placed(table: Table, axis: StepAxis, per_epoch: float | None, before: Callable[[int], None]) -> list[RowBlock]:
    """The rows of a table with their steps on an axis; a new block begins where these fall.

    Args:
        table: raw steps and epochs among its values; not kept as it is.
        before: is called with the place of a row before it is put on the axis, for those that may begin something new.
    """
    raw, epochs = table.pop("step"), table.get("epoch")
    steps = np.empty(len(raw))
    for begin, end in pairwise([*_begins(raw, epochs), len(raw)]):
        before(begin)
        steps[begin] = axis.place(float(raw[begin]), None if epochs is None else float(epochs[begin]), per_epoch)
        steps[begin + 1 : end] = axis.run(raw[begin + 1 : end])
        if epochs is not None:
            epochs[begin:end] += axis.epoch_of(0.0)
    falls: Final = (np.flatnonzero(np.diff(steps) < 0) + 1).tolist()
    return [
        RowBlock(steps[begin:end], {name: values[begin:end] for name, values in table.items()})
        for begin, end in pairwise([0, *falls, len(steps)])
    ]


def _begins(raw: Floats, epochs: Floats | None) -> list[int]:
    """Where the epoch changes or the step does not grow; 0 is the first."""
    begins = np.ones(len(raw), dtype=bool)
    begins[1:] = np.diff(raw) <= 0
    if epochs is not None:
        begins[1:] |= np.diff(epochs) != 0
    return [int(place) for place in np.flatnonzero(begins)]
