"""The configs of a run directory: config.toml, and config.until_N.toml that a resume replaced; written and read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from balancer.contract.input_files import MOST_TOML_BYTES
from balancer.errors import ConfigError
from balancer.record import files
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
    replaced = {int(match[1]): folder / match[0] for match in map(_REPLACED.fullmatch, files.listed(folder)) if match}
    if not files.exists(folder, CONFIG):
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
    if not files.exists(folder, CONFIG):
        raise ConfigError(f"{where}{folder}: no run there ({CONFIG} is missing)")
    return _tables(folder / CONFIG)


def write_config(new: bytes, folder: Path, done: int) -> None:
    """Keep a resolved config, as TOML, from step `done` on; one that it replaces stays beside it, named by that step.

    Raises:
        ConfigError: the directory cannot be written.
    """
    until = replaced_config_name(done)
    try:
        files.make_run(folder)
        held = files.read(folder, CONFIG) if files.exists(folder, CONFIG) else new
        later = [name for name in files.listed(folder) if _REPLACED.fullmatch(name) and name > until]
        if later:
            # Steps beyond `done` are forgotten: what held at `done` is the config that held until the first of these.
            held = files.read(folder, later[0])
        if held != new and not files.exists(folder, until):
            files.replace(folder, until, held)
        for forgotten in later:
            files.delete(folder, forgotten)
        files.replace(folder, CONFIG, new)
    except OSError as error:
        raise ConfigError(f"run directory {folder} cannot be written: {error.strerror}") from None


def read_own(path: Path) -> bytes:
    """The content of a config in its run directory.

    Raises:
        OSError: it cannot be read, or is no plain file.
    """
    return files.read(path.parent, path.name, MOST_TOML_BYTES)


def _tables(path: Path) -> dict[str, Any]:
    tables = read_toml(path, read_own)
    check_shape(tables)
    if not {"model", "plugins"} <= tables.get("run", {}).keys():
        raise ConfigError(f"config {path}: run.model or run.plugins is missing, so it does not say what ran")
    return tables
