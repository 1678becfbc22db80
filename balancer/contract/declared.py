"""What a plugin declares besides what it reads and turns: terms that it brings, tensors that it must see, requests."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal, cast

from balancer.contract.host import SIGHTS, Host
from balancer.contract.moments import hook_options
from balancer.contract.notes import REQUESTS
from balancer.contract.plugin import Plugin
from balancer.contract.signals import SignalSpec, share_signal, standard_signal, taken, term_signal
from balancer.errors import CompositionError, PluginError, suggestion

TermPhase = Literal["d", "g"]
TERM_HOOKS: Final[Mapping[str, TermPhase]] = {"d_loss_terms": "d", "g_loss_terms": "g"}


def brought_terms(plugin: Plugin | type[Plugin], who: str) -> list[tuple[TermPhase, str]]:
    """The terms that a plugin declares, each with the loss that it goes into: D's or G's.

    Raises:
        PluginError: not names, no hook that could return them, or names of which nobody knows into which loss they go.
    """
    declared: Any = plugin.brings_terms
    if not declared:
        return []
    hooks = {TERM_HOOKS[hook]: hook for hook in TERM_HOOKS if hook_options(getattr(plugin, hook, None)) is not None}
    if not isinstance(declared, Mapping):
        if len(hooks) == 2:
            names = _names(declared, f"{who}: brings_terms")
            raise PluginError(
                f"{who} adds to both losses: say which terms go into which, "
                f"such as brings_terms = {{'d': {names!r}, 'g': (…)}}"
            )
        declared = dict.fromkeys(hooks, declared) or {"d": declared}
    terms: list[tuple[TermPhase, str]] = []
    for phase, names in declared.items():
        if phase not in TERM_HOOKS.values():
            raise PluginError(f"{who}: brings_terms has the key {phase!r}: they go into the loss of 'd' or of 'g'")
        if phase not in hooks:
            hook = next(hook for hook, of in TERM_HOOKS.items() if of == phase)
            raise PluginError(f"{who} brings terms, but has no hook {hook} that would return them")
        terms += [(cast("TermPhase", phase), name) for name in _names(names, f"{who}: brings_terms")]
    return terms


def term_signals(phase: TermPhase, term: str) -> list[SignalSpec]:
    """The signals that a term makes."""
    return [term_signal(term, phase)] if phase == "d" else [term_signal(term, "g"), share_signal(term)]


def add_terms(
    plugins: Mapping[str, Plugin],
    sources: Mapping[str, str],
    knobs: Collection[str],
    signals: dict[str, SignalSpec],
) -> dict[tuple[TermPhase, str], str]:
    """Who brings which term; each becomes a signal.

    Raises:
        PluginError: see `brought_terms`.
        CompositionError: two bring the same, or its name is taken.
    """
    terms: dict[tuple[TermPhase, str], str] = {}
    for plugin in plugins.values():
        who = f"plugin {plugin.name} of {sources[plugin.name]}"
        for phase, term in brought_terms(plugin, who):
            brings = f"{who} brings the term {term} of {phase.upper()}'s loss"
            if (other := terms.get((phase, term))) is not None:
                raise CompositionError(f"{brings}, and so does plugin {other}: leave one of them out, or rename it")
            made = term_signals(phase, term)
            for name in (signal.name for signal in made):
                if name in signals or standard_signal(name) is not None:
                    raise CompositionError(f"{brings}, but there is a {name} already: rename the new one")
            why = "a knob has that name" if made[0].name in knobs else taken(made[0].name, g_term=phase == "g")
            if why is not None:
                raise CompositionError(f"{brings}, but {why}: rename it")
            signals.update({signal.name: signal for signal in made})
            terms[phase, term] = plugin.name
    return terms


def check_declared(plugin: Plugin, who: str, host: Host) -> None:
    """Refuse what the host does not show, and requests that do not exist.

    Raises:
        CompositionError: the host would have to pass more.
        PluginError: there is no such thing to see or to request.
    """
    for name in _names(plugin.sees, f"{who}: sees"):
        if name not in SIGHTS:
            raise PluginError(f"{who} sees {name}: no such thing to see: {suggestion(name, sorted(SIGHTS))}")
        if name not in host.shows:
            ask = (
                host.meaningless.get(name) or f"{host.name} would have to {SIGHTS[name]} and list {name!r} in supplies"
            )
            raise CompositionError(f"{who} sees {name}, which {host.name} does not show: {ask}")
    for name in _names(plugin.requests, f"{who}: requests"):
        if name not in REQUESTS:
            raise PluginError(f"{who} requests {name}: no such request: {suggestion(name, sorted(REQUESTS))}")


def _names(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Collection) or not all(isinstance(v, str) and v for v in value):
        raise PluginError(f"{where} is a tuple of names, such as ('name',)")
    return tuple(value)
