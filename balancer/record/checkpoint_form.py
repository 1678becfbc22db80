"""The form of a checkpoint's state: which parts are of which type, so that a wrong one is found before it is used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from balancer.contract.boundary import short
from balancer.errors import CheckpointError

_MOST: Final = 2**53
# Paths and types; a part that older releases did not write may be missing.
_NEEDED: Final = ("generator", "discriminator", "optimizers", "random", "average", "data", "balance")
_COUNTS: Final = ("step", "d_updates", "g_updates", "rounds", "usual_rounds")
_TRUTHS: Final = ("open", "g_first", "epoch_open")
_TABLES: Final = ("turns", "held", "knobs", "signals", "rates", "gradients", "plugins", "ranked")
_TURN_COUNTS: Final = ("seen", "fired", "told", "reports")
_TURN_TRUTHS: Final = ("open", "gathers")


def require_form(state: Mapping[str, Any], step: int) -> None:
    """See that a run's state of `step` steps has the parts that a run has, of their types, its networks finite.

    Raises:
        CheckpointError: names the part, and what it is.
    """
    for name in _NEEDED:
        if name not in state:
            raise CheckpointError(f"it has no {name}")
    for name in ("generator", "discriminator", "average"):
        if name != "average" or state[name] is not None:
            _require_finite(_table(state[name], name), name)
    for name in ("optimizers", "data"):
        _table(state[name], name)
    if not isinstance(state["random"], list) or not state["random"]:
        _wrong("random", state["random"], "list with one state of each rank")
    _balance(_table(state["balance"], "balance"), step)


def require_moments(role: str, optimizer: Any) -> None:
    """See that an optimizer keeps finite figures in the shapes of its parameters, as Adam does, or single ones.

    Raises:
        CheckpointError: names the figure, with both shapes.
    """
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if not hasattr(value, "shape"):
                _wrong(f"optimizers/{role}/{name}", value, "tensor")
            if value.dim() and value.shape != parameter.shape:
                shapes = f"{tuple(value.shape)}, not {tuple(parameter.shape)}"
                raise CheckpointError(f"optimizers/{role}/{name} has the shape {shapes}")
            _require_finite({name: value}, f"optimizers/{role}")


def _balance(balance: Mapping[str, Any], step: int) -> None:
    for key in _COUNTS:
        _count(balance.get(key, 0), f"balance/{key}")
    if balance.get("epoch") != -1:  # where nothing was trained yet
        _count(balance.get("epoch", 0), "balance/epoch")
    if balance.get("step") != step:
        raise CheckpointError(f"balance/step is {short(balance.get('step'))}, and its manifest says {step}")
    for key in _TRUTHS:
        _truth(balance.get(key, False), f"balance/{key}")
    for key in _TABLES:
        _table(balance.get(key, {}), f"balance/{key}")
    for role, turn in balance.get("turns", {}).items():
        where = f"balance/turns/{role}"
        for key in _TURN_COUNTS:
            _count(_table(turn, where).get(key), f"{where}/{key}")
        for key in _TURN_TRUTHS:
            _truth(turn.get(key), f"{where}/{key}")
        for count in turn.get("usual") or ():
            _count(count, f"{where}/usual")
    for count in balance.get("begun", ()):
        _count(count, "balance/begun")
    for name in ("used", "bases"):
        for role, rate in _table(balance.get("rates", {}).get(name, {}), f"balance/rates/{name}").items():
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not math.isfinite(rate):
                _wrong(f"balance/rates/{name}/{role}", rate, "finite number")


def _require_finite(tensors: Mapping[str, Any], where: str) -> None:
    import torch

    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            _wrong(f"{where}/{name}", tensor, "tensor")
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{where}/{name} is not finite")


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        _wrong(where, value, "dict")
    found: Mapping[str, Any] = value
    return found


def _count(value: Any, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST:
        _wrong(where, value, "count")


def _truth(value: Any, where: str) -> None:
    if not isinstance(value, bool):
        _wrong(where, value, "truth value")


def _wrong(where: str, value: Any, wanted: str) -> None:
    raise CheckpointError(f"{where} is {short(value)}, not a {wanted}")
