"""Calling plugins: binding them to a run, in composition order, and saying whose an exception or a write is."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.boundary import blame, calling, from_outside, short
from balancer.contract.compose import Composition
from balancer.contract.handles import KnobHandle, KnobHandles
from balancer.contract.moments import HOOK_NAMES, StepContext, plugin_manager
from balancer.contract.notes import Request, RequestKind
from balancer.contract.plugin import Plugin
from balancer.contract.signals import SignalReader
from balancer.engine.clock import Clock
from balancer.engine.knob_board import KnobBoard
from balancer.engine.published import Published
from balancer.engine.ranks import is_first_rank, rank
from balancer.engine.returned import Watch, complaint
from balancer.engine.signal_board import SignalBoard
from balancer.errors import BalancerWarning, CheckpointError, PluginError, one_line
from balancer.record.encoding import require_storable
from balancer.record.tracebacks import keep_traceback

if TYPE_CHECKING:
    from pluggy import HookImpl
    from torch import Tensor


class PluginCalls:
    """The plugins of one composition, bound to one run's boards; all their code that acts in a run is called here.

    pluggy says which plugin has which hook and which arguments it takes; the calls are made here, since pluggy's own
    order is the reverse, and since nobody but the caller knows whose an exception is. Where the run keeps a `folder`,
    that a plugin's state can be stored is found out before and after the first step.
    """

    def __init__(
        self,
        composition: Composition,
        board: KnobBoard,
        signals: SignalBoard,
        clock: Clock,
        seed: int,
        request: Callable[[Request], None],
        folder: Path | None = None,
    ) -> None:
        self._published: Final = Published(composition, signals, clock)
        self._request: Final = request
        # The plugin whose hook runs now, and the hook's name.
        self.acting: tuple[Plugin, str] | None = None
        self._clock: Final = clock
        # By the name under which it was composed, whatever it calls itself later.
        self._plugins: Final = {plugin.name: plugin for plugin in composition.plugins}
        self._folder: Final = folder
        self._sources: Final = composition.sources
        self._who: Final = {name: f"plugin {name} of {source}" for name, source in composition.sources.items()}
        # Moments after whose first time states are tried.
        self._untried: Final = set() if folder is None else {"on_run_start", "on_step_end"}
        # Hooks of plugins that were shown tensors before.
        self._watched: Final[set[tuple[str, str]]] = set()
        # Whether the run's directory holds a traceback of this run.
        self._broken = False
        manager = plugin_manager()
        for plugin in composition.plugins:
            operations = composition.operations[plugin.name]
            with self._calling(plugin.name, "cannot be bound to a run"):
                plugin.bind(
                    seed,
                    KnobHandles(
                        plugin.name,
                        {knob: KnobHandle(board, plugin.name, knob, ops) for knob, ops in operations.items()},
                    ),
                    SignalReader(signals, plugin.name, frozenset(plugin.reads)),
                    self._published,
                    self._requested,
                    rank(),
                )
                manager.register(plugin, name=plugin.name)
        # pluggy lists them in the order of registration.
        self._impls: Final[dict[str, list[HookImpl]]] = {
            hook: getattr(manager.hook, hook).get_hookimpls() for hook in HOOK_NAMES
        }
        self._published.plan({hook: self.implemented(hook) for hook in HOOK_NAMES})

    def __call__(self, hook: str, **arguments: Any) -> None:
        """Call a hook of every plugin that has it."""
        if hook == "on_run_end":
            self._end(arguments)
            return
        for impl in self._impls[hook]:
            if not _unseen(hook, impl, arguments):
                self._call(hook, impl, arguments)
        if hook in self._untried:
            self._untried.remove(hook)
            self.saved()

    def due(self, hook: str) -> bool:
        """Whether there is something to do at this hook."""
        return bool(self._impls[hook]) or hook in self._untried

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

    def saved(self) -> dict[str, dict[str, Any]]:
        """Every plugin's state, its version and that of its random generator, by name.

        Raises:
            PluginError: it cannot be had, or not be stored: names plugin, key and type.
        """
        states = {}
        for name, plugin in self._plugins.items():
            with self._calling(name, "cannot give its state"):
                state, rng = plugin.state_dict(), plugin.rng_state()
                wrong = _unstorable(state, rng)
            if wrong is not None:
                raise PluginError(f"{self._who[name]}: {wrong}")
            version, source = plugin.state_version, self._sources[name]
            states[name] = {"version": version, "source": source, "state": state, "rng": rng}
        return states

    def restore(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Give every plugin back what `saved` returned; one that has nothing there starts fresh."""
        for name, plugin in self._plugins.items():
            kept = states.get(name)
            if kept is None:
                continue
            self._tell_change(name, kept.get("source", ""))
            with self._calling(name, f"cannot take back its state of version {kept['version']}"):
                plugin.load_state_dict(kept["state"], kept["version"])
                if kept["rng"] is not None:
                    plugin.rng.set_state(kept["rng"])

    def rank_states(self) -> dict[str, Tensor]:
        """The random generators of this rank alone, by plugin, where they were used."""
        states = {name: plugin.rank_rng_state() for name, plugin in self._plugins.items()}
        return {name: state for name, state in states.items() if state is not None}

    def restore_rank(self, states: Mapping[str, Tensor] | None, step: int) -> None:
        """Give this rank's generators back what `rank_states` returned on it; with None, new ones from this step on."""
        for name, plugin in self._plugins.items():
            if states is None:
                plugin.begin_rank_rng(step)
            elif name in states:
                plugin.rank_rng.set_state(states[name])

    def _tell_change(self, name: str, then: str) -> None:
        """Say that a plugin goes on with what another version of it left."""
        now = self._sources[name]
        # A file that was moved, and holds what it held, is the same.
        same = then.rpartition(", SHA-256 ")[2] == now.rpartition(", SHA-256 ")[2]
        if then and not same and not then.startswith("class ") and is_first_rank():
            text = f"plugin {name} is of {now} now; the state that it goes on with is of {then}"
            warnings.warn(text, BalancerWarning, stacklevel=5)

    def _calling(self, name: str, doing: str) -> AbstractContextManager[None]:
        return calling(f"{self._who[name]} {doing}", keep=self._kept)

    def _call(self, hook: str, impl: HookImpl, offered: dict[str, Any]) -> Any:
        name = impl.plugin_name
        # A plugin may ask for what the others make of D's input, within a hook of its own.
        within, self.acting = self.acting, (self._plugins[name], hook)
        try:
            first = (name, hook) not in self._watched
            watch = Watch(offered, first)
            if first and watch:
                self._watched.add((name, hook))
            returned = impl.function(*(offered[name] for name in impl.argnames))
            wrong = watch.complaint() or complaint(hook, offered, returned)
        except BaseException as error:
            if not from_outside(error):
                where = self._where(name, hook)
                blame(error, where, f"raised in {where}", self._kept(error, hook == "on_run_end"))
            raise
        finally:
            self.acting = within
        if wrong is not None:
            raise PluginError(f"{self._where(name, hook)}: {wrong}")
        if within is None:  # which is so on every rank alike; a plugin may ask on one alone
            self._published.settle(hook, name)
        return returned

    def _requested(self, kind: RequestKind, reason: str) -> None:
        if self.acting is None:
            raise PluginError(f"a plugin requested {kind} outside a hook: request in hooks only")
        self._request(Request(kind, self.acting[0].name, self._clock.step, one_line(reason)))

    def _where(self, name: str, hook: str) -> str:
        return f"{self._who[name]}, hook {hook}, step {self._clock.step}"

    def _end(self, arguments: dict[str, Any]) -> None:
        """The last moment reaches every plugin; the first error of the run is the one that counts."""
        first: BaseException | None = arguments["error"]
        raised = False
        for impl in self._impls["on_run_end"]:
            try:
                self._call("on_run_end", impl, arguments)
            except Exception as error:
                if first is None:
                    first, raised = error, True
                else:
                    first.add_note(f"then: {error}")
        if raised and first is not None:
            raise first

    def _kept(self, error: BaseException, more: bool = False) -> str:
        """Keep the traceback in the run's directory; where it is, as the end of a sentence."""
        if self._folder is None or not is_first_rank():
            return ""
        path = keep_traceback(self._folder, error, more=more and self._broken)
        self._broken = path is not None
        return "" if path is None else f"; the traceback is in {path}"


def _unseen(hook: str, impl: HookImpl, arguments: Mapping[str, Any]) -> bool:
    """Whether a hook cannot act since there are no gradients to see, as in a replay; hosts are told before."""
    plugin: Any = impl.plugin
    return hook == "before_g_backward" and "gradients" in plugin.sees and arguments["ctx"].gradient_norm is None


def _unstorable(state: Any, rng: Any) -> str | None:
    """What keeps a plugin's state from being stored, as the rest of a sentence; None where nothing does."""
    if inspect.iscoroutine(state):
        state.close()  # or Python warns that nobody awaited it
    if not isinstance(state, dict):
        return f"state_dict returned a {type(state).__name__}, not a dict of plain values and tensors"
    try:
        require_storable(state, "its state")
    except CheckpointError as error:
        return str(error)
    torch = sys.modules.get("torch")
    if rng is not None and (torch is None or not isinstance(rng, torch.Tensor)):
        return f"rng_state returned {short(rng)}, not a tensor or None"
    return None
