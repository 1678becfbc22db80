"""Weights that a new run starts from: those of another run, with rows added for styles that it does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from balancer import checkpoint
from balancer.errors import CheckpointError
from zi2zi_model.networks import Discriminator, Generator
from zi2zi_model.settings import Zi2ziSettings


def start_from(settings: Zi2ziSettings, generator: Generator, discriminator: Discriminator) -> Sequence[str]:
    """Load the newest weights of the run `settings.start`; say what was done.

    A new row of the style embedding begins at the mean of the rows that were trained; a new row of D's category head
    keeps its random beginning.

    Raises:
        CheckpointError: no good checkpoint there, or it does not fit the settings; the message names the keys.
    """
    if settings.start is None:
        return ()
    loaded = checkpoint.load_latest(settings.start / checkpoint.FOLDER)
    trained = trained_rows(loaded.state)
    try:
        weights = dict(loaded.state["generator"])
        rows = weights["embedding.weight"]
        new = max(0, settings.styles - len(rows))
        mean = rows[[row for row in trained if row < len(rows)] or slice(None)].mean(0, keepdim=True)
        weights["embedding.weight"] = torch.cat([rows, mean.expand(new, -1)])
        generator.load_state_dict(weights)
        judge = dict(loaded.state["discriminator"])
        for key in ("category.weight", "category.bias"):
            judge[key] = _lengthened(judge[key], discriminator.state_dict()[key])
        discriminator.load_state_dict(judge)
    except (RuntimeError, KeyError) as error:
        why = " ".join(str(error).split())
        raise CheckpointError(f"model.start {loaded.path}: does not fit this run's networks: {why}") from None
    added = f", with {new} new style {'row' if new == 1 else 'rows'}" if new else ""
    return *loaded.skipped, f"starting from {settings.start.name} at step {loaded.step}{added}"


def trained_rows(state: Mapping[str, Any]) -> list[int]:
    """Rows of the style embedding that a run's data had labels for; empty where its checkpoint does not know."""
    return [int(row) for row in state["data"].get("rows", ())]


def _lengthened(old: Tensor, fresh: Tensor) -> Tensor:
    return torch.cat([old, fresh[len(old) :]])
