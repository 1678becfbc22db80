"""The signals of a run over its steps, in bounded memory: a series for each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.reading.series import Series

if TYPE_CHECKING:
    from balancer.reading.series import Floats

PENDING_VALUES: Final = 1 << 14  # values that wait to be sorted into series


class History:
    """What was read of a run: a series for each signal, over one axis of steps.

    Args:
        together: whether rows go back in steps as wholes; in TensorBoard each tag goes back on its own.

    Attributes:
        last_step: the last step of any row; -1 before the first.
    """

    def __init__(self, *, together: bool = True) -> None:
        self.together: Final = together
        self.last_step: float = -1.0
        # A 0 for every row.
        self._kept = Series()
        self._series: dict[str, Series] = {}
        # Rows that wait to be sorted into the series, many at once.
        self._held: list[tuple[float, Mapping[str, float]]] = []
        self._values: int = 0
        # The highest step in any series.
        self._sorted: float = -math.inf

    @property
    def series(self) -> dict[str, Series]:
        """All series by signal; one may be added or replaced."""
        if self._held:
            self._settle()
        return self._series

    def add(self, step: float, row: Mapping[str, float]) -> None:
        """Take one row: values by signal, all measured at `step`; the row is the history's from then on."""
        self._held.append((step, row))
        self._values += len(row)
        if step > self.last_step:
            self.last_step = step
        if self._values >= PENDING_VALUES or len(self._held) >= PENDING_VALUES:
            self._settle()

    def extend(self, steps: Floats, columns: Mapping[str, Floats]) -> None:
        """Take many rows at once: `steps` and each signal's values of shape (n,), NaN where it was not measured."""
        if not len(steps):
            return
        series = self.series
        for name, values in columns.items():
            measured = ~np.isnan(values)
            if measured.any():
                series.setdefault(name, Series()).extend(steps[measured], values[measured])
        self._kept.extend(steps, np.zeros(len(steps)))
        highest = float(steps.max())
        self._sorted = max(self._sorted, highest)
        self.last_step = max(self.last_step, highest)

    def cut(self, step: float) -> None:
        """Forget `step` and later, because the run went back there."""
        while self._held and self._held[-1][0] >= step:
            self._values -= len(self._held.pop()[1])
            self._kept.superseded += 1
        if self._sorted >= step:
            for series in self.series.values():
                series.cut(step)
            self._kept.cut(step)
            self._sorted = step - 1
        self.last_step = step - 1

    def copy(self) -> History:
        """The same history, which goes its own way."""
        history = History(together=self.together)
        history.__dict__.update(self.__dict__)
        history._kept = self._kept.copy()
        history._series = {name: series.copy() for name, series in self._series.items()}
        history._held = [*self._held]
        return history

    def _settle(self) -> None:
        held, count = self._held, self._values
        self._held, self._values = [], 0
        steps = np.array([step for step, _ in held], dtype=float)
        names = held[0][1].keys()
        try:
            if count != len(held) * len(names):
                raise KeyError
            # Mostly all rows have the same names.
            columns = {name: (steps, [row[name] for _, row in held]) for name in names}
        except KeyError:
            columns = _columns(held)
        for name, (at, values) in columns.items():
            self._series.setdefault(name, Series()).extend(at, np.array(values, dtype=float))
        if self.together:
            self._kept.extend(steps, np.zeros(len(steps)))
        self._sorted = max(self._sorted, float(steps.max()))

    def __contains__(self, name: str) -> bool:
        return name in self.series and len(self.series[name].values) > 0

    def __getitem__(self, name: str) -> Series:
        return self.series[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.series)

    @property
    def measured(self) -> list[str]:
        """The signals of which there is a finite value; a series may hold none, when all were NaN or cut off again."""
        return [name for name in self if name in self]

    @property
    def rows(self) -> int:
        """How many values the longest series took in."""
        return max((series.count for series in self.series.values()), default=0)

    @property
    def superseded(self) -> int:
        """How many rows gave way to later ones, because the run went back; where it was thinned, by whole spans."""
        if self.together:
            return self._kept.superseded
        return max((series.superseded for series in self.series.values()), default=0)

    @property
    def first_step(self) -> float:
        """The first step of any series; 0 where nothing was read."""
        return min((float(s.steps[0]) for s in self.series.values() if s.count), default=0.0)

    def aligned(self, names: Iterable[str]) -> tuple[Floats, dict[str, Floats]]:
        """Several series on the n steps of the one with the fewest spans: steps of shape (n,), values (n,) by name.

        Each value is the series' mean over the stretch up to the next step; where it has none, interpolated.
        Without names, n is 0.
        """
        chosen = {name: self.series[name] for name in names}
        if not chosen:
            return np.empty(0), {}
        grid = min(chosen.values(), key=lambda series: len(series.values)).steps
        result: dict[str, Floats] = {}
        for name, series in chosen.items():
            steps, values = series.steps, series.values
            if len(steps) == len(grid) and np.array_equal(steps, grid):
                result[name] = values
                continue
            into = np.clip(np.searchsorted(grid, steps, side="right") - 1, 0, len(grid) - 1)
            counts = np.bincount(into, minlength=len(grid))
            sums = np.bincount(into, weights=values, minlength=len(grid))
            with np.errstate(invalid="ignore"):
                means = sums / counts
            result[name] = np.where(counts > 0, means, np.interp(grid, steps, values))
        return grid, result


def _columns(rows: Iterable[tuple[float, Mapping[str, float]]]) -> dict[str, tuple[Floats, list[float]]]:
    """Rows that lack some names, by name: steps and values."""
    steps: dict[str, list[float]] = {}
    values: dict[str, list[float]] = {}
    for step, row in rows:
        for name, value in row.items():
            steps.setdefault(name, []).append(step)
            values.setdefault(name, []).append(value)
    return {name: (np.array(steps[name], dtype=float), values[name]) for name in values}
