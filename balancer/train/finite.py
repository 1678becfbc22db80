"""Gradients before an optimizer's step and weights before a checkpoint: all finite, or the run ends there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from balancer.contract.moments import has_hook
from balancer.engine.balancer import Balancer
from balancer.errors import NotFiniteError

if TYPE_CHECKING:
    from torch import Tensor, nn


def require_finite_gradients(balance: Balancer, parameters: Mapping[str, Tensor], name: str, *hooks: str) -> None:
    """Insist that the norm of a network's gradients, in their own precision, is finite, before its optimizer steps.

    It is read when the backward pass is over: the losses have left the device by then, so the two cannot travel
    together. All ranks have the same gradients, and so the same answer.

    Args:
        parameters: the network's, by name; whoever asks in every step looks them up once.
        name: what the network is called, "G" or "D".
        hooks: those with which plugins may have made its gradients.

    Raises:
        NotFiniteError: names the network, the step, a parameter and what plugins contribute.
    """
    gradients = {key: p.grad for key, p in parameters.items() if p.grad is not None}
    if not gradients:
        return
    norms = torch.stack(torch._foreach_norm(list(gradients.values())))
    norm = float(torch.linalg.vector_norm(norms))
    if math.isfinite(norm):
        return
    bad = [key for key, one in zip(gradients, norms.tolist(), strict=True) if not math.isfinite(one)]
    where = f", in {len(bad)} of {len(gradients)} parameters, {bad[0]} first" if bad else ""
    made = balance.composition
    acting = [f"{hook} of plugin {p.name} of {made.sources[p.name]}" for hook in hooks for p in made.plugins
              if has_hook(p, hook)]  # fmt: skip
    behind = f"; it comes from behind {', '.join(acting)}" if acting else ""
    raise NotFiniteError(
        f"step {balance.step}: the norm of {name}'s gradient is {norm}{where}; "
        f"stopped before the optimizer step; {balance.board.contributed()}{behind}"
    )


def require_finite_weights(networks: Mapping[str, nn.Module], step: int) -> None:
    """Insist that every weight is finite before a checkpoint is written after `step` steps.

    Raises:
        NotFiniteError: names the network and a weight.
    """
    for name, network in networks.items():
        weights = dict(network.named_parameters())
        finite = torch.stack([torch.isfinite(weight).all() for weight in weights.values()]).tolist() if weights else []
        bad = [key for key, good in zip(weights, finite, strict=True) if not good]
        if bad:
            raise NotFiniteError(
                f"after {step} steps {len(bad)} of {len(weights)} weights of {name} are not finite, {bad[0]} first: no "
                "checkpoint is written of them; earlier ones are untouched"
            )
