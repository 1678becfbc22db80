"""decisions.jsonl folded for a report: bounded, however many decisions a run took."""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import Any, Final

import numpy as np

from balancer.contract.knobs import Decision
from balancer.page.view import Decisions, FoldedContribution
from balancer.reading.history import History
from balancer.record.decisions import decision_lines
from balancer.record.files import exists

MOST_DECISIONS: Final = 20  # decisions in the table, of one run
NAMED_LINES: Final = 10  # damaged lines of which the numbers are kept, and a sign that there are more
COUNTED_STRETCHES: Final = 300
CORNERS: Final = 4096  # changes of one contribution that are kept


def folded_decisions(path: Path, history: History) -> Decisions | None:
    """The decisions of a run; None where it has no such file.

    Raises:
        CheckpointError: the file cannot be read.
    """
    if not exists(path.parent, path.name):
        return None
    first, length = history.first_step, max(history.last_step + 1 - history.first_step, 1.0)
    folds: dict[tuple[str, str, str], _Fold] = {}
    marks: dict[str, Any] = {}
    effective: dict[str, Any] = {}
    # Most important first: (first of its contribution, size of the change, earliest); the heap's root goes first.
    best: list[tuple[bool, float, int, Decision]] = []
    count = broken = 0
    named: list[str] = []
    for number, decision in decision_lines(path.parent):
        if decision is None:
            broken += 1
            if broken <= NAMED_LINES:
                named.append(str(number) if broken < NAMED_LINES else "…")
            continue
        key = decision.plugin, decision.knob, decision.op
        new = key not in folds
        size = _size(effective.get(decision.knob), decision.effective)
        if new or size > 0:
            heapq.heappush(best, (new, size, -count, decision))
        if len(best) > MOST_DECISIONS:
            heapq.heappop(best)
        folds.setdefault(key, _Fold()).add(decision.step, decision.new)
        stretch = min(max(int((decision.step - first) / length * COUNTED_STRETCHES), 0), COUNTED_STRETCHES - 1)
        marks.setdefault(decision.knob, np.zeros(COUNTED_STRETCHES, dtype=np.int64))[stretch] += 1
        effective[decision.knob] = decision.effective
        count += 1
    contributions = [FoldedContribution(*key, fold.values(), fold.count) for key, fold in folds.items()]
    chosen = [decision for *_, decision in sorted(best, key=lambda row: -row[2])]
    return Decisions(count, broken, contributions, marks, chosen, named)


class _Fold:
    """One contribution's changes, every n-th of them once there are many."""

    def __init__(self) -> None:
        self.count = 0
        self._every = 1
        self._values: list[tuple[float, Any]] = []
        self._last: tuple[float, Any] | None = None

    def add(self, step: float, value: Any) -> None:
        if self.count % self._every == 0:
            self._values.append((step, value))
        self.count += 1
        self._last = step, value
        if len(self._values) > CORNERS:
            self._values = self._values[::2]
            self._every *= 2

    def values(self) -> list[tuple[float, Any]]:
        assert self._last is not None
        return self._values if self._values[-1] == self._last else [*self._values, self._last]


def _size(before: Any, after: Any) -> float:
    """How much an effective value changed, relative to the larger one; in [0, 2]."""
    if isinstance(before, int | float) and isinstance(after, int | float):
        largest = max(abs(before), abs(after))
        return abs(after - before) / largest if largest else 0.0
    return float(before != after)
