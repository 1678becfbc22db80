"""A batch in equal parts, and what their losses, logits and scalars are for the whole of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from balancer.contract.adversarial import Logits
    from balancer.contract.model import Batch


def split(batch: Batch, parts: int) -> list[Batch]:
    """A batch in equal parts."""
    if parts == 1:
        return [batch]
    pieces = {name: value.chunk(parts) for name, value in batch.items()}
    return [{name: chunks[index] for name, chunks in pieces.items()} for index in range(parts)]


def of_batch(loss: Tensor, parts: int) -> Tensor:
    """A part's share of the loss of the whole batch."""
    return loss if parts == 1 else loss / parts


def detached(logits: Logits) -> Logits:
    """Logits without their graph, of one discriminator or of several."""
    return logits.detach() if isinstance(logits, torch.Tensor) else [one.detach() for one in logits]


def concatenated(logits: Sequence[Logits]) -> Logits:
    """Logits of all parts as one batch, of one discriminator or of each of several."""
    if len(logits) == 1:
        return logits[0]
    if isinstance(logits[0], torch.Tensor):
        return torch.cat([one for one in logits if isinstance(one, torch.Tensor)])
    return [torch.cat(parts) for parts in zip(*logits, strict=True)]


def means(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean of each scalar over the parts, which are of equal size."""
    if len(rows) == 1:
        return rows[0]
    return {name: torch.stack([row[name] for row in rows]).mean() for name in rows[0]}
