"""Replaying: recorded or invented signals go through plugins, step by step, without a model and without torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from balancer.contract.compose import Composition, compose
from balancer.contract.declared import brought_terms, term_signals
from balancer.contract.host import Host, model_host
from balancer.contract.knobs import Decision
from balancer.contract.make import made_plugin
from balancer.contract.model import HeadSpec, ModelSpec
from balancer.contract.plugin import Plugin
from balancer.contract.plugin_files import is_plugin_file, load_plugin_file
from balancer.contract.registry import load_plugin
from balancer.contract.signals import Phase, SignalSpec
from balancer.errors import CompositionError
from balancer.hindsight.player import RATES, Player
from balancer.hindsight.trajectory import Replay
from balancer.record.signals import SignalRows

PluginList = Sequence[str | type[Plugin]]

# The terms and the head of the framework's own small model; that a replay has no tensors is no fault of a model's.
SMALL_MODEL: Final = ModelSpec(
    weights={"category": 1.0},
    d_terms=("category",),
    heads={"category": HeadSpec(("category",), ("category",))},
    features=True,
    conditional=True,
)
NO_SIGNALS: Final = ("step", "epoch", *RATES)


def plugin_names(plugins: PluginList) -> list[str]:
    """The names of plugins, given by name, as `FILE.py:CLASS` or as classes."""
    return [
        plugin if isinstance(plugin, str) and not is_plugin_file(plugin) else plugin_class(plugin).name
        for plugin in plugins
    ]


def plugin_class(plugin: str | type[Plugin]) -> type[Plugin]:
    """The class of a plugin, given in one of these ways."""
    if not isinstance(plugin, str):
        return plugin
    return load_plugin_file(plugin)[0] if is_plugin_file(plugin) else load_plugin(plugin)[0]


def recorded(folder: str | Path) -> SignalRows:
    """The signals of every step of a run directory, in the form `replay` takes."""
    return SignalRows(folder)


def replay_rows(
    plugins: PluginList,
    signals: Iterable[Mapping[str, float]],
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    spec: ModelSpec | None = None,
    lambda_adv: float = 1.0,
    steps_per_epoch: int | None = None,
    names: Collection[str] | None = None,
    on_decision: Callable[[Decision], None] | None = None,
) -> Replay:
    """Feed recorded or invented signals to plugins, step by step, without a model and without torch.

    Args:
        plugins: names of installed plugins, or classes.
        signals: for each step the values by signal name (`d_adv`, `d_acc`, `adv`, `l1`, …); a `step` and an
            `epoch` among them say which step it is and to which epoch it belongs, `lr_d` and `lr_g` what schedules
            gave. They are gone through once.
        settings: each plugin's settings by plugin name.
        spec: terms and heads of the model; by default a category term with a head of D for it.
        lambda_adv: the base value.
        steps_per_epoch: counts epochs where the signals do not say.
        names: all signals there may be; if not given, those of a list's rows, or of an iterator's first row.
        on_decision: is told each decision; `Replay.decisions` then stays empty, which a long replay wants.

    The signals are taken as they are: with other knobs, a real run would have measured others. Learning rates
    are multiples of a base of 1 where the signals do not hold them.

    Raises:
        PluginError, ConfigError, CompositionError: see `compose`; also, a plugin reads what the rows do not hold,
            or they are not in the order of their steps.
    """
    rows: Iterable[Mapping[str, float]] = signals
    phases: Mapping[str, Phase] = {}
    if isinstance(signals, SignalRows):
        phases = signals.phases
        names = phases if names is None else names
    elif names is None and isinstance(signals, Sequence):
        names = {name for row in signals for name in row}
    elif names is None:
        iterator = iter(signals)
        first = list(itertools.islice(iterator, 1))
        names = {name for row in first for name in row}
        rows = itertools.chain(first, iterator)
    # What the plugins bring is theirs, whether they publish it again or it is played.
    offered = {*names} - set(brought(plugins, settings or {}))
    host = with_signals(model_host("replay", spec or SMALL_MODEL, lambda_adv), offered, phases)
    composition = compose(plugins, settings, host=host)
    refuse_missing(composition, names, "what is replayed")
    result = Replay()
    player = Player(result, on_decision)
    player.begin(composition, steps_per_epoch=steps_per_epoch)
    for row in rows:
        player.play(row)
    player.end()
    return result


def brought(plugins: PluginList, settings: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Signals that exist only because one of these plugins brings them."""
    for item in plugins:
        cls = plugin_class(item)
        plugin = made_plugin(cls, settings.get(cls.name, {}), "this replay")
        yield from (signal.name for signal in plugin.brings_signals)
        for phase, term in brought_terms(plugin, f"plugin {cls.name}"):
            yield from (signal.name for signal in term_signals(phase, term))


def with_signals(host: Host, names: Collection[str], phases: Mapping[str, Phase]) -> Host:
    """A host that supplies these signals besides its own, in phases that are known or that the names suggest."""
    known = dict(host.signals)
    for name in names:
        if name not in known and name not in NO_SIGNALS:
            by_name: Phase = "val" if name.startswith("val/") else "d" if name.startswith("d_") else "g"
            phase = phases.get(name, by_name)
            known[name] = SignalSpec(name, phase, "a signal that is replayed")
    return replace(host, signals=known)


def refuse_missing(composition: Composition, names: Collection[str], what: str) -> None:
    """Refuse a plugin that reads a signal which what is replayed does not hold.

    Raises:
        CompositionError: one line that names both.
    """
    own = {spec.name for plugin in composition.plugins for spec in plugin.brings_signals}
    held = sorted({*names} - {*NO_SIGNALS})
    for plugin in composition.plugins:
        for name in plugin.reads:
            if name not in own and name not in held:
                raise CompositionError(
                    f"plugin {plugin.name} reads {name}, which {what} does not hold: "
                    f"it holds {', '.join(held) or 'no signals'}"
                )
