"""What a host passes and plugins add becomes signals: names that are free, one transfer off the device, one mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from balancer.contract.compose import Composition
from balancer.contract.signals import STANDARD_SIGNALS, Phase, taken
from balancer.engine.calls import PluginCalls
from balancer.engine.clock import Clock
from balancer.engine.measured import measured
from balancer.engine.ranks import as_tensors, distributed_mean
from balancer.engine.signal_board import SignalBoard, Transfer
from balancer.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from balancer.contract.moments import StepContext


class Measuring:
    """Puts a step's numbers on the board of signals."""

    def __init__(
        self,
        composition: Composition,
        signals: SignalBoard,
        calls: PluginCalls,
        clock: Clock,
        say: Callable[[str, str], None],
    ) -> None:
        self._say: Final = say
        self._composition: Final = composition
        self._signals: Final = signals
        self._calls: Final = calls
        self._clock: Final = clock
        self._brought: Final = {spec.name: p.name for p in composition.plugins for spec in p.brings_signals}
        # Signals of terms of a loss -> the plugin that adds them.
        self._added: Final[dict[str, str]] = {}
        # Names that were measured before, and are free to be.
        self._names: Final[set[str]] = set()

    def __call__(self, scalars: Mapping[str, Tensor | float], phase: Phase) -> None:
        """Take numbers and one-element tensors by name, averaged over ranks.

        Raises:
            ConfigError: a name that means something else.
        """
        for name in scalars.keys() - self._names:
            if (why := self._taken(name, phase)) is not None:
                raise ConfigError(
                    f"step {self._clock.step}: {name} cannot be passed as a signal, since {why}: rename it"
                )
            self._names.add(name)
            near = get_close_matches(
                name, [known for known in STANDARD_SIGNALS if known not in scalars], n=1, cutoff=0.75
            )
            if near and name not in STANDARD_SIGNALS and name not in self._composition.signals:
                self._say(f"name_{name}", f"{name} was passed, which nobody knows: did you mean {near[0]}?")
        numbers, tensors = measured(scalars, self._clock.step)
        mean = distributed_mean()
        if mean is not None and numbers:
            tensors |= as_tensors(numbers)
            numbers = {}
        if tensors:
            self._signals.begin(Transfer(tensors, mean), phase)
        self._signals.put(numbers, phase)

    def terms(self, hook: str, phase: Phase, ctx: StepContext) -> dict[str, Tensor]:
        """What plugins add to a loss at this hook, by name.

        Raises:
            ConfigError: a term's name means something else.
        """
        merged: dict[str, Tensor] = {}
        for plugin, terms in self._calls.terms(hook, ctx):
            for name in terms:
                where = f"step {self._clock.step}: {hook} of plugin {plugin}"
                signal = f"d_{name}" if phase == "d" else name
                self._added[signal] = plugin
                if name in merged or signal in self._composition.signals or signal in STANDARD_SIGNALS:
                    raise ConfigError(f"{where}: there is a {signal} already: rename the new one")
                if (why := self._taken(signal, phase)) is not None:
                    raise ConfigError(f"{where}: a term cannot be called {name}, since {why}: rename it")
            merged.update(terms)
        return merged

    def owner(self, name: str) -> str | None:
        """The plugin that a signal comes from, if from one."""
        return self._brought.get(name) or self._added.get(name)

    def require_supplied(self) -> None:
        """Insist on the signals of D's update that the host said it supplies, and plugins read.

        Raises:
            ConfigError: one was not passed in this step.
        """
        for plugin in self._composition.plugins:
            for name in plugin.reads:
                spec = self._composition.signals[name]
                if spec.phase == "d" and name not in self._signals.fresh():
                    raise ConfigError(
                        f"step {self._clock.step}: plugin {plugin.name} reads {name}, which the host said it supplies "
                        f"but did not pass: {spec.ask}"
                    )

    def _taken(self, name: str, phase: Phase) -> str | None:
        """Why a signal of this run may not have this name; None where it may."""
        if name in self._brought:
            return f"plugin {self._brought[name]} brings it"
        return "a knob has that name" if name in self._composition.knobs else taken(name, g_term=phase == "g")
