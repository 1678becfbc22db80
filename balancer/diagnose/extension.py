"""What a family of training codes adds to the diagnosis: its log formats, its units, its rules, its words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from balancer.diagnose.finding import Case, NamedRule, Structure
from balancer.diagnose.history import History
from balancer.diagnose.source import Fact, Source
from balancer.diagnose.units import Units

GROUP: Final = "balancer.diagnosis"


class LineParser(ABC):
    """Reads the lines of one log, one after the other; made anew for each log.

    A line becomes a row (values by signal, with `step` and `epoch` where the line says so), facts (their
    step is filled in by the reader), or None where it is other text; a row may take several lines. A line
    that looks like one of the family's and cannot be read raises ValueError with the reason in a few words.
    """

    # Names the format after some lines, such as "fork"; "" where it cannot tell.
    format: str = ""
    # Rows' steps in an epoch, once the log has said so.
    steps_per_epoch: float | None = None

    @abstractmethod
    def feed(self, line: str) -> Mapping[str, float] | Sequence[Fact] | None:
        """Take the next line."""


class Extension:
    """A family of training codes; entry points of `balancer.diagnosis` name an instance.

    Everything may be left out. `name` is that of the entry point, and of the model where there is one.
    """

    name: ClassVar[str]
    rules: Sequence[NamedRule] = ()
    # Folder with words.LANGUAGE.toml for its rules.
    words: Path | None = None

    def parser(self) -> LineParser | None:
        """A parser of its logs."""
        return None

    def units(self, history: History, source: Source, told: Units) -> Units | None:
        """The units of a log of this family, worked out; `told` holds what the user said. None: no opinion."""
        return None

    def structure(self, folder: Path, config: Mapping[str, Any]) -> Structure | None:
        """The networks and data of a run directory of this model; reads no weights."""
        return None

    def adopt(self, case: Case, into: str) -> str | None:
        """The command that makes a run directory `into` of a foreign log's networks, or None where there is none."""
        return None

    def checkpoint(self, path: Path) -> Structure | None:
        """The networks of a foreign checkpoint, or None where it is not one of this family."""
        return None
