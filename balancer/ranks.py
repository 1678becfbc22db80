"""Distributed runs: who is first, and how a tensor is averaged over ranks."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def is_first_rank() -> bool:
    """Whether this process writes for all: rank 0, by torchrun's environment, or the only one."""
    return int(os.environ.get("RANK", "0")) == 0


def distributed_mean() -> Callable[[Tensor], Tensor] | None:
    """The mean over ranks as a function of tensors, where `torch.distributed` runs on several, else None."""
    import torch.distributed as dist

    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return None

    def mean(vector: Tensor) -> Tensor:
        dist.all_reduce(vector)
        return vector / dist.get_world_size()

    return mean
