"""What was measured of a plugin, in a few words: by its name in `evidence.toml` beside the file of its module."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from balancer.contract.input_files import MOST_TOML_BYTES, read_input
from balancer.errors import printable

FILE: Final = "evidence.toml"
LONGEST: Final = 200  # characters that are shown


def evidence_beside(module: Path | None, name: str) -> str:
    """One line on a plugin; empty where it ships none, or none that can be read."""
    found = None if module is None else _read(module.parent / FILE).get(name)
    return printable(" ".join(found.split()))[:LONGEST] if isinstance(found, str) else ""


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(read_input(path, MOST_TOML_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}  # a list of plugins is of the others too
