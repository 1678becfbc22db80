"""Finding plugins, models, losses and recipes by entry point: listing imports nothing, loading only what is named."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from balancer.contract.boundary import blame, described, from_outside, short
from balancer.contract.distributions import UNKNOWN, Distribution, distributions
from balancer.contract.input_files import read_input
from balancer.errors import ConfigError, PluginError, printable, suggestion
from balancer.extras import extra_of, install

if TYPE_CHECKING:
    from balancer.contract.adversarial import AdversarialLoss
    from balancer.contract.model import ModelFamily
    from balancer.contract.plugin import Plugin

PLUGINS: Final = "balancer.plugins"
MODELS: Final = "balancer.models"
LOSSES: Final = "balancer.losses"
COMMANDS: Final = "balancer.commands"
RECIPES: Final = "balancer.recipes"


@dataclass(frozen=True)
class Entry:
    """One entry point, not imported: its name, what it points to, and the distribution that brings it.

    `remark` says what is wrong with it, where something is.
    """

    name: str
    value: str
    distribution: str
    version: str
    remark: str
    _point: metadata.EntryPoint

    def load(self, kind: str) -> object:
        """Import what it names; what it prints meanwhile goes to standard error.

        Raises:
            PluginError: the import fails; the message names the distribution and the cause.
        """
        whose = f"{kind} {self.name} of distribution {self.distribution} {self.version}"
        if not _loadable(self._point):
            raise PluginError(f"{whose} cannot be imported: {self.remark}")
        try:
            with redirect_stdout(sys.stderr):
                return self._point.load()
        except BaseException as error:
            if not from_outside(error):
                extra = extra_of(error)
                hint = "" if extra is None else f"; {install(extra)}"
                blame(error, f"{whose} cannot be imported from {self.value}", "", hint)
            raise

    def path(self) -> Path | None:
        """The file of the module that it names, which is imported."""
        file = import_module(self.value.partition(":")[0]).__file__
        return None if file is None else Path(file)


@dataclass(frozen=True)
class Broken:
    """A distribution of which it cannot be said what it brings, and why."""

    distribution: str
    version: str
    why: str


def entries(group: str) -> list[Entry]:
    """All entry points of a group by name; a name that two distributions use stands there twice."""
    return installed(group)[0]


def installed(group: str) -> tuple[list[Entry], list[Broken]]:
    """All entry points of a group by name, and the distributions of which it cannot be said whether they have some."""
    found: dict[tuple[str, str], Entry] = {}
    broken: dict[str, Broken] = {}
    for distribution in distributions():
        try:
            points = distribution.points(group)
        except Exception as error:
            why = f"its entry_points.txt cannot be read ({described(error)}): reinstall it"
            broken[distribution.name] = Broken(distribution.name, distribution.version, why)
            continue
        for point in points:
            # One distribution that two folders of sys.path show is still one.
            key = point.name, distribution.name
            found[key] = Entry(
                point.name, point.value, *key[1:], distribution.version, _remark(point, distribution), point
            )
    return [found[key] for key in sorted(found)], [broken[name] for name in sorted(broken)]


def _remark(point: metadata.EntryPoint, distribution: Distribution) -> str:
    if not _loadable(point):
        return f"{short(point.value)} is not of the form package.module:Class"
    if distribution.doubles:
        versions = ", ".join(sorted({distribution.version, *(double.version for double in distribution.doubles)}))
        return f"its distribution is installed twice in one folder ({versions}): reinstall it"
    return "" if distribution.version != UNKNOWN else "its distribution does not say its version: reinstall it"


def _loadable(point: metadata.EntryPoint) -> bool:
    return point.pattern.match(point.value) is not None


def find(group: str, name: str, kind: str) -> Entry:
    """The one entry of that name.

    Raises:
        PluginError: no such name (the nearest one is suggested), or two distributions use it.
    """
    everything = entries(group)
    matches = [entry for entry in everything if entry.name == name]
    if not matches:
        raise PluginError(f"unknown {kind} {name!r}: {suggestion(name, sorted({e.name for e in everything}))}")
    if len(matches) > 1:
        owners = " and ".join(f"{entry.distribution} {entry.version}" for entry in matches)
        raise PluginError(f"{kind} {name} is brought by {owners}: uninstall one of them")
    return matches[0]


def load_plugin(name: str) -> tuple[type[Plugin], Entry]:
    """Import one plugin and check its class.

    Raises:
        PluginError: unknown, ambiguous, not importable, or not a valid plugin class.
    """
    from balancer.contract.plugin import check_plugin_class

    entry = find(PLUGINS, name, "plugin")
    where = f"plugin {name} of distribution {entry.distribution} {entry.version}"
    found = check_plugin_class(entry.load("plugin"), where)
    if found.name != name:
        raise PluginError(f"{where}: its class calls itself {found.name!r}; entry point and class must agree")
    return found, entry


def load_model(name: str) -> tuple[ModelFamily, Entry]:
    """Import one model family.

    Raises:
        PluginError: unknown, ambiguous, not importable, or not a ModelFamily.
    """
    from balancer.contract.model import ModelFamily

    entry = find(MODELS, name, "model")
    found = entry.load("model")
    if not (isinstance(found, type) and issubclass(found, ModelFamily)):
        raise PluginError(
            f"model {name} of distribution {entry.distribution}: {entry.value} is not a ModelFamily class"
        )
    return found(), entry


def load_loss(name: str) -> type[AdversarialLoss]:
    """Import one adversarial loss that another distribution brings.

    Raises:
        PluginError: unknown, ambiguous, not importable, or not a subclass of AdversarialLoss.
    """
    from balancer.contract.adversarial import AdversarialLoss

    entry = find(LOSSES, name, "loss")
    found = entry.load("loss")
    where = f"loss {name} of distribution {entry.distribution} {entry.version}"
    if not (isinstance(found, type) and issubclass(found, AdversarialLoss)):
        raise PluginError(f"{where}: {entry.value} is not a subclass of balancer.AdversarialLoss")
    if getattr(found, "name", None) != name:
        called = getattr(found, "name", None)
        raise PluginError(f"{where}: its class calls itself {called!r}; entry point and class must agree")
    return found


def recipes() -> dict[str, Path]:
    """Shipped config files by name, from the packages that entry points of `balancer.recipes` name.

    A name that two distributions use is that of neither.
    """
    return _recipes()[0]


def _recipes() -> tuple[dict[str, Path], dict[str, str]]:
    """Recipes by name, and for each name that two distributions use, which ones these are."""
    found: dict[str, Path] = {}
    doubled: dict[str, str] = {}
    owners: dict[str, Entry] = {}
    for entry in entries(RECIPES):
        try:
            spec = _located(entry.value)
            folder = Path(spec.origin).parent / "recipes" if spec is not None and spec.origin is not None else None
            paths = [] if folder is None else sorted(folder.glob("*.toml"))
        except Exception:
            continue  # a broken distribution harms nobody who does not ask for its recipes
        for path in paths:
            first = owners.setdefault(path.stem, entry)
            if first.distribution == entry.distribution:
                found[path.stem] = path
            else:
                found.pop(path.stem, None)
                doubled[path.stem] = f"{first.distribution} {first.version} and {entry.distribution} {entry.version}"
    return found, doubled


def _located(package: str) -> ModuleSpec | None:
    """Where a package lies; unlike `importlib.util.find_spec` this imports none of those that it lies in."""
    found: ModuleSpec | None = None
    path = None
    for count, _ in enumerate(package.split("."), 1):
        name = ".".join(package.split(".")[:count])
        specs = (finder.find_spec(name, path) for finder in sys.meta_path)
        found = next((spec for spec in specs if spec is not None), None)
        if found is None:
            return None
        path = found.submodule_search_locations
    return found


def find_config(name: str) -> Path:
    """The config file that a path or the name of a recipe means.

    Raises:
        ConfigError: there is neither such a file nor such a recipe.
    """
    path = Path(name)
    if os.path.isfile(name):  # noqa: PTH113  # Path.is_file raises where a name is too long
        return path
    if path.suffix == ".toml" or os.path.lexists(name):
        why = "not a regular file" if os.path.lexists(name) else "no such file"
        raise ConfigError(f"config {name}: {why}")
    known, doubled = _recipes()
    if name in doubled:
        raise ConfigError(f"config {name}: a recipe of that name is brought by {doubled[name]}: uninstall one of them")
    if name not in known:
        raise ConfigError(f"config {short(name)} is neither a file nor a recipe: {suggestion(name, sorted(known))}")
    return known[name]


def card_beside(module: Path | None, name: str, source: str = "") -> str | None:
    """A plugin's card: `cards/NAME.md` beside the file of its module, or None where it ships none.

    `source` is where the plugin comes from, for errors.
    """
    if module is None:
        return None
    path = module.parent / "cards" / f"{name}.md"
    try:
        return printable(read_input(path).decode("utf-8")) if path.is_file() else None
    except (OSError, ValueError) as error:
        whose = f"{name} of {source}" if source else name
        raise PluginError(f"the card of plugin {whose} cannot be read: {described(error)}") from None
