"""Plugins in a file of one's own, without packaging: `FILE.py:CLASS`, loaded, with the SHA-256 of what was loaded."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TextIO

from balancer.contract.boundary import calling
from balancer.contract.input_files import read_input
from balancer.contract.plugin import Plugin, check_plugin_class
from balancer.errors import PluginError, suggestion
from balancer.extras import extra_of, install


@dataclass(frozen=True)
class PluginFile:
    """Where a plugin without a distribution comes from: an absolute path, a class, and what the file held."""

    path: Path
    cls: str
    sha256: str

    @property
    def reference(self) -> str:
        """What names it on the command line and in a config."""
        return f"{self.path}:{self.cls}"

    def __str__(self) -> str:
        return f"file {self.path.name}, SHA-256 {self.sha256[:12]}"

    def as_table(self) -> dict[str, str]:
        """As records keep it."""
        return {"plugin": self.reference, "sha256": self.sha256}


def is_plugin_file(name: str) -> bool:
    """Whether a plugin's name is that of a class in a file."""
    path, colon, _ = name.rpartition(":")
    return name.endswith(".py") or bool(colon and path.endswith(".py"))


def load_plugin_file(reference: str, prints: TextIO | None = None) -> tuple[type[Plugin], PluginFile]:
    """Import the file, whose path counts from the working directory, and check the class.

    What it prints meanwhile goes to `prints`, or to standard error.

    Raises:
        PluginError: there is no such file or class, it cannot be imported, or the class is no valid plugin.
    """
    text, _, name = reference.rpartition(":") if not reference.endswith(".py") else (reference, "", "")
    path = Path(text).expanduser().absolute()
    where = f"plugin {reference}"
    try:
        content = read_input(path)
    except OSError as error:
        raise PluginError(f"{where}: {path} cannot be read: {error.strerror}") from None
    digest = hashlib.sha256(content).hexdigest()
    module = _module(path, content, digest, where, prints)
    classes = _plugins_of(module)
    if name not in vars(module):
        what = f"the file has no class {name!r}" if name else f"name a class of it, {text}:CLASS"
        known = suggestion(name, classes) if classes else "it holds no subclass of balancer.Plugin"
        raise PluginError(f"{where}: {what}: {known}")
    found = check_plugin_class(vars(module)[name], where)
    _refuse_installed(found.name, where)
    return found, PluginFile(path, name, digest)


def references(plugins: Sequence[str], files: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
    """Each plugin's name, and what it is composed by: the same, or `FILE.py:CLASS`, as given or as a run recorded."""
    found = []
    for item in plugins:
        reference = files[item]["plugin"] if item in files else item
        found.append((load_plugin_file(item)[0].name if is_plugin_file(item) else item, reference))
    return found


# By path and content: one file is one module, and a changed one is another.
_LOADED: Final[dict[tuple[Path, str], ModuleType]] = {}


def _module(path: Path, content: bytes, digest: str, where: str, prints: TextIO | None) -> ModuleType:
    if (path, digest) in _LOADED:
        return _LOADED[path, digest]
    key = hashlib.sha256(f"{path}/{digest}".encode()).hexdigest()[:16]
    spec = spec_from_file_location(f"balancer_plugin_file_{key}", path)
    assert spec is not None
    module = module_from_spec(spec)
    # Annotations are looked up there by dataclasses and pydantic.
    sys.modules[module.__name__] = module
    try:
        with redirect_stdout(prints or sys.stderr), calling(f"{where} cannot be imported", "", _missing):
            exec(compile(content, str(path), "exec"), vars(module))
    except BaseException:
        del sys.modules[module.__name__]
        raise
    _LOADED[path, digest] = module
    return module


def _missing(error: BaseException) -> str:
    """What installs a module that was not there, where an extra brings it."""
    extra = extra_of(error)
    return "" if extra is None else f"; {install(extra)}"


def _plugins_of(module: ModuleType) -> list[str]:
    def is_own(value: Any) -> bool:
        return isinstance(value, type) and issubclass(value, Plugin) and value.__module__ == module.__name__

    return sorted(name for name, value in vars(module).items() if is_own(value))


def _refuse_installed(name: str, where: str) -> None:
    from balancer.contract.registry import PLUGINS, entries

    for entry in entries(PLUGINS):
        if entry.name == name:
            owner = f"{entry.distribution} {entry.version}"
            raise PluginError(f"{where} calls itself {name}, as a plugin of {owner} does: rename it")
