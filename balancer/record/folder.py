"""What a run directory holds, by name: the one place that says where each thing lies."""

from __future__ import annotations

import fnmatch
import itertools
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from balancer.errors import ConfigError
from balancer.record import files

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
# Locked while a process trains there, and who that is.
LOCK: Final = ".lock"
HOLDER: Final = ".holder.json"

_SHEET: Final = re.compile(r"step_(\d{1,15})\.png", re.ASCII)
_FOLDERS: Final = (SHEETS, CHECKPOINTS, TRACKERS)
_FILES: Final = (
    CONFIG, "config.until_*.toml", COMPOSITIONS, DECISIONS, COLUMNS, SIGNALS, "signals.*.bin", EVENTS, TRACEBACK, LOCK,
    HOLDER,
)  # fmt: skip


def sheet_name(done: int) -> str:
    """The file of the samples after `done` steps, in SHEETS."""
    return f"step_{done:08d}.png"


def sheet_step(name: str) -> int | None:
    """The steps done that a sheet's file says; None for another file."""
    match = _SHEET.fullmatch(name)
    return None if match is None else int(match[1])


def sheets_drawn(folder: Path) -> set[int]:
    """The steps done at each sheet that is there.

    Raises:
        OSError: they cannot be listed.
    """
    steps = {name: sheet_step(name) for name in files.listed(folder, SHEETS)}
    return {step for name, step in steps.items() if step is not None and name == sheet_name(step)}


def replaced_config_name(step: int) -> str:
    """The file of a config that a resume replaced at `step`."""
    return f"config.until_{step:08d}.toml"


def refuse_misplaced(folder: Path) -> None:
    """See that what has the name of a run's file is a plain file, and of its folders, a folder; nothing is opened.

    Raises:
        ConfigError: a link, a pipe or the like is there, such as in somebody else's run that would lead us out of it,
            or the directory cannot be read.
    """
    try:
        for name in files.listed(folder):
            if name in _FOLDERS or is_own_file(name):
                files.exists(folder, name, folder=name in _FOLDERS)
        for inside, is_folder in ((SHEETS, False), (CHECKPOINTS, True)):
            for name in files.listed(folder, inside) if files.exists(folder, inside, folder=True) else ():
                if name.startswith(("step_", ".saving_", ".deleting_")):
                    files.exists(folder, f"{inside}/{name}", folder=is_folder)
    except OSError as error:
        raise ConfigError(f"run directory {folder} cannot be used: {error.strerror}") from None


def is_own_file(name: str) -> bool:
    """Whether a run's own file has that name."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in _FILES)


def refuse_used(folder: Path) -> None:
    """Refuse a run directory that exists with something in it.

    Raises:
        ConfigError: says how to go on instead.
    """
    try:
        used = folder.exists() and (not folder.is_dir() or bool(_left(files.listed(folder))))
    except OSError as error:
        raise ConfigError(f"run directory {folder} cannot be used: {error.strerror}") from None
    if used:
        begun = (folder / CONFIG).is_file()
        whole = begun and (folder / CHECKPOINTS).is_dir()
        onward = f", or go on with --resume {shlex.quote(str(folder))}" if whole else ""
        why = " and holds a run that stopped before its first checkpoint" if begun and not whole else ""
        raise ConfigError(f"run directory {folder} exists{why}: choose another --out{onward}")


def _left(names: Sequence[str]) -> list[str]:
    """What is in a directory besides the traces of a run that ended before it wrote anything."""
    traces = (LOCK, HOLDER, TRACKERS) if LOCK in names else ()
    return [name for name in names if name not in traces and not files.is_unfinished(name)]


def default_names(model: str, plugins: Sequence[str]) -> Iterator[Path]:
    """`runs/MODEL-PLUGINS`, then the same with numbers."""
    base = Path("runs") / f"{model}-{'-'.join(plugins) or 'baseline'}"
    yield base
    for count in itertools.count(2):
        yield base.with_name(f"{base.name}-{count}")
