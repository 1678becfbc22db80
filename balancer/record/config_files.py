"""The configs of a run directory: config.toml, and config.until_N.toml that a resume replaced; written and read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from balancer.errors import ConfigError
from balancer.record.files import write_atomically
from balancer.record.folder import CONFIG, replaced_config_name
from balancer.record.run_config import check_shape, read_toml

_REPLACED: Final = re.compile(r"config\.until_(\d{8,})\.toml")


@dataclass(frozen=True)
class Segment:
    """The steps of a run for which one config held: from `first` to before `until`, or None for to its end."""

    first: int
    until: int | None
    path: Path
    tables: Mapping[str, Any]

    @property
    def plugins(self) -> list[str]:
        """Names of the plugins that acted."""
        return list(self.tables["run"]["plugins"])


def run_segments(folder: Path) -> list[Segment]:
    """The configs of a run directory in the order they held; empty for the logs of a script that keeps none.

    Raises:
        ConfigError: not a run directory, or a config that cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a run directory: there is no such folder")
    replaced = {}
    for path in folder.iterdir():
        if (match := _REPLACED.fullmatch(path.name)) is not None:
            replaced[int(match[1])] = path
    if not (folder / CONFIG).is_file():
        if replaced:
            raise ConfigError(f"{folder}: {CONFIG} is missing, so it does not say what ran last: bring it back")
        return []
    segments = []
    first = 0
    for until, path in [*sorted(replaced.items()), (None, folder / CONFIG)]:
        segments.append(Segment(first, until, path, _tables(path)))
        first = until or 0
    return segments


def read_config(folder: Path, where: str = "") -> dict[str, Any]:
    """The tables of a run's config; `where` precedes the directory in an error.

    Raises:
        ConfigError: no run is there, or its config does not say of which model and plugins.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise ConfigError(f"{where}{folder}: no run there ({CONFIG} is missing)")
    return _tables(path)


def write_config(new: bytes, folder: Path, done: int) -> None:
    """Keep a resolved config, as TOML, from step `done` on; one that it replaces stays beside it, named by that step.

    Raises:
        ConfigError: the directory cannot be written.
    """
    path, until = folder / CONFIG, folder / replaced_config_name(done)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = path.read_bytes() if path.is_file() else new
        later = sorted(file for file in folder.glob("config.until_*.toml") if file.name > until.name)
        if later:
            # Steps beyond `done` are forgotten: what held at `done` is the config that held until the first of these.
            held = later[0].read_bytes()
        if held != new and not until.exists():
            write_atomically(until, held)
        for forgotten in later:
            forgotten.unlink()
        write_atomically(path, new)
    except OSError as error:
        raise ConfigError(f"run directory {folder} cannot be written: {error.strerror}") from None


def _tables(path: Path) -> dict[str, Any]:
    tables = read_toml(path)
    check_shape(tables)
    if not {"model", "plugins"} <= tables.get("run", {}).keys():
        raise ConfigError(f"config {path}: run.model or run.plugins is missing, so it does not say what ran")
    return tables
