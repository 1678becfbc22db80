"""Families of training codes whose logs have a form of their own, and the parsers they bring."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final

from balancer.contract.registry import entries
from balancer.errors import PluginError
from balancer.reading.codes import Code, known_codes
from balancer.reading.source import Fact

GROUP: Final = "balancer.diagnosis"


class LineParser(ABC):
    """Reads the lines of one log, one after the other; made anew for each log.

    A line becomes a row (values by signal, with `step` and `epoch` where the line says so), facts (their
    step is filled in by the reader), or None where it is other text; a row may take several lines. A line
    that looks like one of the family's and cannot be read raises ValueError with the reason in a few words.
    """

    # Names the format after some lines, such as "fork"; "" where it cannot tell.
    format: str = ""
    # Whether a row whose last figure has other decimals than those before it was cut off.
    ends_alike: ClassVar[bool] = False
    # Lines with figures that it left out, by reason.
    dropped: Mapping[str, int] = MappingProxyType({})
    # Rows' steps in an epoch, once the log has said so.
    steps_per_epoch: float | None = None

    @abstractmethod
    def feed(self, line: str) -> Mapping[str, float] | Sequence[Fact] | None:
        """Take the next line."""

    def places(self, line: str) -> Mapping[str, int] | None:
        """Where the figures of a line that was just read as a row begin, by signal.

        A parser that gives them is not fed lines that differ in these figures only: so long logs are read faster. Among
        the names are `step`, or `epoch`, `batch` and `batches`: then the step is epoch · batches + batch. None where
        such lines may mean something else.
        """
        return None


class LogFamily:
    """A family of training codes; entry points of `balancer.diagnosis` name an instance.

    `name` is that of the entry point, and of the model where there is one. `balancer.diagnosis.extension` has the
    subclass that says more than how to read the logs.
    """

    name: ClassVar[str]
    # A TOML file of training codes whose logs are known by their names (docs/extending-the-diagnosis.md).
    codes: Path | None = None

    def parser(self) -> LineParser | None:
        """A parser of its logs."""
        return None


def families() -> dict[str, LogFamily]:
    """The installed families by name; a broken one is left out with a warning."""
    found: dict[str, LogFamily] = {}
    for entry in entries(GROUP):
        try:
            loaded = entry.load("diagnosis")
            if not isinstance(loaded, LogFamily):
                raise PluginError(f"diagnosis {entry.name}: {entry.value} is not a LogFamily")
            found[entry.name] = loaded
        except PluginError as error:
            warnings.warn(f"{error}; its logs are read without it", stacklevel=2)
    return found


class PatternFamily(LogFamily):
    """A training code whose lines have figures without names, which its table's pattern reads.

    Args:
        stated: whether the user says that the log is of this code.
    """

    def __init__(self, code: Code, *, stated: bool = False) -> None:
        self.code: Final = code
        self._stated: Final = stated

    def may_be(self, lines: Sequence[str]) -> bool:
        """Whether a log that begins with these lines may be of this code."""
        return self._stated or self.code.is_on(lines)

    def parser(self) -> LineParser | None:
        """A parser of its lines."""
        from balancer.reading.pattern import PatternParser

        return PatternParser(self.code.pattern or "", {})


def codes() -> dict[str, Code]:
    """The training codes whose logs are known, by name: our table's, and those of installed families."""
    return known_codes({name: family.codes for name, family in families().items()})
