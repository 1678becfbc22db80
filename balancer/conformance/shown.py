"""What a moment shows a plugin: its tensors by name, and a context that tells which of its fields are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from balancer.contract.moments import SHOWN, StepContext


def tensors(named: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors among a hook's arguments and in its context, lists and terms included, by how a plugin calls them."""
    import torch

    fields = {
        f"ctx.{field}": getattr(ctx, field) for ctx in named.values() if isinstance(ctx, StepContext) for field in SHOWN
    }
    found = dict(_flat({**named, **fields}))
    return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        yield name, value
        if isinstance(value, Mapping):
            yield from ((f"{name}[{key!r}]", one) for key, one in value.items())
        elif isinstance(value, list | tuple):
            yield from ((f"{name}[{index}]", one) for index, one in enumerate(value))


class _Context(StepContext):
    """A context that tells which of the fields that it shows are read."""

    __slots__ = ("_tell",)

    def __getattribute__(self, name: str) -> Any:
        if name in SHOWN:
            object.__getattribute__(self, "_tell")(name)
        return object.__getattribute__(self, name)


def looked_at(ctx: StepContext, tell: Callable[[str], object]) -> StepContext:
    """The same context, which calls `tell` with the name of each field that is read of those that show something."""
    made = object.__new__(_Context)
    for name in StepContext.__dataclass_fields__:
        object.__setattr__(made, name, getattr(ctx, name))
    object.__setattr__(made, "_tell", tell)
    return made
