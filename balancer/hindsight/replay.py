"""Replay of whatever was recorded: a run directory, a script's logs, or somebody else's log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from balancer.contract.registry import find_config
from balancer.errors import ConfigError
from balancer.hindsight.replay_log import replay_log
from balancer.hindsight.replay_rows import PluginList, plugin_names
from balancer.hindsight.replay_run import BASES, RunReplay, replay_run
from balancer.reading.source import OnBytes
from balancer.record.files import exists
from balancer.record.folder import COLUMNS
from balancer.record.run_config import check_shape, read_toml


def replay(
    run: str | Path,
    plugins: PluginList | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    config: str | None = None,
    progress: OnBytes | None = None,
    **reading: Any,
) -> RunReplay:
    """What plugins would have made of recorded signals, beside what was recorded; without torch.

    The signals are taken as they are: with other knobs a run would have measured others.

    Args:
        run: a run directory, the `log_dir` of a script's `Balancer`, or any log that `balancer.diagnose` reads.
        plugins: names of installed plugins, or classes; if not given, those of `config`, or the run's own.
        settings: each plugin's settings by plugin name; of `train` what says a knob's base, such as `lambda_adv`.
        config: a config file or the name of a recipe, whose plugins and settings stand where none are given.
        progress: is called with numbers of bytes as somebody else's log is read the first time.
        reading: how to read it, as `balancer.diagnose` takes it: `tags`, `pattern`, `adversarial`, `d_loss`, ….

    Raises:
        ConfigError, DataError, CheckpointError: it cannot be read, or settings of what is not replayed.
        PluginError, CompositionError: see `compose`; also, a plugin reads a signal that was not recorded.
    """
    tables = {name: dict(table) for name, table in (settings or {}).items()}
    if config is not None:
        recipe = read_toml(find_config(config))
        check_shape(recipe)
        plugins = list(recipe.get("run", {}).get("plugins", [])) if plugins is None else plugins
        kept = {name: recipe[name] for name in plugin_names(plugins) if name in recipe}
        kept["train"] = {key: value for key, value in recipe.get("train", {}).items() if key in BASES}
        tables |= {name: {**table, **tables.get(name, {})} for name, table in kept.items() if table}
    reading = {name: value for name, value in reading.items() if value is not None}
    if str(run) != "-" and exists(Path(run), COLUMNS):
        if reading:
            raise ConfigError(f"{', '.join(reading)}: how to read is for logs of others: a run says it all")
        return replay_run(run, plugins, tables)
    if plugins is None:
        raise ConfigError(f"{run} does not say which plugins to replay: name some with --plugins")
    if str(run) == "-":
        raise ConfigError("replay reads a log twice, which standard input does not allow: give a file")
    return replay_log(str(run), plugins, tables, progress=progress, **reading)
