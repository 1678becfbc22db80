"""What a run directory holds, by name: the one place that says where each thing lies."""

from __future__ import annotations

from typing import Final

CONFIG: Final = "config.toml"
COMPOSITIONS: Final = "compositions.jsonl"
DECISIONS: Final = "decisions.jsonl"
# The names of the columns, and the file of rows that they name: this one, or a wider one that replaced it.
COLUMNS: Final = "signals.json"
SIGNALS: Final = "signals.bin"
EVENTS: Final = "events.out.tfevents.*"
SHEETS: Final = "sheets"
CHECKPOINTS: Final = "checkpoints"


def sheet_name(done: int) -> str:
    """The file of the samples after `done` steps, in SHEETS."""
    return f"step_{done:08d}.png"


def replaced_config_name(step: int) -> str:
    """The file of a config that a resume replaced at `step`."""
    return f"config.until_{step:08d}.toml"
