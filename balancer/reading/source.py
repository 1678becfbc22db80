"""What a reader says about a log besides its rows: what it is, which name became which signal, what was unreadable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from balancer.contract.adversarial import AdversarialLoss

SHOWN_EXAMPLES: Final = 3  # unreadable lines that are shown


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
    `other_tags` are names that became no signal. `rows` counts rows, `skipped` lines of other text.
    """

    path: str
    kind: str
    family: str = ""
    format: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    other_tags: list[str] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    # (step before, step after) of each place where the run went back or started over.
    restarts: list[tuple[float, float]] = field(default_factory=list)
    unread: Unread = field(default_factory=Unread)
    rows: int = 0
    skipped: int = 0
    # Steps of the rows' own axis in an epoch, where the log says so.
    steps_per_epoch: float | None = None
    # The tables of a run's config, where it is a run of ours.
    config: Mapping[str, Any] | None = None
    # The adversarial loss that a run was composed with last, ours or a script's.
    loss: AdversarialLoss | None = None
    folder: Path | None = None

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
