"""A nested state as JSON with its tensors put aside, and back: what a checkpoint can hold, and what it cannot."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from balancer.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor


def require_storable(value: Any, path: str) -> None:
    """See that a value can be part of a state, without copying its tensors; `path` is its name in an error.

    Raises:
        CheckpointError: names what cannot be stored, and its type.
    """
    try:
        json.dumps(encode(value, path, None), ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise CheckpointError(f"{path} cannot be stored: it holds itself, or is nested too deeply.") from None
    except (ValueError, KeyError) as error:
        items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            require_storable(item, f"{path}/{key}")
        raise CheckpointError(f"{path} cannot be stored: {error}.") from None


def encode(value: Any, path: str, tensors: dict[str, Tensor] | None) -> Any:
    """JSON for a value: itself, an array for a list, and an object with one key, its kind, for anything else.

    Tensors go into `tensors`, if given.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(float(value))}
    if isinstance(value, list | tuple):
        items = [encode(item, f"{path}/{index}", tensors) for index, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, Mapping):
        for key in value:
            if isinstance(key, bool) or not isinstance(key, int | str):
                raise CheckpointError(f"{path} cannot be stored: its key {key!r} is neither str nor int; rename it.")
        return {"dict": [[key, encode(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    import torch

    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.is_meta or value.is_quantized:
        raise CheckpointError(f"{path} cannot be stored: it is a {type(value)}; use plain values or dense tensors.")
    if tensors is None:
        from safetensors.torch import save as save_tensors

        save_tensors({"": torch.empty(0, dtype=value.dtype)})
        return None
    name = f"{len(tensors)}/{path}"  # numbered, since keys may hold a slash, and 1 and "1" differ
    tensors[name] = value
    return {"tensor": name}


def decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The value that `encode` made JSON of, with the tensors that it put aside."""
    if isinstance(value, list):
        return [decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "dict":
        return {key: decode(item, tensors) for key, item in content}
    if kind == "tuple":
        return tuple(decode(content, tensors))
    return float(content) if kind == "float" else tensors[content]
