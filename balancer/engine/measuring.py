"""What a host passes and plugins add becomes signals: names that are free, one transfer off the device, one mean."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.compose import Composition
from balancer.contract.declared import TermPhase, term_signals
from balancer.contract.moments import release
from balancer.contract.signals import GRADIENT_SIGNALS, STANDARD_SIGNALS, Phase, taken
from balancer.engine.calls import PluginCalls
from balancer.engine.clock import Clock
from balancer.engine.measured import measured
from balancer.engine.ranks import as_tensors, distributed_mean
from balancer.engine.signal_board import SignalBoard, Transfer
from balancer.errors import ConfigError, Deprecated

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
        # The signals of terms that plugins bring, by phase.
        self._terms: Final[dict[str, tuple[str, ...]]] = {
            phase: tuple(term_signals(of, term)[0].name for of, term in composition.terms if of == phase)
            for phase in ("d", "g")
        }
        # Terms that plugins returned and the host has not reported, by phase and name, of each micro-batch.
        self._returned: Final[dict[str, dict[str, list[Tensor]]]] = {"d": {}, "g": {}}
        # Terms of which it was said that they are not declared.
        self._undeclared: Final[set[str]] = set()

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
        # Lazy terms are there now and then; every rank leaves room for all of them.
        brought = self._terms.get(phase, ()) if mean is not None else ()
        if tensors or brought:
            present = [name for name in brought if name in tensors]
            absent = [name for name in brought if name not in tensors]
            self._signals.begin(Transfer(tensors, mean, present, absent), phase)
        self._signals.put(numbers, phase)

    def terms(self, hook: str, phase: TermPhase, ctx: StepContext) -> dict[str, Tensor]:
        """What plugins add to a loss at this hook, by name.

        Raises:
            ConfigError: a term's name means something else.
        """
        merged: dict[str, Tensor] = {}
        try:
            for plugin, terms in self._calls.terms(hook, ctx):
                for name in terms:
                    self._added[f"d_{name}" if phase == "d" else name] = plugin
                    if self._composition.terms.get((phase, name)) != plugin:
                        self._refuse_term(f"step {self._clock.step}: {hook} of plugin {plugin}", name, phase, merged)
                merged.update(terms)
        finally:
            release(ctx)
        for name, value in merged.items():
            signal = f"d_{name}" if phase == "d" else name
            self._returned[phase].setdefault(signal, []).append(value.detach())
        return merged

    def owner(self, name: str) -> str | None:
        """The plugin that a signal comes from, if from one."""
        return self._brought.get(name) or self._added.get(name)

    def whose(self, signal: str) -> str:
        """The end of an error about a signal: whose it is, where a plugin's."""
        name = self.owner(signal)
        return f"; {signal} is of plugin {name} of {self._composition.sources[name]}" if name else ""

    def begin_step(self) -> None:
        """What was returned and never reported belongs to no step to come."""
        for found in self._returned.values():
            found.clear()

    def reported(self, scalars: Mapping[str, Any], phase: TermPhase) -> dict[str, Any]:
        """What the host reports of a phase, with the terms of plugins that it leaves out: means over micro-batches."""
        found, self._returned[phase] = self._returned[phase], {}
        left_out = {name: parts for name, parts in found.items() if name not in scalars}
        if not left_out:
            return dict(scalars)
        import torch

        return {**scalars, **{name: torch.stack(parts).mean() for name, parts in left_out.items()}}

    def _refuse_term(self, where: str, name: str, phase: TermPhase, merged: Mapping[str, Tensor]) -> None:
        signal = f"d_{name}" if phase == "d" else name
        if name in merged or signal in self._composition.signals or signal in STANDARD_SIGNALS:
            raise ConfigError(f"{where}: there is a {signal} already: rename the new one")
        if (why := self._taken(signal, phase)) is not None:
            raise ConfigError(f"{where}: a term cannot be called {name}, since {why}: rename it")
        if name not in self._undeclared:
            self._undeclared.add(name)
            text = f"{where}: the term {name} is not declared: add it to brings_terms, or from 0.3 on it is an error"
            warnings.warn(text, Deprecated, stacklevel=4)

    def require_supplied(self) -> None:
        """Insist on the signals of D's update that the host said it supplies, and plugins read.

        Raises:
            ConfigError: one was not passed in this step.
        """
        for plugin in self._composition.plugins:
            for name in plugin.reads:
                spec = self._composition.signals[name]
                if name in GRADIENT_SIGNALS or name in self._terms["d"]:  # those come now and then
                    continue
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
