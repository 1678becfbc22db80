"""Several processes that write one log at once, such as the ranks of a distributed run: one of them is read."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from balancer.reading.families import LineParser
from balancer.reading.source import Fact

# Where a row stands: its epoch and step.
Place = tuple[float, float]
NOWHERE: Final[Place] = (-math.inf, -math.inf)
MOST_WRITERS: Final = 64
RANK_NAMES: Final = ("rank", "local_rank", "global_rank", "process_index", "process", "worker", "pid")  # of columns
FEWEST_FALLS: Final = 5  # of the step, for several writers whom nothing tells apart
FALLS_SHARE: Final = 0.1  # at least, of the rows, are below the one before
# How launchers and loggers name the process that writes a line.
_MARK: Final = re.compile(
    r"(?<![A-Za-z])(?:rank|gpu|worker|process|proc|pid|default|device|node)[ _:=#-]{0,2}+(\d{1,7}+)(?![\w.])"
    r"|^\[\d{1,7}+,(\d{1,7}+)\]<std|^[ \t]{0,8}+(\d{1,4}+):[ \t]|^([\w.-]{1,60}+)[ \t]{1,8}+\|",
    re.IGNORECASE,
)


class Chains:
    """Tells writers apart by their steps alone: each one's only grow.

    Args:
        most: how many writers there are.

    Attributes:
        counts: rows of each.
        returns: how often a row went on where another writer than that of the row before had stopped.
    """

    def __init__(self, most: int = MOST_WRITERS) -> None:
        self._most: Final = most
        self._places: list[Place] = []
        self._last = -1
        self.counts: Final[list[int]] = []
        self.returns = 0

    def put(self, place: Place) -> int:
        """The number of the writer whose row is there; 0 is the one that began."""
        fit = [index for index, last in enumerate(self._places) if last < place]
        if fit:
            index = max(fit, key=self._places.__getitem__)
            self.returns += index != self._last
        else:
            if len(self._places) >= self._most:
                # All of them began anew.
                self._places.clear()
                self.counts.clear()
            index = len(self._places)
            self._places.append(place)
            self.counts.append(0)
        self._places[index] = place
        self.counts[index] += 1
        self._last = index
        return index


def interleaved(places: Sequence[Place]) -> int:
    """How many writers the rows of a log have; 1 where it may be one that went back or began anew, or is in no order.

    Several writers go through the same steps, as the ranks of a run do, or each through steps of its own.
    """
    falls = sum(after < before for before, after in pairwise(places))
    if falls < max(FEWEST_FALLS, FALLS_SHARE * len(places)):
        return 1
    chains = Chains()
    steps: dict[int, set[Place]] = {}
    for place in places:
        steps.setdefault(chains.put(place), set()).add(place)
    writers = [count for count in chains.counts if count >= len(places) / (4 * len(chains.counts))]
    apart = sum(writers) >= 0.9 * len(places) and chains.returns >= falls / 2
    if not apart or len(writers) < len(chains.counts):
        return 1
    return len(writers) if share(steps.values()) or apart_by_steps(steps.values()) else 1


def apart_by_steps(steps: Iterable[set[Place]]) -> bool:
    """Whether several writers go through steps of their own; the first and last tenth may be another's."""
    each = sorted(sorted(places)[len(places) // 10 : len(places) - len(places) // 10] for places in steps)
    return all(before[-1] < after[0] for before, after in pairwise(each))


def share(steps: Iterable[set[Place]]) -> bool:
    """Whether several writers go through the same steps."""
    each = list(steps)
    return 2 * len(set.intersection(*each)) >= min(map(len, each))


def mark_of(line: str) -> str:
    """What a line says of the process that wrote it; "" where it says nothing."""
    found = _MARK.search(line)
    return next((text for text in found.groups() if text is not None), "") if found is not None else ""


def marked(rows: Sequence[tuple[str, Place]]) -> list[str]:
    """The marks of several writers of one run, which go through the same steps; none where there is one writer."""
    counts = Counter(mark for mark, _ in rows)
    marks = [mark for mark, count in counts.items() if mark and count >= len(rows) / (4 * len(counts))]
    if not 2 <= len(marks) <= MOST_WRITERS or sum(counts[mark] for mark in marks) < 0.9 * len(rows):
        return []
    return marks if share({place for mark, place in rows if mark == each} for each in marks) else []


class OneWriter(LineParser):
    """Gives the rows of one of several writers to a log.

    Args:
        another: makes a parser for each further writer.
        parser: that of the one that is read.
        marks: what their lines say of them; empty where only steps tell them apart.
        count: how many there are.
    """

    def __init__(self, another: Callable[[], LineParser], parser: LineParser, marks: Sequence[str], count: int) -> None:
        self._first: Final = parser
        self._others: Final = {mark: another() for mark in marks}
        self._taken: Final = first_of(marks)
        self._others[self._taken] = self._first
        self._chains: Final = None if marks else Chains(count)
        self._left = 0

    def feed(self, line: str) -> Mapping[str, float] | Sequence[Fact] | None:
        """Take the next line: a row of the writer that is read, facts, or None."""
        mark = mark_of(line) if self._chains is None else ""
        said = self._others.get(mark, self._first).feed(line)
        self.format, self.steps_per_epoch = self._first.format, self._first.steps_per_epoch
        if not isinstance(said, Mapping):
            return said
        other = mark not in ("", self._taken)
        if self._chains is not None:
            place = place_of(said)
            other = place is not None and self._chains.put(place) > 0
        self._left += other
        return None if other else said

    @property
    def dropped(self) -> Mapping[str, int]:  # type: ignore[override]
        """Lines that are no rows: those of other writers, and what parsers leave out."""
        counts = Counter({"other_writer": self._left})
        for parser in {id(parser): parser for parser in self._others.values()}.values():
            counts.update(parser.dropped)
        return counts


def place_of(row: Mapping[str, float]) -> Place | None:
    """Where a row stands; None where it does not say."""
    step, epoch = row.get("step"), row.get("epoch", 0.0)
    return None if step is None or not math.isfinite(step) or not math.isfinite(epoch) else (epoch, step)


def writers_of(parser: LineParser, lines: Iterable[str]) -> tuple[list[str], int]:
    """The marks of the writers of these lines, and how many there are.

    Args:
        parser: one made for that.
    """
    rows: list[tuple[str, Place]] = []
    for line in lines:
        try:
            said = parser.feed(line)
        except ValueError:
            continue
        if isinstance(said, Mapping) and (place := place_of(said)) is not None:
            rows.append((mark_of(line), place))
    return writers_among(rows)


def writers_among(rows: Sequence[tuple[str, Place]]) -> tuple[list[str], int]:
    """The marks of the writers of these rows, and how many there are."""
    marks = marked(rows)
    return marks, len(marks) or interleaved([place for _, place in rows])


def first_of(marks: Iterable[str]) -> str:
    """The mark of the writer that is read: of the lowest rank; "" without marks."""
    return min(marks, key=lambda mark: (len(mark), mark), default="")
