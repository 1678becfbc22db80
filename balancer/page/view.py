"""What the page shows of one run or log: its diagnosis, signals, and what a run directory adds to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from balancer.contract.levels import HEALTHY_D_ADV
from balancer.reading.history import History
from balancer.show.rendered import Passage, RenderedDiagnosis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from balancer.contract.knobs import Decision
    from balancer.contract.notes import Note


@dataclass(frozen=True)
class FoldedContribution:
    """What one plugin put into one knob with one operation, over time.

    `values` are (step, value) from which each holds, None where it was withdrawn; where a run made very many
    changes, every n-th of them. `count` is how many there were.
    """

    plugin: str
    knob: str
    op: str
    values: Sequence[tuple[float, Any]]
    count: int


@dataclass(frozen=True)
class Decisions:
    """What decisions.jsonl holds, folded: bounded, however many there are.

    `marks` counts them by knob in equal stretches from the first step of the run to its last. `chosen` are the
    first of each contribution and those that changed an effective value the most. `broken` lines could not be read,
    `broken_lines` are the numbers of the first.
    """

    count: int
    broken: int
    contributions: Sequence[FoldedContribution]
    marks: Mapping[str, NDArray[np.int64]]
    chosen: Sequence[Decision]
    broken_lines: Sequence[str] = ()


@dataclass(frozen=True)
class Sheet:
    """A sample sheet after `step` steps, as a data URI; `judged` are those of epochs 3 to 5."""

    step: int
    epoch: float | None
    judged: bool
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class ConfigChange:
    """A config that a resume replaced at `step`: fields as (old, new)."""

    step: int
    fields: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class RunView:
    """One run or log. Only its name and its history must be there; every text is in the page's language.

    `tone` says how well the verdict speaks of it: "good", "fair", "bad" or "unknown". `marks` are further steps to be
    marked in the charts, with a text each.
    """

    name: str
    history: History
    path: str = ""
    diagnosis: RenderedDiagnosis | None = None
    tone: str = "unknown"
    passages: Sequence[Passage] = ()
    marks: Sequence[tuple[float, str]] = ()
    steps_per_epoch: float | None = None
    # The range of d_adv in a healthy run, where one is known for its loss.
    healthy: tuple[float, float] | None = HEALTHY_D_ADV
    config: Mapping[str, Any] | None = None
    changes: Sequence[ConfigChange] = ()
    decisions: Decisions | None = None
    notes: Sequence[Note] = ()
    notes_left_out: int = 0
    sheets: Sequence[Sheet] = ()
    sheets_found: int = 0
    sheets_unreadable: int = 0
