"""The installed distributions, each read by itself, so that a broken one hides no other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from balancer.errors import one_line

UNKNOWN: Final = "?"

_points_of: Final[Any] = metadata.Distribution.entry_points.fget  # type: ignore[attr-defined]
_text_of: Final[Any] = metadata.PathDistribution.read_text


class Distribution:
    """One distribution's name, version and entry points, whatever is wrong with the rest of its metadata."""

    def __init__(self, found: metadata.Distribution) -> None:
        self._found: Final = found
        # Further metadata of that name in the same folder, as an interrupted upgrade leaves it.
        self.doubles: Final[list[Distribution]] = []

    @cached_property
    def name(self) -> str:
        """Its name, or that of its folder."""
        return _text(lambda: self._found.metadata["Name"]) or _text(lambda: self.folder[1]) or UNKNOWN

    @cached_property
    def version(self) -> str:
        """Its version, or a question mark."""
        return _text(lambda: self._found.version) or UNKNOWN

    @cached_property
    def path(self) -> Path:
        """Where its metadata lies; resolved, since `sys.path` may name one folder in several ways.

        Raises:
            Exception: it lies in no folder.
        """
        return Path(self._found._path).resolve()  # type: ignore[attr-defined]

    @cached_property
    def folder(self) -> tuple[str, str]:
        """Where its metadata lies, and the name that their folder has, which is there before any file is read.

        Raises:
            Exception: it lies in no folder.
        """
        stem = self.path.name.removesuffix(".dist-info").removesuffix(".egg-info")
        return str(self.path.parent), stem.partition("-")[0].replace("-", "_").replace(".", "_").lower()

    def points(self, group: str) -> list[metadata.EntryPoint]:
        """Its entry points of a group.

        Raises:
            Exception: what its file of entry points makes the parser raise.
        """
        return [point for point in _points_of(self._found) if point.group == group]


def distributions() -> list[Distribution]:
    """Every installed distribution once: the first of a name on `sys.path` is the one that Python imports."""
    every: list[Distribution] = []
    first: dict[str, Distribution] = {}
    seen: set[Path] = set()
    for distribution in map(Distribution, _found()):
        try:
            place, name = distribution.folder
        except Exception:
            every.append(distribution)
            continue
        if distribution.path in seen:
            continue
        seen.add(distribution.path)
        if name not in first:
            first[name] = distribution
            every.append(distribution)
        elif place == first[name].folder[0]:
            first[name].doubles.append(distribution)
    return every


def spare_others() -> None:
    """Let the whole process pass over distributions whose entry points cannot be read, where there are some.

    One such file makes Python's own search fail for everybody, and pydantic and torch search when they are imported.
    A pipe or a device in a file's place, for which Python would wait, counts as none.
    """

    def text(found: Any, name: str) -> str | None:
        if not found._path.joinpath(name).is_file():
            return None
        read: str | None = _text_of(found, name)
        return read

    def points(found: metadata.Distribution) -> metadata.EntryPoints:
        try:
            every: metadata.EntryPoints = _points_of(found)
        except Exception:
            return metadata.EntryPoints()
        return every

    metadata.PathDistribution.read_text = text  # type: ignore[assignment,method-assign]
    try:
        metadata.entry_points()
    except Exception:
        metadata.Distribution.entry_points = property(points)  # type: ignore[assignment,method-assign]


def _found() -> Iterator[metadata.Distribution]:
    """What each finder of Python's finds; one that fails ends only its own search."""
    for finder in sys.meta_path:
        try:
            find = getattr(finder, "find_distributions", None)
            if find is not None:
                yield from find(metadata.DistributionFinder.Context())
        except Exception:  # a finder of somebody else's, with whatever is wrong with it
            continue


def _text(read: Callable[[], Any]) -> str | None:
    """A text of the metadata on one line, or None where there is none."""
    try:
        value = read()
    except Exception:
        return None
    return one_line(value) or None if isinstance(value, str) else None
