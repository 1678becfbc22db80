"""Which config held for which steps of a run: config.toml now, config.until_N.toml where a resume replaced one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from balancer.errors import BalancerError, ConfigError
from balancer.record.config import RESERVED, RunConfig, check_shape, make_config, read_toml
from balancer.train.run import CONFIG

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

    def config(
        self, overrides: Mapping[str, Mapping[str, Any]] | None = None, plugins: Sequence[str] | None = None
    ) -> RunConfig:
        """The config, validated and composed; with other plugins, or settings over its own, where asked for.

        Raises:
            BalancerError: what `make_config` says, with a note that names the file.
        """
        chosen = self.plugins if plugins is None else list(plugins)
        # Settings of a plugin that is left out go with it, even of one that is no longer installed.
        tables = {name: table for name, table in self.tables.items() if name in (*RESERVED, *chosen)}
        try:
            return make_config(tables, overrides or {}, plugins=plugins)
        except BalancerError as error:
            error.add_note(f"with {self.path}")
            raise

    def holds(self, step: int) -> bool:
        """Whether a step is one of these."""
        return self.first <= step and (self.until is None or step < self.until)


def run_segments(folder: Path) -> list[Segment]:
    """The configs of a run directory in the order they held; empty for the logs of a script that keeps none.

    Raises:
        ConfigError: not a run directory, or a config that cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no run directory: there is no such folder")
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
