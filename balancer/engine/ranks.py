"""Distributed runs: who is first, and how a tensor is averaged over ranks."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, device


def rank() -> int:
    """This process's place among those that train together, from 0: by its process group, else by torchrun's word."""
    dist = _process_group()
    return int(os.environ.get("RANK", "0") if dist is None else dist.get_rank())


def is_first_rank() -> bool:
    """Whether this process writes for all: the first rank, or the only one."""
    return rank() == 0


def rank_count() -> int:
    """How many processes train together; 1 before there is a process group."""
    dist = _process_group()
    return 1 if dist is None else int(dist.get_world_size())


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
    dist = _process_group()
    if dist is None or dist.get_world_size() == 1:
        return None

    def mean(vector: Tensor) -> Tensor:
        dist.all_reduce(vector)
        averaged: Tensor = vector / dist.get_world_size()
        return averaged

    return mean


def agree(text: str) -> bool:
    """Whether all ranks say the same; every rank asks at the same moment."""
    mean = distributed_mean()
    if mean is None:
        return True
    digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:2], "big")
    # Equal whole numbers of 16 bits have themselves as mean over up to 256 ranks, exactly in fp32.
    said = as_tensors({"said": float(digest)})["said"]
    differs = as_tensors({"differs": float(mean(said.clone()).item() != digest)})["differs"]
    return mean(differs).item() == 0


def leave_group() -> None:
    """Leave gloo's process group, if there is one: its threads must not meet an interpreter that is taken down."""
    dist = _process_group()
    if dist is not None and dist.get_backend() == "gloo":
        dist.destroy_process_group()


def lost_rank(error: BaseException) -> RuntimeError | None:
    """What torch raised because another rank is gone or does not answer, where that is behind an error, else None."""
    torch = sys.modules.get("torch")
    behind: BaseException | None = error
    while behind is not None and torch is not None:
        # gloo's errors are of no class of their own; they begin with the source file that they come from.
        if isinstance(behind, torch.distributed.DistError) or (
            isinstance(behind, RuntimeError) and "/gloo/" in str(behind).partition("]")[0]
        ):
            return behind
        behind = behind.__cause__
    return None


def _process_group() -> Any:
    """`torch.distributed` where it is initialised, whoever did it; numbers alone need no torch."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return None
    return torch.distributed
