"""One plugin in words: its card, its settings, what it reads and writes, brings, sees and requests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancer.contract.boundary import calling
from balancer.contract.declared import brought_terms
from balancer.contract.make import made_plugin
from balancer.contract.moments import HOOK_NAMES, hook_options
from balancer.contract.plugin_evidence import evidence_beside
from balancer.contract.plugin_files import is_plugin_file, load_plugin_file
from balancer.contract.registry import card_beside, load_plugin
from balancer.errors import ConfigError, say
from balancer.show.composition import shown

if TYPE_CHECKING:
    from balancer.contract.plugin import Plugin


def describe_plugin(name: str) -> dict[str, Any]:
    """A plugin, installed or in a file (`FILE.py:CLASS`), as plain data.

    Where it comes from, all that it declares, its hooks, its settings, its card.

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
        declared = _declared(plugin, whose)
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
        **declared,
        "settings": settings,
        "evidence": evidence_beside(path, cls.name),
        "card": card_beside(path, cls.name, f"{distribution} {version}"),
    }


def print_plugin(described: dict[str, Any]) -> None:
    """Print what `describe_plugin` returned, for people."""
    name = described["name"]
    say(f"{name}, from {described['distribution']} {described['version']} ({described['module']})\n")
    say(f"reads:  {', '.join(described['reads']) or 'no signal'}")
    turned = [f"{knob} ({', '.join(ops)})" for knob, ops in described["writes"].items()]
    say(f"writes: {', '.join(turned) or 'no knob'}")
    terms = [
        f"{term} (of {loss.upper()}'s loss)" for loss, names in described["brings_terms"].items() for term in names
    ]
    brought = {
        f"{kind} {row['name']}": row["summary"] for kind in ("signal", "knob") for row in described[f"brings_{kind}s"]
    }
    for key, names in {
        "brings": [*(f"term {term}" for term in terms), *(f"{what} ({summary})" for what, summary in brought.items())],
        **{key: described[key] for key in ("sees", "requests", "after", "hooks")},
    }.items():
        if names:
            say(f"{key + ':':7} {', '.join(names)}")
    if described["evidence"]:
        say(f"evidence: {described['evidence']}")
    say()
    say("settings:" if described["settings"] else "settings: none")
    for row in described["settings"]:
        line = f"  {name}.{row['name']} = {shown(row['default'])}  [{row['type']}]\n      {row['description'] or ''}"
        say(line)
    say(f"\n{described['card'] or 'It ships no card.'}")


def _declared(plugin: Plugin | type[Plugin], whose: str) -> dict[str, Any]:
    """All that a plugin declares, as it is made or as its class says."""
    terms: dict[str, list[str]] = {"d": [], "g": []}
    for loss, term in brought_terms(plugin, whose):
        terms[loss].append(term)
    return {
        "reads": list(plugin.reads),
        "writes": {knob: list(ops) for knob, ops in plugin.writes.items()},
        "brings_terms": terms,
        "brings_signals": [{"name": spec.name, "summary": spec.summary} for spec in plugin.brings_signals],
        "brings_knobs": [
            {"name": spec.name, "summary": spec.summary, "ops": list(spec.ops), "read_after": spec.read_after}
            for spec in plugin.brings_knobs
        ],
        "sees": list(plugin.sees),
        "requests": list(plugin.requests),
        "after": list(plugin.after),
        "hooks": [hook for hook in HOOK_NAMES if hook_options(getattr(plugin, hook, None)) is not None],
    }


def _type_name(annotation: Any) -> str:
    text = getattr(annotation, "__name__", None) if isinstance(annotation, type) else None
    return text or str(annotation).replace("typing.", "").replace("NoneType", "None")
