"""What a family of training codes adds to the diagnosis besides its log formats: units, rules, words, networks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from balancer.diagnosis.finding import Case, NamedRule, Structure
from balancer.diagnosis.units import Units
from balancer.errors import Deprecated
from balancer.reading.families import LogFamily, families
from balancer.reading.history import History
from balancer.reading.source import Source


class Extension(LogFamily):
    """What the diagnosis should know of a family of training codes; everything may be left out."""

    rules: Sequence[NamedRule] = ()
    # Folder with the words of its rules, in files *.LANGUAGE.toml.
    words: Path | None = None

    def __init_subclass__(cls) -> None:
        if "adopt" in cls.__dict__:  # the old name of `import_command`, until 0.3
            warnings.warn(f"{cls.__name__}.adopt is now import_command", Deprecated, stacklevel=2)
            cls.import_command = cls.__dict__["adopt"]  # type: ignore[method-assign]

    def units(self, history: History, source: Source, stated: Units) -> Units | None:
        """The units of a log of this family, or None where they are to be worked out from its figures alone.

        Called once, before any rule, with the history as it was read. Series that do not hold what their names say may
        be put right in place; rules see the history as this leaves it. `stated` is what the user states, or the default
        units; it is passed by position.
        """
        return None

    def structure(self, folder: Path, config: Mapping[str, Any]) -> Structure | None:
        """The networks and data of a run directory of this model; reads no weights."""
        return None

    def import_command(self, case: Case, into: str) -> str | None:
        """The command that makes a run directory `into` of a foreign log's networks, or None if there is none."""
        return None

    def checkpoint(self, path: Path) -> Structure | None:
        """The networks of a foreign checkpoint, or None where it is not one of this family."""
        return None


def extensions() -> dict[str, Extension]:
    """The installed families that say more than how to read their logs, by name."""
    return {name: family for name, family in families().items() if isinstance(family, Extension)}
