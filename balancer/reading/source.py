"""What a reader says about a log besides its rows: what it is, which name became which signal, what was unreadable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from balancer.contract.adversarial import AdversarialLoss
from balancer.reading.codes import Code

SHOWN_EXAMPLES: Final = 3  # unreadable lines that are shown
MOST_FALLS: Final = 10  # of the step, and rows for each of them, in a log of one writer


@dataclass(frozen=True)
class Fact:
    """Something a log says once: `resumed` at a step, a `learning_rate`, `parameters` of a network, …

    `step` is that of the row before it (-1 before the first); `values` are numbers or short texts by name.
    """

    kind: str
    step: float
    values: Mapping[str, float | str]


@dataclass
class Unread:
    """What could not be read: how many lines or records, of which kinds, and the first few of them."""

    count: int = 0
    why: dict[str, int] = field(default_factory=dict)
    examples: list[tuple[int, str]] = field(default_factory=list)

    def note(self, line: int, text: str, why: str) -> None:
        """Count one; `line` counts from 1 (or is a byte offset), `text` is cut to 80 characters."""
        self.count += 1
        self.why[why] = self.why.get(why, 0) + 1
        if len(self.examples) < SHOWN_EXAMPLES:
            self.examples.append((line, text[:80]))


@dataclass
class Source:
    """Where a history comes from; a reader fills it in while it reads.

    `kind` is "run", "tensorboard", "csv", "jsonl" or "log"; `family` names the extension (a model or a
    family of training codes) whose formats and rules apply, "" where none does; `format` is that
    family's name of the log format. `tags` says which name in the file each signal was read from;
    `other_tags` are names that became no signal. `rows` counts rows of losses, `dropped` those of them that are no
    part of the history, by reason (`superseded`, `redrawn`, `validation`, `other_writer`); `skipped` counts lines of
    other text. `within` says in what the log was found: a `notebook`, the log of a container.
    """

    path: str
    kind: str
    family: str = ""
    format: str = ""
    # The training code that wrote it, where it is known, and those among which it is looked for.
    code: Code | None = None
    codes: Sequence[Code] = ()
    # The one whose names it has, where its figures cannot be of any of that code's losses.
    not_code: Code | None = None
    tags: dict[str, str] = field(default_factory=dict)
    other_tags: list[str] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    # (step before, step after) of each place where the run went back or started over.
    restarts: list[tuple[float, float]] = field(default_factory=list)
    unread: Unread = field(default_factory=Unread)
    rows: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    # Whether the log names no step, so that steps are the numbers of its rows.
    numbered: bool = False
    # How many processes wrote it at once; the rows of one were taken.
    writers: int = 1
    within: str = ""
    skipped: int = 0
    # Steps of the rows' own axis in an epoch, where the log says so.
    steps_per_epoch: float | None = None
    # The tables of a run's config, where it is a run of ours.
    config: Mapping[str, Any] | None = None
    # The adversarial loss that a run was composed with last, ours or a script's.
    loss: AdversarialLoss | None = None
    folder: Path | None = None

    @property
    def kept(self) -> int:
        """Rows in the history."""
        return self.rows - sum(self.dropped.values())

    @property
    def is_tangled(self) -> bool:
        """Whether the run went back so often that its steps mean nothing."""
        gone = self.dropped.get("superseded", 0)
        return len(self.restarts) >= MOST_FALLS and MOST_FALLS * len(self.restarts) > self.rows and 4 * gone > self.rows

    def drop(self, why: str, count: int = 1) -> None:
        """Count rows that are left out."""
        if count:
            self.dropped[why] = self.dropped.get(why, 0) + count

    def facts_of(self, kind: str) -> list[Fact]:
        """All facts of one kind, in order."""
        return [fact for fact in self.facts if fact.kind == kind]


# One row: its step, and values by signal (`epoch` among them where it is known).
Row = tuple[float, dict[str, float]]
# Called with the number of bytes read since the last call.
OnBytes = Callable[[int], None]


class Reader(Protocol):
    """Reads one log; `source` is complete when `rows` has ended."""

    source: Source

    def rows(self) -> Iterator[Row]:
        """Row after row, once; where the run went back in steps the rows do too, and supersede earlier ones."""
        ...

    def conclude(self, source: Source) -> None:
        """Put into a source what only the rows so far say together."""
        ...
