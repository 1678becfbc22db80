"""Letting a network compute without a trace: its buffers and the random state stay as they were."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


@contextlib.contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Let a module compute without gradients, and leave its buffers and the random state as they were."""
    with random_state_kept(), torch.no_grad(), own_buffers(module):
        yield


@contextlib.contextmanager
def random_state_kept() -> Iterator[None]:
    """Give torch's random state back as it was."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        yield


@contextlib.contextmanager
def own_buffers(module: nn.Module) -> Iterator[None]:
    """Let a module compute on copies of its buffers, so that running statistics stay as they were.

    The buffers themselves are not written to: graphs of other passes hold them for their backward pass.
    """
    copies: dict[Tensor, Tensor] = {}
    places = [(part, name, kept) for part in module.modules() for name, kept in part.named_buffers(recurse=False)]
    for part, name, kept in places:
        if kept not in copies:  # one that two modules share stays shared
            copies[kept] = kept.clone()
        setattr(part, name, copies[kept])
    try:
        yield
    finally:
        for part, name, kept in places:
            setattr(part, name, kept)
