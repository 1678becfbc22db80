"""What the hooks that return something may return: terms of a loss in its graph, images that can be trained through."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def returned(hook: str, result: Any, given: Mapping[str, Any], networks: Mapping[str, nn.Module]) -> Iterator[str]:
    """What is wrong with the result of a hook, one sentence each."""
    if inspect.iscoroutine(result) or inspect.isgenerator(result):
        result.close()
        yield f"{hook} is a coroutine or a generator, whose body never runs: write a plain method"
    elif hook in ("d_loss_terms", "g_loss_terms"):
        yield from _terms(hook, result, given.get("ctx"), networks)
    elif hook == "transform_d_input":
        yield from _transformed(result, given)
    elif result is not None:
        yield f"{hook} returns a {type(result).__name__}, which nobody takes"


def _terms(hook: str, result: Any, ctx: Any, networks: Mapping[str, nn.Module]) -> Iterator[str]:
    if result is None:
        return
    if not isinstance(result, Mapping):
        yield f"{hook} returns a {type(result).__name__}: return a dict of named scalar terms, or None"
        return
    role = "D" if hook == "d_loss_terms" else "G"
    for name, value in result.items():
        term = f"{hook}: the term {name}"
        if not isinstance(value, Tensor):
            yield f"{term} is a {type(value).__name__}: return a tensor"
        elif value.ndim != 0:
            yield f"{term} has shape {tuple(value.shape)}: reduce it to a scalar"
        elif not bool(torch.isfinite(value.detach())):
            yield f"{term} is {float(value.detach())}: keep it finite, in half precision too"
        elif float(value.detach()) != 0.0 and not _reaches(value, role, ctx, networks):
            yield f"{term} is detached: no gradient of it reaches {role}, so it trains nothing"


def _reaches(term: Tensor, role: str, ctx: Any, networks: Mapping[str, nn.Module]) -> bool:
    if not term.requires_grad:
        return False
    # In G's pass D is given; a term may act on G's images alone.
    aims: list[Tensor] = [p for p in networks[role].parameters() if p.requires_grad]
    fake = getattr(ctx, "fake", None)
    if role == "G" and isinstance(fake, Tensor) and fake.requires_grad:
        aims = [fake]
    gradients = torch.autograd.grad(term, aims, retain_graph=True, allow_unused=True)
    return any(gradient is not None for gradient in gradients)


def _transformed(result: Any, given: Mapping[str, Any]) -> Iterator[str]:
    hook = "transform_d_input"
    if not (isinstance(result, tuple) and len(result) == 2):
        yield f"{hook} returns a {type(result).__name__}: return images and condition"
        return
    for name, value in zip(("images", "condition"), result, strict=True):
        if name not in given:
            continue
        before = given[name]
        if not isinstance(before, Tensor):
            if value is not None:
                yield f"{hook} makes up a {name} where there is none"
        elif not isinstance(value, Tensor):
            yield f"{hook} returns a {type(value).__name__} for {name}: return a tensor"
        elif value.shape != before.shape or value.device != before.device:
            yield f"{hook} turns {name} of shape {tuple(before.shape)} into {tuple(value.shape)}: keep the shape"
        elif not bool(torch.isfinite(value.detach()).all()):
            yield f"{hook} makes {name} NaN or infinite"
        elif before.requires_grad and torch.is_grad_enabled() and not _differentiable(value, before):
            yield f"{hook} is not differentiable: no gradient reaches G through its {name}"


def _differentiable(after: Tensor, before: Tensor) -> bool:
    if after is before:
        return True
    if not after.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(after.sum(), [before], retain_graph=True, allow_unused=True)
    return gradient is not None and bool((gradient != 0).any())
