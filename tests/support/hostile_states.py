"""Checkpoints that are whole and sealed, and hold what no run writes."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors

from balancer.record import checkpoint
from balancer.record.encoding import encode

WRONG = ([], {}, None, "x", -1, 2**70, float("nan"), torch.zeros(3))
PLACES = (
    (),
    ("generator",),
    ("discriminator",),
    ("optimizers",),
    ("optimizers", "d"),
    ("random",),
    ("average",),
    ("data",),
    ("balance",),
    ("balance", "step"),
    ("balance", "d_updates"),
    ("balance", "turns"),
    ("balance", "turns", "d"),
    ("balance", "turns", "d", "seen"),
    ("balance", "knobs"),
    ("balance", "signals"),
    ("balance", "signals", "values"),
    ("balance", "rates"),
    ("balance", "plugins"),
)


def hostile_states(state: dict[str, Any], step: int) -> Iterator[tuple[str, Any]]:
    """Each place of a state with something else in it or nothing, and networks and moments of other figures."""
    for place in PLACES:
        for wrong in WRONG:
            # A run without an average reads none.
            if _same_kind(_at(state, place), wrong) or (place == ("average",) and wrong == {}):
                continue
            yield f"{'/'.join(place)} = {wrong!r:.20}", _with(state, place, wrong)
        if place:
            without = copy.deepcopy(state)
            del _at(without, place[:-1])[place[-1]]
            if place[-1] not in ("turns", "rates", "average") and "signals" not in place[1:-1]:
                yield f"without {'/'.join(place)}", without
    name, weight = next(iter(state["generator"].items()))
    for tensor in (torch.full_like(weight, float("nan")), weight[:0], weight.flatten()[:1]):
        yield f"a weight of {tuple(tensor.shape)}", _with(state, ("generator", name), tensor)
    yield "moments of another shape", _with(state, ("optimizers", "g", "state", 0, "exp_avg"), torch.zeros(2, 7))
    yield "no moments", _with(state, ("optimizers", "g", "state", 0), [])


def seal(folder: Path, state: Any, step: Any) -> None:
    """Put a state into a checkpoint's place, with the manifest that belongs to it."""
    tensors: dict[str, torch.Tensor] = {}
    tree = json.dumps(encode(state, "state", tensors)).encode()
    files = {"state.json": tree, "tensors.safetensors": save_tensors(tensors)}
    prints = {name: checkpoint._fingerprint(data) for name, data in files.items()}
    files["manifest.json"] = checkpoint._seal({"format": 2, "step": step, "files": prints})
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _same_kind(one: Any, other: Any) -> bool:
    return type(one) is type(other) and not isinstance(one, int)


def _at(state: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        state = state[key]
    return state


def _with(state: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    changed = copy.deepcopy(state)
    _at(changed, place[:-1])[place[-1]] = value
    return changed
