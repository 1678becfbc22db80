"""Begins a distribution for a plugin: package with law and class, card, tests, CI; it passes its checks at once."""

from __future__ import annotations

import keyword
import re
import shutil
import tempfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from balancer.contract.host import known_knob
from balancer.contract.plugin import API, RESERVED_NAMES
from balancer.contract.registry import PLUGINS, entries
from balancer.contract.signals import STANDARD_SIGNALS, taken
from balancer.errors import ConfigError

TEMPLATE: Final = Path(__file__).parent / "template"
# What a template's file is called in the distribution: without this ending, so that no tool takes it for its own.
ENDING: Final = ".txt"
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")


def new_plugin(name: str, out: Path | None = None) -> Path:
    """Write a distribution for a plugin of this name, into a new folder (`balancer-NAME` here if not given).

    Raises:
        ConfigError: the name cannot be used, the folder is there already, or it cannot be written; nothing is left.
    """
    _refuse_name(name)
    distribution = f"balancer-{name.replace('_', '-')}"
    folder = (out or Path(distribution)).absolute()
    if folder.exists() or folder.is_symlink():
        raise ConfigError(f"{folder} is there already: give another folder with --out")
    if not folder.parent.is_dir():
        raise ConfigError(f"{folder} cannot be made: {folder.parent} is no folder")
    words = {
        "@NAME@": name,
        "@CLASS@": "".join(part.capitalize() for part in name.split("_")),
        "@PACKAGE@": f"balancer_{name}",
        "@DISTRIBUTION@": distribution,
        "@API@": str(API),
        "@BALANCER@": ".".join(metadata.version("balancer").split(".")[:2]),
    }
    try:
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            made = beside / folder.name
            for source in sorted(TEMPLATE.rglob(f"*{ENDING}")):
                _write(made, source, words)
            made.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}") from None
    return folder


def _write(folder: Path, source: Path, words: dict[str, str]) -> None:
    place = source.relative_to(TEMPLATE).as_posix().removesuffix(ENDING)
    # Names that builds and copies leave out, such as those that begin with a dot, are others in the template.
    place = place.replace("package/", "@PACKAGE@/").replace("test_files/", "tests/").replace("dot_", ".")
    text = source.read_text(encoding="utf-8")
    for word, meant in words.items():
        place, text = place.replace(word, meant), text.replace(word, meant)
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _refuse_name(name: str) -> None:
    """Refuse a name that a plugin, its package or its settings could not have."""
    why = None
    if not NAME.fullmatch(name):
        why = "write it as small letters, digits and underscores, 40 at most, with a letter first"
    elif keyword.iskeyword(name) or keyword.issoftkeyword(name):
        why = "Python has that word"
    elif name in RESERVED_NAMES:
        why = f"{', '.join(RESERVED_NAMES)} are tables of a config"
    elif name in STANDARD_SIGNALS or known_knob(name) is not None or taken(name) is not None:
        why = "a signal or a knob is called so"
    elif (owner := next((entry for entry in entries(PLUGINS) if entry.name == name), None)) is not None:
        why = f"a plugin of {owner.distribution} {owner.version} has it"
    elif find_spec(f"balancer_{name}") is not None:
        why = f"a package balancer_{name} is installed already"
    if why is not None:
        raise ConfigError(f"a plugin cannot be called {name!r}: {why}")
