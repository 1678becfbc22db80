"""Calling plugins: binding them to a run, in composition order, and saying whose an exception or a write is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.compose import Composition
from balancer.contract.handles import KnobHandle, KnobHandles
from balancer.contract.moments import HOOK_NAMES, StepContext, plugin_manager
from balancer.contract.plugin import Plugin
from balancer.contract.signals import SignalReader
from balancer.engine.clock import Clock
from balancer.engine.knob_board import KnobBoard
from balancer.engine.signal_board import SignalBoard

if TYPE_CHECKING:
    from pluggy import HookImpl
    from torch import Tensor


class PluginCalls:
    """The plugins of one composition, bound to one run's boards.

    pluggy says which plugin has which hook and which arguments it takes; the calls are made here, since pluggy's own
    order is the reverse, and since nobody but the caller knows whose an exception is.
    """

    def __init__(
        self, composition: Composition, board: KnobBoard, signals: SignalBoard, clock: Clock, seed: int
    ) -> None:
        # The plugin whose hook runs now, and the hook's name.
        self.acting: tuple[Plugin, str] | None = None
        self._clock: Final = clock
        self._sources: Final = composition.sources
        manager = plugin_manager()
        for plugin in composition.plugins:
            operations = composition.operations[plugin.name]
            plugin.bind(
                seed,
                KnobHandles(
                    plugin.name,
                    {knob: KnobHandle(board, plugin.name, knob, ops) for knob, ops in operations.items()},
                ),
                SignalReader(signals, plugin.name, frozenset(plugin.reads)),
                lambda name, value: signals.put({name: value}, "plugin"),
            )
            manager.register(plugin, name=plugin.name)
        # pluggy lists them in the order of registration.
        self._impls: Final[dict[str, list[HookImpl]]] = {
            hook: getattr(manager.hook, hook).get_hookimpls() for hook in HOOK_NAMES
        }

    def __call__(self, hook: str, **arguments: Any) -> None:
        """Call a hook of every plugin that has it."""
        for impl in self._impls[hook]:
            self._call(hook, impl, arguments)

    def implemented(self, hook: str) -> list[str]:
        """Names of the plugins that have this hook."""
        return [impl.plugin_name for impl in self._impls[hook]]

    def terms(self, hook: str, ctx: StepContext) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """What each plugin with this hook adds to a loss, in composition order."""
        for impl in self._impls[hook]:
            added = self._call(hook, impl, {"ctx": ctx})
            if added is not None:
                yield impl.plugin_name, added

    def transform(self, ctx: StepContext, images: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The chain of `transform_d_input`: each plugin gets what the one before it returned."""
        for impl in self._impls["transform_d_input"]:
            offered = {"ctx": ctx, "images": images, "condition": condition}
            images, condition = self._call("transform_d_input", impl, offered)
        return images, condition

    def _call(self, hook: str, impl: HookImpl, offered: dict[str, Any]) -> Any:
        plugin: Any = impl.plugin
        self.acting = plugin, hook
        try:
            return impl.function(*(offered[name] for name in impl.argnames))
        except Exception as error:
            whose = f"{plugin.name} of {self._sources[plugin.name]}"
            error.add_note(f"raised in plugin {whose}, hook {hook}, step {self._clock.step}")
            raise
        finally:
            self.acting = None
