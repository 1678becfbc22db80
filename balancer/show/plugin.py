"""One plugin in words: its card, its settings, what it reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancer.contract.boundary import calling
from balancer.contract.make import made_plugin
from balancer.contract.plugin_files import is_plugin_file, load_plugin_file
from balancer.contract.registry import card_beside, load_plugin
from balancer.errors import ConfigError, printable
from balancer.show.composition import shown

if TYPE_CHECKING:
    from balancer.contract.plugin import Plugin


def describe_plugin(name: str) -> dict[str, Any]:
    """A plugin, installed or in a file (`FILE.py:CLASS`), as plain data.

    Where it comes from, what it reads and writes, its settings, its card.

    Raises:
        PluginError: no plugin has that name, or it cannot be loaded.
    """
    path: Path | None
    if is_plugin_file(name):
        cls, file = load_plugin_file(name)
        distribution, version, module, path = f"file {file.path}", f"SHA-256 {file.sha256[:12]}", name, file.path
    else:
        cls, entry = load_plugin(name)
        distribution, version, module, path = entry.distribution, entry.version, entry.value, entry.path()
    whose = f"plugin {cls.name} of {distribution} {version}"
    try:
        plugin: Plugin | type[Plugin] = made_plugin(cls, {}, f"{distribution} {version}")
    except ConfigError:
        plugin = cls  # a setting without a default: what the class declares is all there is to show
    with calling(f"{whose} cannot say what it declares"):
        reads, writes = list(plugin.reads), {knob: list(ops) for knob, ops in plugin.writes.items()}
    settings = [
        {
            "name": key,
            "default": "required" if field.is_required() else field.default,
            "type": _type_name(field.annotation),
            "description": field.description,
        }
        for key, field in cls.Config.model_fields.items()
    ]
    return {
        "name": cls.name,
        "distribution": distribution,
        "version": version,
        "module": module,
        "reads": reads,
        "writes": writes,
        "settings": settings,
        "card": card_beside(path, cls.name, whose.removeprefix("plugin ")),
    }


def print_plugin(described: dict[str, Any]) -> None:
    """Print what `describe_plugin` returned, for people."""
    name = described["name"]
    print(f"{name}, from {described['distribution']} {described['version']} ({described['module']})\n")
    print(f"reads:  {', '.join(described['reads']) or 'no signal'}")
    turned = [f"{knob} ({', '.join(ops)})" for knob, ops in described["writes"].items()]
    print(f"writes: {', '.join(turned) or 'no knob'}\n")
    print("settings:" if described["settings"] else "settings: none")
    for row in described["settings"]:
        line = f"  {name}.{row['name']} = {shown(row['default'])}  [{row['type']}]\n      {row['description'] or ''}"
        print(printable(line))
    print(f"\n{described['card'] or 'It ships no card.'}")


def _type_name(annotation: Any) -> str:
    text = getattr(annotation, "__name__", None) if isinstance(annotation, type) else None
    return text or str(annotation).replace("typing.", "").replace("NoneType", "None")
