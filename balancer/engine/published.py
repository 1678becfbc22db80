"""Signals that plugins bring: averaged over ranks before a plugin reads them, so that all ranks decide alike."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Final

from balancer.contract.compose import Composition
from balancer.engine.clock import Clock
from balancer.engine.ranks import distributed_mean, shared_vector
from balancer.engine.signal_board import SignalBoard
from balancer.errors import PluginError


class Published:
    """What plugins published in the moment under way.

    It is shared among ranks where the next plugin in order reads one of these signals, and at the moment's end: places
    that follow from the composition alone, with room for every signal that might have been published, so that ranks
    never wait for each other, whatever was published where.
    """

    def __init__(self, composition: Composition, signals: SignalBoard, clock: Clock) -> None:
        self._signals: Final = signals
        self._clock: Final = clock
        self._reads: Final = {plugin.name: frozenset(plugin.reads) for plugin in composition.plugins}
        self._brings: Final = {p.name: tuple(spec.name for spec in p.brings_signals) for p in composition.plugins}
        self._owners: Final = {name: plugin for plugin, names in self._brings.items() for name in names}
        # By hook and plugin: what is shared after that call.
        self._due: Final[dict[tuple[str, str], tuple[str, ...]]] = {}
        self._given: Final[dict[str, float]] = {}

    def plan(self, hooks: Mapping[str, Sequence[str]]) -> None:
        """Find out where to share, from the plugins that act at each hook, in order."""
        for hook, plugins in hooks.items():
            waiting: list[str] = []
            for plugin, following in itertools.zip_longest(plugins, plugins[1:]):
                waiting += self._brings[plugin]
                if waiting and (following is None or self._reads[following] & {*waiting}):
                    self._due[hook, plugin] = tuple(waiting)
                    waiting = []

    def __call__(self, name: str, value: float) -> None:
        """A plugin gives its signal a value."""
        self._given[name] = value

    def settle(self, hook: str, plugin: str) -> None:
        """A plugin has acted at a hook: share what is due.

        Raises:
            PluginError: only some ranks published a signal.
        """
        names = self._due.get((hook, plugin), ())
        if not names:
            return
        given = {name: self._given.pop(name) for name in names if name in self._given}
        # At the end of a run another rank may be gone.
        mean = None if hook == "on_run_end" else distributed_mean()
        if mean is not None:
            rows = [(given.get(name, 0.0), float(name in given)) for name in names]
            shared = mean(shared_vector([number for row in rows for number in row])).tolist()
            given = {}
            for name, value, ranks in zip(names, shared[::2], shared[1::2], strict=True):
                if 0.0 < ranks < 1.0:
                    raise PluginError(
                        f"plugin {self._owners[name]}, hook {hook}, step {self._clock.step}: {name} was published on "
                        f"{ranks:.0%} of the ranks: publish it on all of them or on none"
                    )
                if ranks:
                    given[name] = value
        if given:
            self._signals.put(given, "plugin")
