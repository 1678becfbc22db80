"""Weights that a new run starts from: those of another run, with rows added for styles that it does not have."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import torch

from balancer import SavedRun, load_run
from balancer.errors import CheckpointError
from zi2zi_model.network.networks import Discriminator, Generator
from zi2zi_model.settings import Zi2ziSettings

# Settings that the shapes of the weights follow from: of G's, and of D's besides.
SHAPING_G: Final = (
    "image_size", "channels", "downs", "g_channels", "max_channels", "decoder", "norm", "skips", "attention",
    "style_dim",
)  # fmt: skip
SHAPING: Final = (*SHAPING_G, "d_channels", "d_head", "spectral_norm")


def start_from(
    settings: Zi2ziSettings, generator: Generator, discriminator: Discriminator, to_train: Collection[int] = ()
) -> Sequence[str]:
    """Load the newest weights of the run `settings.start`, of G alone where the settings say so; say what was done.

    A new row of the style embedding begins at the mean of the rows that were trained; a new row of D's category head
    keeps its random beginning. `to_train` are the rows that the data trains: what styles the run has besides is said.

    Raises:
        ConfigError: no run there.
        CheckpointError: no good checkpoint there, or it does not fit the settings; the message names those that differ,
            or the weights.
    """
    if settings.start is None:
        return ()
    base = load_run(settings.start)
    # Rows that its data had labels for.
    trained = [int(row) for row in base.data.get("rows", ())]
    try:
        weights = dict(base.generator)
        rows = weights["embedding.weight"]
        new = max(0, settings.styles - len(rows))
        mean = rows[[row for row in trained if row < len(rows)] or slice(None)].mean(0, keepdim=True)
        weights["embedding.weight"] = torch.cat([rows, mean.expand(new, -1)])
        generator.load_state_dict(weights)
        if settings.start_networks == "both":
            judge = dict(base.discriminator)
            for key in ("category.weight", "category.bias"):
                judge[key] = torch.cat([judge[key], discriminator.state_dict()[key][len(judge[key]) :]])
            discriminator.load_state_dict(judge)
    except (RuntimeError, KeyError) as error:
        why = _unlike(settings, base) or " ".join(str(error).split())
        raise CheckpointError(f"model.start {base.checkpoint}: does not fit this run's networks: {why}") from None
    added = f", with {new} new style {'row' if new == 1 else 'rows'}" if new else ""
    alone = ", G alone" if settings.start_networks == "g" else ""
    said = [*base.skipped, f"starting from {settings.start.name} at step {base.step}{alone}{added}"]
    left = [
        f"{row} ({name})"
        for row, name in zip(trained, base.data.get("styles", ()), strict=False)
        if row not in to_train
    ]
    if left and to_train:
        said.append(
            f"its styles {', '.join(left)} keep their rows and are not trained: balancer zi2zi evaluate says which of "
            "them are still drawn as there"
        )
    return said


def _unlike(settings: Zi2ziSettings, base: SavedRun) -> str:
    """Settings of the networks that differ from those of a run, with both values; empty where none is known to."""
    there = base.config.get("model", {})
    here = settings.model_dump(mode="json")
    shaping = SHAPING if settings.start_networks == "both" else SHAPING_G
    differing = [key for key in shaping if key in there and here[key] != there[key]]
    return ", ".join(f"model.{key} is {here[key]}, there {there[key]}" for key in differing)
