"""Finding plugins, models, losses and recipes by entry point: listing imports nothing, loading only what is named."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from balancer.errors import ConfigError, PluginError, suggestion
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
    """One entry point, not imported: its name, what it points to, and the distribution that brings it."""

    name: str
    value: str
    distribution: str
    version: str
    _point: metadata.EntryPoint

    def load(self, kind: str) -> object:
        """Import what it names.

        Raises:
            PluginError: the import fails; the message names the distribution and the cause.
        """
        try:
            return self._point.load()
        except Exception as error:
            cause = f"{type(error).__name__}: {error}".splitlines()[0]
            if (extra := extra_of(error)) is not None:
                cause += f"; {install(extra)}"
            raise PluginError(
                f"{kind} {self.name} of distribution {self.distribution} {self.version} "
                f"cannot be imported from {self.value}: {cause}"
            ) from error


def entries(group: str) -> list[Entry]:
    """All entry points of a group by name; a name that two distributions use stands there twice."""
    found = {}
    for point in metadata.entry_points(group=group):
        distribution = point.dist.name if point.dist else "?"
        version = point.dist.version if point.dist else "?"
        # One distribution that two folders of sys.path show is still one.
        found[point.name, distribution] = Entry(point.name, point.value, distribution, version, point)
    return [found[key] for key in sorted(found)]


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
    """Shipped config files by name, from the packages that entry points of `balancer.recipes` name."""
    found: dict[str, Path] = {}
    for entry in entries(RECIPES):
        try:
            spec = find_spec(entry.value)
        except ImportError:
            spec = None
        if spec is None or spec.origin is None:
            continue  # a broken distribution harms nobody who does not ask for its recipes
        folder = Path(spec.origin).parent / "recipes"
        found.update({path.stem: path for path in sorted(folder.glob("*.toml"))})
    return found


def find_config(name: str) -> Path:
    """The config file that a path or the name of a recipe means.

    Raises:
        ConfigError: there is neither such a file nor such a recipe.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        if not path.is_file():
            raise ConfigError(f"config {name}: no such file")
        return path
    known = recipes()
    if name not in known:
        raise ConfigError(f"config {name!r} is neither a file nor a recipe: {suggestion(name, sorted(known))}")
    return known[name]


def card(entry: Entry) -> str | None:
    """A plugin's card: `cards/NAME.md` beside its module, or None where it ships none."""
    module = import_module(entry.value.partition(":")[0])
    if module.__file__ is None:
        return None
    path = Path(module.__file__).parent / "cards" / f"{entry.name}.md"
    return path.read_text(encoding="utf-8") if path.is_file() else None
