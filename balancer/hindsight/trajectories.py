"""What knobs did over the steps of a replay, kept compactly: values, and where they change."""

from __future__ import annotations

import bisect
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, overload

import numpy as np

from balancer.contract.knobs import Decision, KnobSpec, Value

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["number", "switch", "names"]


class Trajectory:
    """One knob over the steps, as runs of equal values."""

    def __init__(self, kind: Kind) -> None:
        self.kind: Final = kind
        # The first step of each run of equal values, by its place in the replay, and its value.
        self._starts: Final = array("q")
        self._values: Final = array("d")
        # A set of names is kept as its place in here.
        self._names: Final[list[tuple[str, ...]]] = []

    def note(self, place: int, value: Value) -> None:
        """The knob has this value from the step at `place` on."""
        if isinstance(value, tuple):
            if value not in self._names:
                self._names.append(value)
            number = float(self._names.index(value))
        else:
            number = float(value)
        if not self._values or self._values[-1] != number:
            self._starts.append(place)
            self._values.append(number)

    def end(self, place: int) -> None:
        """The knob is gone from the step at `place` on."""
        if self._values and not math.isnan(self._values[-1]):
            self._starts.append(place)
            self._values.append(math.nan)

    def numbers(self, length: int) -> NDArray[np.float64]:
        """Its values over `length` steps, as signals.bin keeps them: 0 or 1 for a switch, a count for names.

        NaN where the knob is not there.
        """
        values = list(self._values)
        if self.kind == "names":
            values = [value if math.isnan(value) else float(len(self._names[int(value)])) for value in values]
        return self._spread(values, length)

    def values(self, length: int) -> list[Value]:
        """Its values over `length` steps."""
        return [self._value(number) for number in self._spread(self._values, length).tolist()]

    def at(self, place: int) -> Value:
        """Its value in the step at `place`."""
        return self._value(self._values[bisect.bisect_right(self._starts, place) - 1])

    @property
    def start(self) -> int:
        """The place of the first step in which the knob was there."""
        return self._starts[0] if self._starts else 0

    def _value(self, number: float) -> Value:
        if math.isnan(number) or self.kind == "number":
            return number
        return self._names[int(number)] if self.kind == "names" else bool(number)

    def _spread(self, values: Sequence[float], length: int) -> NDArray[np.float64]:
        starts = np.array(self._starts, dtype=np.int64)
        lengths = np.diff(np.append(starts, length))
        lead = np.full(self.start if len(starts) else length, math.nan)
        return np.concatenate([lead, np.repeat(np.array(values, dtype=np.float64), lengths)])


class Rows(Sequence[dict[str, Value]]):
    """Every knob by name, step by step; a row is made when it is asked for."""

    def __init__(self, knobs: Mapping[str, Trajectory], length: int) -> None:
        self._knobs = knobs
        self._length = length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> dict[str, Value]: ...
    @overload
    def __getitem__(self, place: slice) -> list[dict[str, Value]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, Value] | list[dict[str, Value]]:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(self._length))]
        index = place + self._length if place < 0 else place
        if not 0 <= index < self._length:
            raise IndexError(place)
        return {name: knob.at(index) for name, knob in self._knobs.items() if knob.start <= index}


class Replay:
    """What plugins made of a sequence of signals: every knob's effective value in each step, and each decision.

    `replay["lambda_adv"]` lists one knob over the steps; `numbers` has it as an array.
    """

    def __init__(self) -> None:
        self.decisions: Final[list[Decision]] = []
        self._steps: Final = array("q")
        self._epochs: Final = array("q")
        self._knobs: Final[dict[str, Trajectory]] = {}

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, knob: str) -> list[Value]:
        """One knob over the steps, as it stood where it was read: G's weights right after before_g_backward."""
        return self._knobs[knob].values(len(self))

    def __iter__(self) -> Iterator[str]:
        return iter(self._knobs)

    @property
    def knobs(self) -> Rows:
        """Every knob by name, step by step."""
        return Rows(self._knobs, len(self))

    @property
    def steps(self) -> NDArray[np.int64]:
        """The number of each step."""
        return np.array(self._steps, dtype=np.int64)

    @property
    def epochs(self) -> NDArray[np.int64]:
        """The epoch of each step."""
        return np.array(self._epochs, dtype=np.int64)

    def numbers(self, knob: str) -> NDArray[np.float64]:
        """One knob over the steps as signals.bin has it: 0 or 1 for a switch, how many for names; NaN: not there."""
        return self._knobs[knob].numbers(len(self))

    def begin(self, knobs: Mapping[str, KnobSpec]) -> None:
        """From the next step on there are these knobs, and no others."""
        for name, knob in self._knobs.items():
            if name not in knobs:
                knob.end(len(self))
        for name, spec in knobs.items():
            kind: Kind = "names" if "add" in spec.ops else "switch" if "gate" in spec.ops else "number"
            self._knobs.setdefault(name, Trajectory(kind))

    def note(self, knob: str, value: Value) -> None:
        """A knob's value in the step under way."""
        self._knobs[knob].note(len(self), value)

    def end_step(self, step: int, epoch: int) -> None:
        """The step under way is over; a knob not noted in it keeps its value."""
        self._steps.append(step)
        self._epochs.append(epoch)
