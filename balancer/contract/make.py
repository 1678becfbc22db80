"""One plugin from its class and settings: its config validated, itself made, what it declares read and checked."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, get_args

from pydantic import ValidationError

from balancer.contract.boundary import calling, short
from balancer.contract.knobs import KnobSpec, Op
from balancer.contract.plugin import Plugin, PluginConfig
from balancer.contract.signals import Phase, SignalSpec
from balancer.errors import ConfigError, KnobError, PluginError, suggestion


def made_plugin(cls: type[Plugin], values: Mapping[str, Any], source: str) -> Plugin:
    """A plugin with these settings, its declarations checked.

    Raises:
        ConfigError: a setting is unknown or out of range.
        PluginError: it cannot be made, or declares what is none.
    """
    who = f"plugin {cls.name} of {source}"
    config = plugin_config(cls, values, source)
    with calling(f"{who} cannot be made"):
        plugin: Any = cls(config)
        whole = isinstance(plugin, cls) and isinstance(getattr(plugin, "config", None), PluginConfig)
        named = whole and hasattr(plugin, "_rng") and plugin.name == cls.name
    if not named:
        raise PluginError(
            f"{who} cannot be made: its __init__ must call super().__init__(config), and leave config and name alone"
        )
    with calling(f"{who} cannot say what it declares"):
        wrong = _misdeclared(plugin)
    if wrong is not None:
        raise PluginError(f"{who}: {wrong}")
    made: Plugin = plugin
    return made


def plugin_config(cls: type[Plugin], values: Mapping[str, Any], source: str) -> PluginConfig:
    """A plugin's validated config.

    Raises:
        ConfigError: one line that names the key, the plugin and its distribution.
        PluginError: a validator of its own raised something else.
    """
    with calling(f"plugin {cls.name} of {source} cannot check its settings"):
        try:
            return cls.Config.model_validate(dict(values))
        except ValidationError as error:
            line = f"{first_error(error, cls.name, cls.Config)} (plugin {cls.name} of {source})"
    raise ConfigError(line)


def first_error(error: ValidationError, prefix: str, model: Any) -> str:
    """The first complaint of a pydantic error as one line: key, what is wrong, what was given."""
    first = error.errors(include_url=False)[0]
    key = ".".join([prefix, *(str(part) for part in first["loc"])])
    if first["type"] == "extra_forbidden":
        known = sorted(model.model_fields)
        return f"{key}: no such setting: {suggestion(str(first['loc'][-1]), known)}"
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return f"{key}: {message}" + (
        f", got {short(first['input'])}" if first["loc"] and first["type"] != "missing" else ""
    )


def _misdeclared(plugin: Any) -> str | None:
    """What is wrong with a plugin's declarations, as the rest of a sentence; None where nothing is."""
    for what in ("reads", "after"):
        if not _names(getattr(plugin, what)):
            return f"{what} = {short(getattr(plugin, what))} is not a tuple of names"
    writes = plugin.writes
    if not isinstance(writes, Mapping):
        return f"writes = {short(writes)} is not a dict of operations by knob"
    for knob, ops in writes.items():
        if not isinstance(knob, str) or not _names(ops):
            return f"writes = {short(writes)}: the values are tuples of names of operations"
        for op in ops:
            if op not in get_args(Op):
                return f"writes {short(knob)} by {short(op)}: no such operation: {suggestion(op, get_args(Op))}"
    for what, spec in (("brings_knobs", KnobSpec), ("brings_signals", SignalSpec)):
        brought = getattr(plugin, what)
        if not isinstance(brought, tuple | list) or not all(isinstance(item, spec) for item in brought):
            return f"{what} = {short(brought)} is not a tuple of {spec.__name__}"
        for item in brought:
            if not isinstance(item.name, str) or not item.name.isprintable() or len(item.name.split()) != 1:
                return f"{what}: the name {short(item.name)} is not one word of printable characters"
    for knob in plugin.brings_knobs:
        if (why := _misspecified(knob)) is not None:
            return f"brings the knob {knob.name}, {why}"
    for signal in plugin.brings_signals:
        if signal.phase not in get_args(Phase):
            return (
                f"brings the signal {signal.name} in the phase {short(signal.phase)}: {suggestion('', get_args(Phase))}"
            )
    return None


def _misspecified(knob: Any) -> str | None:
    """What is wrong with the specification of a knob, as the rest of a sentence; None where nothing is."""
    if not _names(knob.ops) or not knob.ops or not set(knob.ops) <= set(get_args(Op)):
        return f"whose ops = {short(knob.ops)} are not a tuple of {', '.join(get_args(Op))}"
    if knob.choices is not None and not _names(knob.choices):
        return f"whose choices = {short(knob.choices)} are not a tuple of names"
    for bound in (knob.minimum, knob.maximum):
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
            return f"whose range is from {short(knob.minimum)} to {short(knob.maximum)}, not between two numbers"
    op: Op = "add" if "add" in knob.ops else "gate" if "gate" in knob.ops else "set"
    try:
        knob.check("", op, knob.base)
    except KnobError:
        return f"whose base = {short(knob.base)} is none of its values"
    return None


def _names(value: object) -> bool:
    return (
        isinstance(value, Collection)
        and not isinstance(value, str | bytes | Mapping)
        and all(isinstance(name, str) for name in value)
    )
