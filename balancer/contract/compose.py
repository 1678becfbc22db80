"""Names and configs in, a checked composition out: order, who owns which knob, conflicts, warnings. Builds nothing."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from balancer.contract.boundary import calling, short
from balancer.contract.declared import TermPhase, add_terms, check_declared, term_signals
from balancer.contract.host import OPTIONAL_HOOKS, CompositionView, Host, known_knob
from balancer.contract.knobs import STANDARD_KNOBS, KnobSpec, Op
from balancer.contract.make import made_plugin
from balancer.contract.moments import has_hook
from balancer.contract.plugin import Plugin, check_plugin_class
from balancer.contract.plugin_files import PluginFile, is_plugin_file, load_plugin_file
from balancer.contract.registry import load_plugin
from balancer.contract.signals import SignalSpec, standard_signal, taken
from balancer.errors import CompositionError, PluginError, nearest, one_line, suggestion


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

    # Those that come from a file of one's own.
    files: Mapping[str, PluginFile] = field(default_factory=dict)

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
    files: dict[str, PluginFile] = {}
    for item in plugins:
        if isinstance(item, str) and is_plugin_file(item):
            cls, file = load_plugin_file(item)
            source, files[cls.name] = str(file), file
        elif isinstance(item, str):
            cls, entry = load_plugin(item)
            source = f"{entry.distribution} {entry.version}"
        else:
            cls = check_plugin_class(item, f"plugin class {getattr(item, '__name__', short(item))}")
            source = f"class {cls.__module__}"
        if cls.name in made:
            raise CompositionError(f"plugin {cls.name} is named twice: one instance of each works in a run")
        made[cls.name] = made_plugin(cls, settings.get(cls.name, {}), source)
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
        warnings += [f"{plugin.name}: {sentence}" for sentence in _said(plugin, sources[plugin.name], view)]
    return Composition(tuple(ordered), knobs, signals, operations, sources, tuple(warnings), host, terms, files)


def _said(plugin: Plugin, source: str, view: CompositionView) -> list[str]:
    """What a plugin says of the composition, one line each."""
    with calling(f"plugin {plugin.name} of {source} cannot be checked", note=f"by plugin {plugin.name} of {source}"):
        said: Any = plugin.check(view)
        sentences = None if said is None or isinstance(said, str) else list(said)
    if sentences is None or not all(isinstance(sentence, str) for sentence in sentences):
        got = short(said if sentences is None else sentences)
        raise PluginError(f"plugin {plugin.name} of {source}: check returned {got}, not a list of sentences")
    return [one_line(sentence) for sentence in sentences]


def _with_brought(made: Mapping[str, Plugin], host: Host) -> tuple[dict[str, KnobSpec], dict[str, SignalSpec]]:
    knobs, signals = dict(host.knobs), dict(host.signals)
    # The order in which plugins were named leaves no trace, in records either.
    plugins = [made[name] for name in sorted(made)]
    for plugin in plugins:
        for knob in plugin.brings_knobs:
            if knob.name in knobs or knob.name in STANDARD_KNOBS:
                raise CompositionError(f"plugin {plugin.name} brings the knob {knob.name}, which exists already")
            knobs[knob.name] = knob
    for plugin in plugins:
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
                    takes = ", ".join(knobs[knob].ops)
                    near = nearest(op, knobs[knob].ops)
                    raise CompositionError(f"{who} wants to {op} {knob}, which takes only {takes}{near}")
        elif knob in host.meaningless:
            raise CompositionError(f"{who} turns {knob}, but {host.meaningless[knob]}: leave {plugin.name} out")
        elif (spec := known_knob(knob)) is not None:
            near = nearest(knob, sorted(knobs), cutoff=0.85) if knob not in STANDARD_KNOBS else ""
            would = _would(host, spec.ask)
            raise CompositionError(f"{who} turns {knob}, which {host.name} does not obey{near}: {would}")
        else:
            raise CompositionError(f"{who} turns {knob}: no such knob: {suggestion(knob, sorted(knobs))}")
    for hook, ask in OPTIONAL_HOOKS.items():
        if hook not in host.calls and has_hook(plugin, hook):
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
    loops = [plugin for plugin in ordered if (plugin.reads or "gradients" in plugin.sees) and not plugin.one_shot]
    for knob in dict.fromkeys(knob for plugin in loops for knob in plugin.writes):
        actors = [p.name for p in loops if {"set", "ratio", "mul"} & set(operations[p.name].get(knob, {}).values())]
        if len(actors) > 1:
            raise CompositionError(
                f"plugins {' and '.join(actors)} each read signals or gradients and turn {knob}: "
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
