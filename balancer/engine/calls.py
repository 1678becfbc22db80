"""Calling plugins: binding them to a run, in composition order, and saying whose an exception or a write is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.compose import Composition
from balancer.contract.handles import KnobHandle, KnobHandles
from balancer.contract.knobs import KnobBoard
from balancer.contract.moments import StepContext, plugin_manager
from balancer.contract.plugin import Plugin
from balancer.contract.signals import SignalBoard, SignalReader

if TYPE_CHECKING:
    from torch import Tensor


class PluginCalls:
    """The plugins of one composition, bound to one run's boards."""

    def __init__(self, composition: Composition, board: KnobBoard, signals: SignalBoard, seed: int) -> None:
        # The plugin whose hook runs now, and the hook's name.
        self.acting: tuple[Plugin, str] | None = None
        self._signals: Final = signals
        self._sources: Final = composition.sources
        self._manager: Final = plugin_manager()
        # pluggy calls the last registered first.
        for plugin in reversed(composition.plugins):
            operations = composition.operations[plugin.name]
            plugin.bind(
                seed,
                KnobHandles(
                    plugin.name,
                    {knob: KnobHandle(board, plugin.name, knob, ops) for knob, ops in operations.items()},
                ),
                SignalReader(signals, plugin.name, frozenset(plugin.reads)),
                lambda name, value: signals.put({name: value}),
            )
            self._manager.register(plugin, name=plugin.name)
            for caller in self._manager.get_hookcallers(plugin) or ():
                for impl in caller.get_hookimpls():
                    if impl.plugin is plugin:
                        # pluggy calls whatever stands here with the arguments it noted at registration.
                        impl.function = self._attributed(plugin, caller.name, impl.function)  # type: ignore[misc]

    def __call__(self, hook: str, **arguments: Any) -> list[Any]:
        """Call a hook of every plugin that has it; their results other than None."""
        results: list[Any] = getattr(self._manager.hook, hook)(**arguments)
        return results

    def implemented(self, hook: str) -> list[str]:
        """Names of the plugins that have this hook."""
        caller = getattr(self._manager.hook, hook)
        return [impl.plugin_name for impl in reversed(caller.get_hookimpls())]

    def transform(self, ctx: StepContext, images: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The chain of `transform_d_input`: each plugin gets what the one before it returned."""
        # pluggy lists implementations last-called first.
        for impl in reversed(self._manager.hook.transform_d_input.get_hookimpls()):
            offered = {"ctx": ctx, "images": images, "condition": condition}
            transformed: Any = impl.function(*(offered[name] for name in impl.argnames))
            images, condition = transformed
        return images, condition

    def _attributed(self, plugin: Plugin, hook: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self.acting = plugin, hook
            try:
                return function(*args)
            except Exception as error:
                whose = f"{plugin.name} of {self._sources[plugin.name]}"
                error.add_note(f"raised in plugin {whose}, hook {hook}, step {self._signals.step}")
                raise
            finally:
                self.acting = None

        return call
