"""What plugins made of a sequence of signals: every knob over the steps of a replay, as columns of numbers."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.contract.knobs import Decision, Value
from balancer.hindsight.phrase import Phrase

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Replay:
    """Every knob's value in each step of a replay, as it stood where it was read, and each decision.

    `replay["lambda_adv"]` lists one knob over the steps; `numbers` has it as an array. `remarks` say what of the
    plugins a replay leaves out.
    """

    def __init__(self) -> None:
        self.remarks: Final[list[Phrase]] = []
        self.decisions: Final[list[Decision]] = []
        self._steps: Final = array("q")
        self._epochs: Final = array("q")
        self._columns: Final[dict[str, array[float]]] = {}
        self._switches: Final[set[str]] = set()
        # A set of names stands in its column as its place in here.
        self._names: Final[dict[str, list[tuple[str, ...]]]] = {}

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __getitem__(self, knob: str) -> list[Value]:
        """One knob over the steps; NaN where it was not there."""
        return [self._value(knob, number) for number in self._columns[knob]]

    @property
    def knobs(self) -> list[dict[str, Value]]:
        """Every knob by name, step by step."""
        columns = {knob: self[knob] for knob in self}
        rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
        return [{knob: value for knob, value in row.items() if value == value} for row in rows]

    @property
    def steps(self) -> NDArray[np.int64]:
        """The number of each step, of shape (steps,)."""
        return np.array(self._steps, dtype=np.int64)

    @property
    def epochs(self) -> NDArray[np.int64]:
        """The epoch of each step, of shape (steps,); -1 where none is known."""
        return np.array(self._epochs, dtype=np.int64)

    def numbers(self, knob: str) -> NDArray[np.float64]:
        """One knob over the steps as signals.bin has it: 0 or 1 for a switch, how many for names; NaN: not there."""
        column = np.array(self._columns[knob], dtype=np.float64)
        if knob in self._names:
            sizes = np.array([len(names) for names in self._names[knob]], dtype=np.float64)
            there = ~np.isnan(column)
            column[there] = sizes[column[there].astype(int)]
        return column

    def add_step(self, step: int, epoch: int, held: Mapping[str, Value]) -> None:
        """One more step, and what knobs held in it."""
        for knob, value in held.items():
            if knob not in self._columns:
                self._columns[knob] = array("d", [math.nan]) * len(self)
            self._columns[knob].append(self._number(knob, value))
        self._steps.append(step)
        self._epochs.append(epoch)
        for column in self._columns.values():
            if len(column) < len(self):
                column.append(math.nan)

    def _number(self, knob: str, value: Value) -> float:
        if isinstance(value, tuple):
            known = self._names.setdefault(knob, [])
            if value not in known:
                known.append(value)
            return float(known.index(value))
        if isinstance(value, bool):
            self._switches.add(knob)
        return float(value)

    def _value(self, knob: str, number: float) -> Value:
        if math.isnan(number):
            return number
        if knob in self._names:
            return self._names[knob][int(number)]
        return bool(number) if knob in self._switches else number
