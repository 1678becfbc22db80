"""Names and configs in, a checked composition out: order, who owns which knob, conflicts, warnings. Builds nothing."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from balancer.contract.declared import TermPhase, add_terms, check_declared, term_signals
from balancer.contract.host import OPTIONAL_HOOKS, CompositionView, Host, known_knob
from balancer.contract.knobs import STANDARD_KNOBS, KnobSpec, Op
from balancer.contract.moments import hook_options
from balancer.contract.plugin import Plugin, PluginConfig, check_plugin_class
from balancer.contract.registry import load_plugin
from balancer.contract.signals import SignalSpec, standard_signal, taken
from balancer.errors import BalancerError, CompositionError, ConfigError, PluginError, suggestion


@dataclass(frozen=True)
class Composition:
    """Plugins in order, each with the operations its declarations resolved to; made by `compose` only."""

    plugins: tuple[Plugin, ...]
    knobs: Mapping[str, KnobSpec]
    signals: Mapping[str, SignalSpec]
    # plugin -> knob -> declared operation -> resolved operation
    operations: Mapping[str, Mapping[str, Mapping[Op, Op]]]
    sources: Mapping[str, str]
    warnings: tuple[str, ...]
    host: Host
    # (phase, term) -> the plugin that brings it
    terms: Mapping[tuple[TermPhase, str], str] = field(default_factory=dict)

    def sees(self, sight: str) -> bool:
        """Whether one of the plugins must see this."""
        return any(sight in plugin.sees for plugin in self.plugins)

    def writers(self, knob: str) -> list[tuple[str, Op]]:
        """Who writes a knob and how, in order."""
        rows = [(p.name, op) for p in self.plugins for op in self.operations[p.name].get(knob, {}).values()]
        return list(dict.fromkeys(rows))


# Operations of which a knob bears one plugin only.
OWNING: Final = frozenset({"set", "ratio"})


def compose(
    plugins: Sequence[str | type[Plugin]],
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    host: Host,
) -> Composition:
    """Check that these plugins, with these settings, can work together on this host.

    Raises:
        PluginError: a plugin cannot be found, imported or validated.
        ConfigError: a plugin's settings are unknown or out of range.
        CompositionError: they contradict each other or ask for what the host does not offer.
    """
    settings = settings or {}
    made: dict[str, Plugin] = {}
    sources: dict[str, str] = {}
    for item in plugins:
        if isinstance(item, str):
            cls, entry = load_plugin(item)
            source = f"{entry.distribution} {entry.version}"
        else:
            cls, source = check_plugin_class(item, f"plugin class {item.__name__}"), f"class {item.__module__}"
        if cls.name in made:
            raise CompositionError(f"plugin {cls.name} is named twice: one instance of each works in a run")
        config = plugin_config(cls, settings.get(cls.name, {}), source)
        with _blaming(cls.name, source, "cannot be made"):
            plugin = made[cls.name] = cls(config)
        if isinstance(plugin.reads, str) or any(isinstance(ops, str) for ops in plugin.writes.values()):
            raise PluginError(f"plugin {cls.name} of {source}: reads and the values of writes are tuples of names")
        sources[cls.name] = source
    knobs, signals = _with_brought(made, host)
    terms = add_terms(made, sources, knobs, signals)
    ordered = _order(made, terms)
    for plugin in ordered:
        _check_offered(plugin, sources[plugin.name], host, knobs, signals)
    operations = _resolve(ordered)
    warnings = [*_check_loops(ordered, operations)]
    view = CompositionView({plugin.name: plugin.config for plugin in ordered}, host)
    for plugin in ordered:
        with _blaming(plugin.name, sources[plugin.name], "cannot be checked"):
            warnings += [f"{plugin.name}: {sentence}" for sentence in plugin.check(view)]
    return Composition(tuple(ordered), knobs, signals, operations, sources, tuple(warnings), host, terms)


@contextmanager
def _blaming(name: str, source: str, what: str) -> Iterator[None]:
    """Say whose an exception is that a plugin lets out."""
    try:
        yield
    except BalancerError:
        raise
    except Exception as error:
        raise PluginError(f"plugin {name} of {source} {what}: {type(error).__name__}: {error}") from error


def plugin_config(cls: type[Plugin], values: Mapping[str, Any], source: str) -> PluginConfig:
    """A plugin's validated config.

    Raises:
        ConfigError: one line that names the key, the plugin and its distribution.
    """
    try:
        return cls.Config.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{first_error(error, cls.name, cls.Config)} (plugin {cls.name} of {source})") from None


def first_error(error: ValidationError, prefix: str, model: Any) -> str:
    """The first complaint of a pydantic error as one line: key, what is wrong, what was given."""
    first = error.errors(include_url=False)[0]
    key = ".".join([prefix, *(str(part) for part in first["loc"])])
    if first["type"] == "extra_forbidden":
        known = sorted(model.model_fields)
        return f"{key}: no such setting: {suggestion(str(first['loc'][-1]), known)}"
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return f"{key}: {message}" + (f", got {first['input']!r}" if first["loc"] and first["type"] != "missing" else "")


def _with_brought(made: Mapping[str, Plugin], host: Host) -> tuple[dict[str, KnobSpec], dict[str, SignalSpec]]:
    knobs, signals = dict(host.knobs), dict(host.signals)
    for plugin in made.values():
        for knob in plugin.brings_knobs:
            if knob.name in knobs or knob.name in STANDARD_KNOBS:
                raise CompositionError(f"plugin {plugin.name} brings the knob {knob.name}, which exists already")
            knobs[knob.name] = knob
    for plugin in made.values():
        for signal in plugin.brings_signals:
            who = f"plugin {plugin.name} brings the signal {signal.name}"
            if signal.name in signals or standard_signal(signal.name) is not None:
                raise CompositionError(f"{who}, which exists already")
            why = "a knob has that name" if signal.name in knobs else taken(signal.name)
            if why is not None:
                raise CompositionError(f"{who}, but {why}: rename it")
            signals[signal.name] = signal
        for knob in plugin.brings_knobs:
            is_signal = knob.name in signals or standard_signal(knob.name) is not None
            why = "a signal has that name" if is_signal else None if knob.is_weight else taken(knob.name)
            if why is not None:
                raise CompositionError(f"plugin {plugin.name} brings the knob {knob.name}, but {why}: rename it")
    return knobs, signals


def _order(made: Mapping[str, Plugin], terms: Mapping[tuple[TermPhase, str], str]) -> list[Plugin]:
    """Producers before readers, then declared `after`, then by name."""
    producer = {spec.name: p.name for p in made.values() for spec in p.brings_signals}
    producer |= {spec.name: owner for (phase, term), owner in terms.items() for spec in term_signals(phase, term)}
    before: dict[str, set[str]] = {name: set() for name in made}
    for name, plugin in made.items():
        before[name] |= {producer[signal] for signal in plugin.reads if producer.get(signal, name) != name}
        before[name] |= {other for other in plugin.after if other in made}
    ready = [name for name, wait in before.items() if not wait]
    heapq.heapify(ready)
    ordered: list[Plugin] = []
    while ready:
        name = heapq.heappop(ready)
        ordered.append(made[name])
        for other, wait in before.items():
            if name in wait:
                wait.remove(name)
                if not wait:
                    heapq.heappush(ready, other)
    if len(ordered) < len(made):
        stuck = sorted(name for name, wait in before.items() if wait)
        raise CompositionError(f"plugins {' and '.join(stuck)} each want to act after the other: drop one `after`")
    return ordered


def _check_offered(
    plugin: Plugin, source: str, host: Host, knobs: Mapping[str, KnobSpec], signals: Mapping[str, SignalSpec]
) -> None:
    who = f"plugin {plugin.name} of {source}"
    for knob, ops in plugin.writes.items():
        if knob in knobs:
            for op in ops:
                if op not in knobs[knob].ops:
                    raise CompositionError(f"{who} wants to {op} {knob}, which takes only {', '.join(knobs[knob].ops)}")
        elif knob in host.meaningless:
            raise CompositionError(f"{who} turns {knob}, but {host.meaningless[knob]}: leave {plugin.name} out")
        elif (spec := known_knob(knob)) is not None:
            raise CompositionError(f"{who} turns {knob}, which {host.name} does not obey: {_would(host, spec.ask)}")
        else:
            raise CompositionError(f"{who} turns {knob}: no such knob: {suggestion(knob, sorted(knobs))}")
    for hook, ask in OPTIONAL_HOOKS.items():
        if hook not in host.calls and hook_options(getattr(plugin, hook, None)) is not None:
            would = _would(host, f"{ask} and list {hook!r} in obeys")
            raise CompositionError(f"{who} acts at {hook}, which {host.name} does not call: {would}")
    check_declared(plugin, who, host)
    for signal in plugin.reads:
        if signal in signals:
            continue
        if (reason := host.meaningless.get(signal.partition("/")[0])) is not None:
            raise CompositionError(f"{who} reads {signal}, but {reason}, or leave {plugin.name} out")
        if (known := standard_signal(signal)) is not None:
            would = _would(host, f"{known.ask} and list {signal!r} in supplies")
            raise CompositionError(f"{who} reads {signal}, which {host.name} does not supply: {would}")
        raise CompositionError(f"{who} reads {signal}: no such signal: {suggestion(signal, sorted(signals))}")


def _would(host: Host, ask: str) -> str:
    return f"{host.name} would have to {ask}"


def _resolve(ordered: Sequence[Plugin]) -> dict[str, dict[str, dict[Op, Op]]]:
    """What each declared operation means here, after the check that no knob has two owners."""
    resolved: dict[str, dict[str, dict[Op, Op]]] = {plugin.name: {} for plugin in ordered}
    for knob in dict.fromkeys(knob for plugin in ordered for knob in plugin.writes):
        owners = [plugin.name for plugin in ordered if OWNING & set(plugin.writes.get(knob, ()))]
        flexible = [plugin.name for plugin in ordered if "set_or_max" in plugin.writes.get(knob, ())]
        for several in (owners, flexible):
            if len(several) > 1:
                raise CompositionError(
                    f"plugins {' and '.join(several)} both set {knob}: a knob has one owner; leave one of them out"
                )
        for plugin in ordered:
            if knob in plugin.writes:
                flexible_means: Op = "max" if owners else "set"
                resolved[plugin.name][knob] = {
                    op: flexible_means if op == "set_or_max" else op for op in plugin.writes[knob]
                }
    return resolved


def _check_loops(ordered: Sequence[Plugin], operations: Mapping[str, Mapping[str, Mapping[Op, Op]]]) -> list[str]:
    """Refuse two closed loops on one knob; warn of two loops that answer to one signal through different knobs."""
    loops = [plugin for plugin in ordered if plugin.reads and not plugin.one_shot]
    for knob in dict.fromkeys(knob for plugin in loops for knob in plugin.writes):
        actors = [p.name for p in loops if {"set", "ratio", "mul"} & set(operations[p.name].get(knob, {}).values())]
        if len(actors) > 1:
            raise CompositionError(
                f"plugins {' and '.join(actors)} each read signals and turn {knob}: "
                f"two closed loops on one knob fight; leave one of them out"
            )
    warnings = []
    for index, first in enumerate(loops):
        for second in loops[index + 1 :]:
            shared = sorted(set(first.reads) & set(second.reads))
            if shared and first.writes and second.writes and set(first.writes) != set(second.writes):
                warnings.append(
                    f"{first.name} and {second.name} both answer to {', '.join(shared)} through different knobs "
                    f"({', '.join(first.writes)}; {', '.join(second.writes)}): each sees what the other does"
                )
    return warnings
