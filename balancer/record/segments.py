"""Which config held for which steps of a run: config.toml now, config.until_N.toml where a resume replaced one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from balancer.errors import ConfigError
from balancer.record.config import check_shape, read_toml
from balancer.record.folder import CONFIG

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
        tables = read_toml(path)
        check_shape(tables)
        if not {"model", "plugins"} <= tables.get("run", {}).keys():
            raise ConfigError(f"config {path}: run.model or run.plugins is missing, so it does not say what ran")
        segments.append(Segment(first, until, path, tables))
        first = until or 0
    return segments
