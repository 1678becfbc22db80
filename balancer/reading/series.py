"""One signal over the steps of a run, in bounded memory: thinned by halves as it grows."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CAPACITY: Final = 4096  # spans of a series
LIMIT: Final = 1e100  # a value beyond it is as good as infinite, and its square would overflow
PENDING: Final = 4096  # values that wait to be folded into spans


class Series:
    """One signal: at most 4,096 spans, each the mean, lowest and highest of `span` successive values.

    Up to 4,096 values every span is one value. Values that are not finite are counted, not kept. Steps never
    fall: a value of an earlier step than the last one supersedes what was measured from there on. Arrays are
    float64 of shape (spans,); values are in the units of the log.

    Attributes:
        count: finite values taken in and not superseded.
        superseded: finite values that were taken in and gave way to later ones.
        nonfinite: values that were NaN, infinite or beyond 1e100, superseded ones included.
        first_nonfinite: the step of the first of them.
        trailing: how many values since the last finite one are not finite.
        trailing_since: the step of the first of these.
    """

    def __init__(self) -> None:
        self._span: int = 1
        self.count: int = 0
        self.superseded: int = 0
        self.nonfinite: int = 0
        self.first_nonfinite: float | None = None
        self.trailing: int = 0
        self.trailing_since: float = -math.inf
        # What waits to be folded; its steps are those of the last span or later.
        self._steps = array("d")
        self._values = array("d")
        # Of shape (5, spans); rows: first step, last step, mean, lowest, highest.
        self._spans: Floats = np.empty((5, 0))

    @classmethod
    def of(cls, steps: Floats, values: Floats) -> Series:
        """A series of these steps and values, of shape (n,)."""
        made = cls()
        made.extend(steps, values)
        return made

    def append(self, step: float, value: float) -> None:
        """Take the next value."""
        if step < self._end():
            self.cut(step)
        if not abs(value) <= LIMIT:
            self.nonfinite += 1
            if self.first_nonfinite is None:
                self.first_nonfinite = step
            if not self.trailing:
                self.trailing_since = step
            self.trailing += 1
            return
        self.trailing = 0
        self._steps.append(step)
        self._values.append(value)
        self.count += 1
        if len(self._steps) >= max(PENDING, 2 * self._span):
            self._fold()

    def extend(self, steps: Floats, values: Floats) -> None:
        """Take many values at once: steps and values of shape (n,)."""
        if len(steps) and (steps[0] < self._end() or (steps[1:] < steps[:-1]).any()):
            for step, value in zip(steps.tolist(), values.tolist(), strict=True):
                self.append(step, value)
            return
        for at in range(0, len(steps), PENDING):
            block, stretch = values[at : at + PENDING], steps[at : at + PENDING]
            finite = np.abs(block) <= LIMIT
            if not finite.all():
                self.nonfinite += int((~finite).sum())
                if self.first_nonfinite is None:
                    self.first_nonfinite = float(stretch[~finite][0])
                good = np.flatnonzero(finite)
                after = int(good[-1]) + 1 if len(good) else 0
                if len(good) or not self.trailing:
                    self.trailing = 0
                    self.trailing_since = float(stretch[after]) if after < len(stretch) else -math.inf
                self.trailing += len(stretch) - after
                block, stretch = block[finite], stretch[finite]
            else:
                self.trailing = 0
            self.count += len(block)
            # Whole spans are taken as they are, where they fit.
            spans, over = divmod(len(block), self._span)
            if not self._steps and not over and self._spans.shape[1] + spans <= CAPACITY:
                self._spans = np.concatenate([self._spans, _reduced(stretch, block, self._span)], axis=1)
                continue
            self._steps.frombytes(np.ascontiguousarray(stretch, dtype=np.float64).tobytes())
            self._values.frombytes(np.ascontiguousarray(block, dtype=np.float64).tobytes())
            if len(self._steps) >= max(PENDING, 2 * self._span):
                self._fold()

    def cut(self, step: float) -> None:
        """Forget what was measured at `step` and later, as far as whole spans allow."""
        if self.trailing and self.trailing_since >= step:
            self.trailing = 0
        before = self.count
        # From the end, value by value: a log that goes back again and again costs no more than one that does not.
        while self._steps and self._steps[-1] >= step:
            self._steps.pop()
            self._values.pop()
            self.count -= 1
        if self._spans.shape[1] and self._spans[1, -1] >= step:
            keep = int(np.searchsorted(self._spans[1], step))
            self.count -= (self._spans.shape[1] - keep) * self._span
            self._spans = self._spans[:, :keep]
        self.superseded += before - self.count

    def _end(self) -> float:
        if self._steps:
            return self._steps[-1]
        return float(self._spans[1, -1]) if self._spans.shape[1] else -math.inf

    @property
    def span(self) -> int:
        """The values in a full span, a power of 2."""
        self._fold()
        return self._span

    @property
    def steps(self) -> Floats:
        """The first step of each span."""
        return self._row(0)

    @property
    def last_steps(self) -> Floats:
        """The last step of each span."""
        return self._row(1)

    @property
    def values(self) -> Floats:
        """The mean of each span."""
        return self._row(2)

    @property
    def low(self) -> Floats:
        """The lowest value of each span."""
        return self._row(3)

    @property
    def high(self) -> Floats:
        """The highest value of each span."""
        return self._row(4)

    def copy(self) -> Series:
        """The same series, which goes its own way."""
        series = Series()
        series.__dict__.update(self.__dict__)
        series._steps, series._values = self._steps[:], self._values[:]
        return series

    def scaled(self, factor: float) -> Series:
        """The series with each value times `factor`, which is above 0."""
        series = Series()
        series._span, series.count = self.span, self.count
        series.nonfinite, series.first_nonfinite = self.nonfinite, self.first_nonfinite
        series.trailing, series.trailing_since = self.trailing, self.trailing_since
        series._spans = self._all().copy()
        series._spans[2:] *= factor
        return series

    def since(self, step: float) -> Series:
        """The part whose spans begin at `step` or later."""
        series = self.scaled(1.0)
        series._spans = series._spans[:, series._spans[0] >= step]
        series.count = min(self.count, series._spans.shape[1] * self._span)
        return series

    def _row(self, index: int) -> Floats:
        row: Floats = self._all()[index]
        return row

    def _all(self) -> Floats:
        self._fold()
        if not self._steps:
            return self._spans
        # The values of a span not yet full stand for themselves as one span.
        steps, values = self._steps, np.array(self._values)
        rest = np.array([[steps[0]], [steps[-1]], [values.mean()], [values.min()], [values.max()]])
        return np.concatenate([self._spans, rest], axis=1)

    def _fold(self) -> None:
        """Make spans of what waits; which ones follows from the values alone, not from when they are made."""
        if len(self._steps) < self._span:
            return
        steps, values = np.array(self._steps), np.array(self._values)
        done = 0
        while (whole := (len(steps) - done) // self._span) > 0:
            room = CAPACITY - self._spans.shape[1]
            if not room:
                self._spans = _merged(self._spans)
                self._span *= 2
                continue
            end = done + min(whole, room) * self._span
            self._spans = np.concatenate([self._spans, _reduced(steps[done:end], values[done:end], self._span)], axis=1)
            done = end
        del self._steps[:done], self._values[:done]


def _reduced(steps: Floats, values: Floats, span: int) -> Floats:
    """Whole spans of these values, of shape (5, spans)."""
    spans = np.stack([steps, steps, values, values, values])
    while span > 1:
        spans, span = _merged(spans), span // 2
    return spans


def _merged(spans: Floats) -> Floats:
    """Neighbours put together, of shape (5, spans / 2)."""
    first, second = spans[:, 0::2], spans[:, 1::2]
    return np.stack(
        [
            first[0],
            second[1],
            (first[2] + second[2]) / 2,
            np.minimum(first[3], second[3]),
            np.maximum(first[4], second[4]),
        ]
    )
