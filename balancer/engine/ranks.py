"""Distributed runs: who is first, and how a tensor is averaged over ranks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def is_first_rank() -> bool:
    """Whether this process writes for all: rank 0, by torchrun's environment, or the only one."""
    return int(os.environ.get("RANK", "0")) == 0


def as_tensors(numbers: Mapping[str, float]) -> dict[str, Tensor]:
    """Numbers as tensors that the process group can average."""
    import torch
    import torch.distributed as dist

    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
    return {name: torch.tensor(value, device=device) for name, value in numbers.items()}


def distributed_mean() -> Callable[[Tensor], Tensor] | None:
    """The mean over ranks as a function of tensors, where `torch.distributed` runs on several, else None."""
    torch = sys.modules.get("torch")
    if torch is None:  # then no process group either, and numbers need no torch
        return None
    dist = torch.distributed
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return None

    def mean(vector: Tensor) -> Tensor:
        dist.all_reduce(vector)
        averaged: Tensor = vector / dist.get_world_size()
        return averaged

    return mean
