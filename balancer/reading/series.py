"""One signal over the steps of a run, in bounded memory: thinned by halves as it grows."""

from __future__ import annotations

import math
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
        span: values in a full span, a power of 2.
        count: finite values taken in and not superseded.
        superseded: finite values that were taken in and gave way to later ones.
        nonfinite: values that were NaN, infinite or beyond 1e100, superseded ones included.
        first_nonfinite: the step of the first of them.
        trailing: how many values since the last finite one are not finite.
        trailing_since: the step of the first of these.
    """

    def __init__(self) -> None:
        self.span: int = 1
        self.count: int = 0
        self.superseded: int = 0
        self.nonfinite: int = 0
        self.first_nonfinite: float | None = None
        self.trailing: int = 0
        self.trailing_since: float = -math.inf
        # What waits to be folded; its steps are those of the last span or later.
        self._steps: list[float] = []
        self._values: list[float] = []
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
        if len(self._steps) >= max(PENDING, 2 * self.span):
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
            # Whole spans are taken as they are; an even number of them, so that none is left over when they are merged.
            if not self._steps and len(block) and len(block) % self.span == 0 and self._fit(len(block) // self.span):
                self._spans = np.concatenate([self._spans, _reduced(stretch, block, self.span)], axis=1)
                while self._spans.shape[1] > CAPACITY:
                    self._halve()
                continue
            self._steps += stretch.tolist()
            self._values += block.tolist()
            if len(self._steps) >= max(PENDING, 2 * self.span):
                self._fold()

    def _fit(self, spans: int) -> bool:
        count = self._spans.shape[1] + spans
        return bool(count <= CAPACITY or count % 2 == 0)

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
            self.count -= (self._spans.shape[1] - keep) * self.span
            self._spans = self._spans[:, :keep]
        self.superseded += before - self.count

    def _end(self) -> float:
        if self._steps:
            return self._steps[-1]
        return float(self._spans[1, -1]) if self._spans.shape[1] else -math.inf

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

    def scaled(self, factor: float) -> Series:
        """The series with each value times `factor`, which is above 0."""
        series = Series()
        series.span, series.count = self.span, self.count
        series.nonfinite, series.first_nonfinite = self.nonfinite, self.first_nonfinite
        series.trailing, series.trailing_since = self.trailing, self.trailing_since
        series._spans = self._all().copy()
        series._spans[2:] *= factor
        return series

    def since(self, step: float) -> Series:
        """The part whose spans begin at `step` or later."""
        series = self.scaled(1.0)
        series._spans = series._spans[:, series._spans[0] >= step]
        series.count = min(self.count, series._spans.shape[1] * self.span)
        return series

    def _row(self, index: int) -> Floats:
        row: Floats = self._all()[index]
        return row

    def _all(self) -> Floats:
        if len(self._steps) >= self.span:
            self._fold()
        if not self._steps:
            return self._spans
        # The values of a span not yet full stand for themselves as one span.
        rest = _reduced(np.asarray(self._steps), np.asarray(self._values), len(self._steps))
        return np.concatenate([self._spans, rest], axis=1)

    def _fold(self) -> None:
        whole = len(self._steps) // self.span * self.span
        if whole:
            new = _reduced(np.asarray(self._steps[:whole]), np.asarray(self._values[:whole]), self.span)
            del self._steps[:whole], self._values[:whole]
            self._spans = np.concatenate([self._spans, new], axis=1)
        while self._spans.shape[1] > CAPACITY:
            self._halve()

    def _halve(self) -> None:
        even = self._spans.shape[1] // 2 * 2
        first, second = self._spans[:, 0:even:2], self._spans[:, 1:even:2]
        merged = np.stack(
            [
                first[0],
                second[1],
                (first[2] + second[2]) / 2,
                np.minimum(first[3], second[3]),
                np.maximum(first[4], second[4]),
            ]
        )
        if even < self._spans.shape[1]:
            # An odd span out goes back to be filled up; its values are its mean, so that the mean stays right.
            first_step, last_step, mean, _, _ = self._spans[:, even]
            back = np.linspace(first_step, last_step, self.span).tolist()
            self._steps, self._values = back + self._steps, [mean] * self.span + self._values
        self._spans = merged
        self.span *= 2


def _reduced(steps: Floats, values: Floats, span: int) -> Floats:
    """Whole spans of these values, of shape (5, spans)."""
    if span == 1:
        return np.stack([steps, steps, values, values, values])
    table = values.reshape(-1, span)
    at = steps.reshape(-1, span)
    return np.stack([at[:, 0], at[:, -1], table.mean(axis=1), table.min(axis=1), table.max(axis=1)])
