"""Distributed runs: who is first, and how a tensor is averaged over ranks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, device


def rank() -> int:
    """This process's place among those that train together, from 0: by its process group, else by torchrun's word."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        return int(torch.distributed.get_rank())
    return int(os.environ.get("RANK", "0"))


def is_first_rank() -> bool:
    """Whether this process writes for all: the first rank, or the only one."""
    return rank() == 0


def as_tensors(numbers: Mapping[str, float]) -> dict[str, Tensor]:
    """Numbers as tensors that the process group can average."""
    import torch

    device = group_device()
    return {name: torch.tensor(value, device=device) for name, value in numbers.items()}


def shared_vector(numbers: Sequence[float]) -> Tensor:
    """Numbers as one tensor that the process group can average, in fp64."""
    import torch

    return torch.tensor(numbers, dtype=torch.float64, device=group_device())


def group_device() -> device:
    """Where tensors must lie for the process group to average them."""
    import torch

    nccl = torch.distributed.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")


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
