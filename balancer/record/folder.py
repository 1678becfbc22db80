"""What a run directory holds, by name: the one place that says where each thing lies."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from balancer.errors import ConfigError

CONFIG: Final = "config.toml"
COMPOSITIONS: Final = "compositions.jsonl"
DECISIONS: Final = "decisions.jsonl"
# The names of the columns, and the file of rows that they name: this one, or a wider one that replaced it.
COLUMNS: Final = "signals.json"
SIGNALS: Final = "signals.bin"
EVENTS: Final = "events.out.tfevents.*"
SHEETS: Final = "sheets"
CHECKPOINTS: Final = "checkpoints"
# What trackers keep that want a folder.
TRACKERS: Final = "trackers"
TRACEBACK: Final = "traceback.txt"


def sheet_name(done: int) -> str:
    """The file of the samples after `done` steps, in SHEETS."""
    return f"step_{done:08d}.png"


def replaced_config_name(step: int) -> str:
    """The file of a config that a resume replaced at `step`."""
    return f"config.until_{step:08d}.toml"


def refuse_used(folder: Path) -> None:
    """Refuse a run directory that exists with something in it.

    Raises:
        ConfigError: says how to go on instead.
    """
    try:
        used = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise ConfigError(f"run directory {folder} cannot be used: {error.strerror}") from None
    if used:
        begun = (folder / CONFIG).is_file()
        whole = begun and (folder / CHECKPOINTS).is_dir()
        onward = f", or go on with --resume {shlex.quote(str(folder))}" if whole else ""
        why = " and holds a run that stopped before its first checkpoint" if begun and not whole else ""
        raise ConfigError(f"run directory {folder} exists{why}: choose another --out{onward}")


def default_folder(model: str, plugins: Sequence[str]) -> Path:
    """`runs/MODEL-PLUGINS`, with a number where that exists."""
    base = Path("runs") / f"{model}-{'-'.join(plugins) or 'baseline'}"
    folder, count = base, 1
    while folder.exists():
        count += 1
        folder = base.with_name(f"{base.name}-{count}")
    return folder
