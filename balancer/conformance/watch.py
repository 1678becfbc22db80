"""A plugin under watch: its class with every hook wrapped, and notes of what it did and used."""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, get_args

from balancer.conformance.returned import returned
from balancer.conformance.shown import looked_at, tensors
from balancer.contract.handles import KnobHandle, KnobHandles
from balancer.contract.knobs import Op
from balancer.contract.moments import HOOK_NAMES, StepContext, hook_options, release
from balancer.contract.plugin import Plugin

if TYPE_CHECKING:
    from torch import nn

# What is called besides hooks.
OTHERS: Final = ("__init__", "check", "state_dict", "load_state_dict")
OPERATIONS: Final = (*get_args(Op), "write", "withdraw", "own")


class Notes:
    """What one plugin did in one or more runs.

    Attributes:
        seen: by check, what was wrong, in the order seen.
        used: hooks called, and knobs, signals, terms, requests and fields of a context used, as (kind, name).
        terms: for each step and term, its value in each part of the batch.
        history: after each hook what the plugin contributes, as (step, hook, contributions).
        networks: D and G of the run under way; without them nothing but use is noted.
    """

    def __init__(self) -> None:
        self.seen: Final[dict[str, list[str]]] = {}
        self.used: Final[set[tuple[str, str]]] = set()
        self.terms: dict[tuple[int, str], list[float]] = {}
        self.published: dict[tuple[int, str], list[float]] = {}
        self.requested: list[str] = []
        self.history: list[tuple[int, str, dict[str, Any]]] = []
        self.networks: Mapping[str, nn.Module] = {}
        self.lying = False
        # Whether every hook is looked at from all sides; the ranks of a distributed run are not.
        self.closely = True
        self.told: Callable[[tuple[int, str, dict[str, Any]]], None] | None = None
        self.step = 0

    def see(self, check: str, sentence: str) -> None:
        """Note a fault, once."""
        rows = self.seen.setdefault(check, [])
        if sentence not in rows:
            rows.append(sentence)

    def around(self, plugin: Plugin, hook: str, function: Any, arguments: tuple[Any, ...]) -> Any:
        """Call a hook, and note what it changed, used and returned."""
        self.used.add(("hook", hook))
        self.requested = []
        named = _named(function, arguments)
        if isinstance(ctx := named.get("ctx"), StepContext):
            self.step = ctx.step
            seen = looked_at(ctx, lambda field: self.used.add(("field", f"{hook} {field}")))
            arguments = tuple(seen if one is ctx else one for one in arguments)
        if not self.closely or not self.networks:
            result = function(plugin, *arguments)
        else:
            result = self.watch(hook, functools.partial(function, plugin, *arguments), type(plugin), tensors(named))
            for sentence in returned(hook, result, named, self.networks):
                self.see("terms" if hook.endswith("_terms") else "transform", sentence)
        if isinstance(ctx, StepContext):
            release(seen)
        if hook.endswith("_loss_terms") and isinstance(result, Mapping):
            for name, value in result.items():
                self.used.update({("term", hook), ("term", f"{hook} {name}")})
                self.terms.setdefault((self.step, str(name)), []).append(_number(value))
        entry = self.step, hook, contributions(plugin) | {f"request {kind}": True for kind in self.requested}
        self.history.append(entry)
        if self.told is not None:
            self.told(entry)
        return result

    def watch(
        self, where: str, call: Callable[[], Any], cls: Any = None, tensors: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a plugin's code, and note what it changed around it."""
        from balancer.conformance.surroundings import Surroundings, audited

        before = Surroundings(tensors or {}, self.networks)
        with audited(where, sys.modules.get(getattr(cls, "__module__", "")), self.lying) as further:
            result = call()
        for check, sentence in [*before.changes(where), *further]:
            self.see(check, sentence)
        return result


def watched(cls: type[Plugin], notes: Notes) -> type[Plugin]:
    """A subclass that behaves like the plugin and tells `notes` what it does."""

    def wrapped(hook: str, function: Any) -> Any:
        @functools.wraps(function)
        def call(self: Plugin, *arguments: Any) -> Any:
            return notes.around(self, hook, function, arguments)

        return call

    def other(name: str, function: Any) -> Any:
        @functools.wraps(function)
        def call(self: Plugin, *arguments: Any, **named: Any) -> Any:
            made = functools.partial(function, self, *arguments, **named)
            return notes.watch(name, made, cls) if notes.closely else made()

        return call

    def bind(self: Plugin, *arguments: Any, **named: Any) -> None:
        cls.bind(self, *arguments, **named)
        handles = {knob: _Handle(handle, knob, notes) for knob, handle in dict(self.knobs).items()}
        self.knobs = KnobHandles(self.name, handles)  # type: ignore[arg-type]
        self.signals = _Reader(self.signals, notes)  # type: ignore[assignment]

    def publish(self: Plugin, name: str, value: float) -> None:
        cls.publish(self, name, value)
        notes.used.add(("published", name))
        notes.published.setdefault((notes.step, name), []).append(float(value))
        if not math.isfinite(float(value)):
            notes.see("terms", f"it publishes {name} as {float(value)}: keep it finite, or leave it out")

    def request(self: Plugin, kind: Any, reason: str) -> None:
        cls.request(self, kind, reason)
        notes.used.add(("request", kind))
        notes.requested.append(kind)

    body: dict[str, Any] = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    body |= {"bind": bind, "publish": publish, "request": request}
    for hook in HOOK_NAMES:
        function = inspect.getattr_static(cls, hook, None)
        if hook_options(function) is not None and inspect.isfunction(function):
            body[hook] = wrapped(hook, function)
    for name in OTHERS:
        if (function := getattr(cls, name)) is not getattr(Plugin, name):
            body[name] = other(name, function)
    return type(cls.__name__, (cls,), body)


def contributions(plugin: Plugin) -> dict[str, Any]:
    """What a plugin contributes now, by knob and operation."""
    found: dict[str, Any] = {}
    for knob, ops in plugin.writes.items():
        for op in ops:
            handle = plugin.knobs[knob]
            real = handle.watched_handle if isinstance(handle, _Handle) else handle
            if (value := real.own(op)) is not None:
                found[f"{op} {knob}"] = value
    return found


class _Handle:
    """A handle that notes which operations were used."""

    __slots__ = ("_knob", "_notes", "watched_handle")

    def __init__(self, handle: KnobHandle, knob: str, notes: Notes) -> None:
        self.watched_handle = handle
        self._knob = knob
        self._notes = notes

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.watched_handle, name)
        if name in ("value", "held"):
            self._notes.used.add(("knob read", self._knob))
        if name not in OPERATIONS:
            return found

        def used(*arguments: Any) -> Any:
            result = found(*arguments)
            op = arguments[0] if name in ("write", "withdraw") and arguments else name
            self._notes.used.add(("knob", f"{op} {self._knob}"))
            return result

        return used


class _Reader:
    """A reader that notes which signals were read."""

    __slots__ = ("_notes", "_reader")

    def __init__(self, reader: Any, notes: Notes) -> None:
        self._reader = reader
        self._notes = notes

    def __getitem__(self, name: str) -> Any:
        reading = self._reader[name]
        self._notes.used.add(("signal", name))
        return reading

    def snapshot(self) -> dict[str, float]:
        """As the reader's own; it is the engine that asks."""
        values: dict[str, float] = self._reader.snapshot()
        return values


def _named(function: Any, arguments: tuple[Any, ...]) -> dict[str, Any]:
    names = list(inspect.signature(function).parameters)[1:]
    return dict(zip(names, arguments, strict=False))


def _number(value: Any) -> float:
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError):
        return float("nan")
