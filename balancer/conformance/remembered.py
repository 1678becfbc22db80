"""What a plugin remembers, as values that can be compared: attributes of it and its class, variables of its module."""

from __future__ import annotations

import hashlib
import random
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

from balancer.contract.plugin import Plugin

# What the base class and the engine put there.
OURS: Final = {
    "config",
    "knobs",
    "signals",
    "_rng",
    "_rank_rng",
    "_rank_rng_from",
    "_seed",
    "_rank",
    "_publish",
    "_request",
}
OURS_TOO: Final = {"reads", "writes", "after", "brings_knobs", "brings_signals", "brings_terms", "sees", "requests"}
PLAIN: Final = (bool, int, float, str, list, dict, set, deque)
DEPTH: Final = 6


def attributes(plugin: Plugin) -> dict[str, Any]:
    """The attributes of a plugin that a state might have to hold."""
    base = vars(Plugin).keys() | OURS | OURS_TOO
    own = {name: value for name, value in vars(plugin).items() if name not in base and not name.startswith("_balancer")}
    return {name: comparable(value) for name, value in own.items()}


def shared(cls: type[Plugin]) -> dict[str, Any]:
    """What all instances share: attributes of the class and plain variables of its module."""
    found = {}
    for name, value in vars(cls).items():
        if not (name.startswith("__") or callable(value) or isinstance(value, property | classmethod | staticmethod)):
            found[f"class attribute {name}"] = comparable(value)
    for name, value in vars(sys.modules.get(cls.__module__, object)).items():
        if not name.startswith("__") and isinstance(value, PLAIN):
            found[f"module variable {name}"] = comparable(value)
    return found


def differences(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[str]:
    """Names whose values differ, each with both values."""
    for name in dict.fromkeys([*one, *two]):
        ours, theirs = one.get(name, "nothing"), two.get(name, "nothing")
        if ours != theirs:
            yield f"{name} ({short(ours)}, then {short(theirs)})"


def comparable(value: Any, depth: int = DEPTH) -> Any:
    """A value as primitives and tuples, equal where two values are the same to the bit."""
    if value is None or isinstance(value, bool | int | str | bytes):
        return value
    if isinstance(value, float):
        return value if value == value else "nan"
    if isinstance(value, random.Random):
        return hashlib.sha256(repr(value.getstate()).encode()).hexdigest()
    if depth == 0:
        return type(value).__name__
    if isinstance(value, Mapping):
        return tuple((str(key), comparable(item, depth - 1)) for key, item in value.items())
    if isinstance(value, set | frozenset):
        return tuple(sorted(repr(comparable(item, depth - 1)) for item in value))
    if isinstance(value, list | tuple | deque):
        return tuple(comparable(item, depth - 1) for item in value)
    if (torch := sys.modules.get("torch")) is not None:
        if isinstance(value, torch.Generator):
            return comparable(value.get_state(), depth)
        if isinstance(value, torch.Tensor):
            raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            return f"tensor {tuple(value.shape)} {value.dtype} {hashlib.sha256(raw).hexdigest()[:12]}"
    if hasattr(value, "tolist"):
        return comparable(value.tolist(), depth - 1)
    if callable(value):
        return getattr(value, "__qualname__", type(value).__name__)
    slots = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    held = {**{name: getattr(value, name, None) for name in slots}, **getattr(value, "__dict__", {})}
    return type(value).__name__, comparable(held, depth - 1)


def graphs(plugin: Plugin) -> list[str]:
    """Attributes that keep the graph of a step alive."""
    return [name for name, value in vars(plugin).items() if any(_tensors_with_graph(value, DEPTH))]


def _tensors_with_graph(value: Any, depth: int) -> Iterator[bool]:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        yield value.grad_fn is not None
    elif depth and isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors_with_graph(item, depth - 1)
    elif depth and isinstance(value, list | tuple | deque | set):
        for item in value:
            yield from _tensors_with_graph(item, depth - 1)


def short(value: Any) -> str:
    """A value as a few characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
