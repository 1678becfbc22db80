"""What the beginning of a text log is to a parser: how many rows, and how their steps count."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from balancer.reading.families import LineParser
from balancer.reading.source import Source
from balancer.reading.step_axis import HIGHEST, Axis


@dataclass(frozen=True)
class Survey:
    """The number of rows, the first epoch that one names, and steps in an epoch where these count within it."""

    rows: int
    first_epoch: float | None
    per_epoch: float | None

    @property
    def origin(self) -> float:
        """The steps before the log's first epoch, as far as its beginning tells.

        The steps of a log that begins with epoch 1 or 0 begin there. Where it begins later, epochs are taken to be
        counted from 1, as most codes print them.
        """
        if self.first_epoch is None or self.first_epoch <= 1 or self.per_epoch is None:
            return 0.0
        return float(round((self.first_epoch - 1) * self.per_epoch))


def survey(parser: LineParser, lines: Iterable[str]) -> Survey:
    """Read lines with a parser made for that."""
    feed: Callable[[str], object] = parser.feed
    axis = Axis(Source("", ""))
    rows, first = 0, None
    for line in lines:
        try:
            made = feed(line)
        except ValueError:
            continue
        if not isinstance(made, Mapping):
            continue
        rows += 1
        step, epoch = made.get("step"), made.get("epoch")
        if (step is None or abs(step) <= HIGHEST) and (epoch is None or math.isfinite(epoch)):
            axis.place(step, epoch, parser.steps_per_epoch)
            first = epoch if first is None else first
    return Survey(rows, first, axis.steps_per_epoch if axis.counts_within else None)
