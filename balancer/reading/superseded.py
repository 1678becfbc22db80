"""Rows of a log that is read a second time: one for each step, without those that later ones superseded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from balancer.reading.source import Row


def without_superseded(rows: Iterable[Row], restarts: Sequence[tuple[float, float]]) -> Iterator[Row]:
    """One row for each step of the run as it went on.

    Rows of one step become one: logs may print D's losses and G's on lines of their own. Of what they say twice, such
    as a progress bar that is drawn again, the last counts. `restarts` are those of the source, complete after the
    first reading.
    """
    falls = [after for before, after in restarts if after <= before]
    # The lowest step to which the run goes back at or after each restart.
    lowest = [*falls]
    for index in range(len(falls) - 2, -1, -1):
        lowest[index] = min(lowest[index], lowest[index + 1])
    passed, last = 0, -math.inf
    held: Row | None = None
    for step, row in rows:
        if step < last and passed < len(falls) and step <= falls[passed]:
            passed += 1
        last = step
        if passed < len(lowest) and step >= lowest[passed]:
            continue
        if held is not None and held[0] == step:
            held = step, held[1] | row
            continue
        if held is not None:
            yield held
        held = step, row
    if held is not None:
        yield held
