"""States to save, and when two of them are the same."""

import math
from pathlib import Path
from typing import Any

import torch

FILES = ["manifest.json", "state.json", "tensors.safetensors"]


def state_of(value: int) -> dict[str, Any]:
    return {"value": value, "weights": {"g": torch.full((3, 5), float(value)), "d": torch.arange(value % 7 + 1)}}


def same(a: Any, b: Any) -> bool:
    """Equal in type, value and bits; NaN equals NaN, and -0.0 is not 0.0."""
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        return (
            isinstance(a, torch.Tensor)
            and isinstance(b, torch.Tensor)
            and (a.dtype, a.shape) == (b.dtype, b.shape)
            and a.contiguous().reshape(-1).view(torch.uint8).equal(b.contiguous().reshape(-1).view(torch.uint8))
        )
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return [(type(key), key) for key in a] == [(type(key), key) for key in b] and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return bool(a == b)


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())
