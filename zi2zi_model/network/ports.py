"""Checkpoints of the PyTorch ports of zi2zi: their configuration read off the shapes, their weights under our names.

Two families: EuphoriaYan/zi2zi-pytorch (transposed convolutions, batch norm, concatenated skips) and
max32002/zi2zi-pytorch (PixelShuffle, instance or batch norm, added skips, self-attention). A file is a bare state dict.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import ValidationError

from balancer.errors import CheckpointError
from zi2zi_model.network.networks import Discriminator, Generator
from zi2zi_model.network.port_files import Weights, has_checksums, read_weights
from zi2zi_model.network.port_names import (
    block,
    d_name,
    down_weight,
    g_name,
    has_blocks_behind_levels,
    renamed,
    unread_layout,
)
from zi2zi_model.settings import Zi2ziSettings

_SIZE_OF_DOWNS: Final = {8: 256, 7: 384}  # where D, which knows the size, is not given


@dataclass(frozen=True)
class PortWeights:
    """What a port's files hold.

    Attributes:
        settings: settings of the networks, for `Zi2ziSettings`; its preset gives those that no file tells (dropout).
        generator: state dict of our `Generator` with those settings.
        discriminator: of our `Discriminator`, or None where no file was given.
        step: from the name of the generator's file, or None.
        remarks: what the files cannot tell or ours does otherwise, one sentence each.
    """

    settings: dict[str, Any]
    generator: Weights
    discriminator: Weights | None
    step: int | None
    remarks: tuple[str, ...]


def read_port(generator: Path, discriminator: Path | None = None) -> PortWeights:
    """Read `{step}_net_G.pth` and, where given, `{step}_net_D.pth`.

    Our networks with these weights answer as the port's do in eval mode, but for what `remarks` says.

    Raises:
        CheckpointError: a file that cannot be read, is not a bare state dict, or does not fit; names the keys.
    """
    g = read_weights(generator)
    settings = _g_settings(g, generator)
    remarks = [
        f"{path.name} holds no checksums (torch before 1.6 wrote none): damage to its numbers would not be seen"
        for path in (generator, discriminator)
        if path is not None and not has_checksums(path)
    ]
    d: Weights | None = None
    if discriminator is None:
        settings["image_size"] = _SIZE_OF_DOWNS.get(settings["downs"], 64)
        remarks.append(
            f"no D was given: it starts untrained, and {settings['image_size']} px is taken from the depth of G"
        )
    else:
        d = read_weights(discriminator)
        settings |= _d_settings(d, discriminator)
        steps = _step(generator), _step(discriminator)
        if steps[0] != steps[1]:
            remarks.append(f"{generator.name} and {discriminator.name} are not of one step")
    checked = _checked(settings, generator)
    with torch.device("meta"):
        ours_g, ours_d = Generator(checked), Discriminator(checked)
    g = renamed(g, {key: g_name(key, checked) for key in ours_g.state_dict()}, ours_g, generator)
    remarks += _scale_attention(g, checked)
    if d is not None:
        assert discriminator is not None
        freed = _free_category(d, ours_d.category.weight.shape)
        if freed is not d:
            remarks.append("spectral norm on D's category head was worked into its weights: here that head stays free")
        d = renamed(freed, {key: d_name(key) for key in ours_d.state_dict()}, ours_d, discriminator)
    return PortWeights(settings, g, d, _step(generator), tuple(remarks))


def _g_settings(g: Weights, path: Path) -> dict[str, Any]:
    if has_blocks_behind_levels(g):
        raise CheckpointError(f"{path}: {unread_layout(g, 'generator')}")
    styles, style_dim = _shape(g, "embedder.weight", 2, "generator", path)
    # Weights are (out, in, height, width); transposed ones (in, out, height, width).
    width, channels, *_ = _shape(g, down_weight(1), 4, "generator", path)
    up = _shape(g, f"{block(1)}.up.1.weight", 4, "generator", path)
    shuffles = up[-1] == 3
    downs = 1 + max(key.count(".submodule") for key in g)
    # A level without its convolution is for `renamed` to name.
    halving = {level: g[down_weight(level)] for level in range(1, downs + 1) if down_weight(level) in g}
    widths = {level: len(weight) for level, weight in halving.items() if weight.ndim}
    attention = [level for level in range(1, downs + 1) if f"{block(level)}.att.gamma" in g]
    for level in attention:
        query = g.get(f"{block(level)}.att.query_conv.weight")
        attended = query.shape[1] if query is not None and query.ndim == 4 else None
        if attended not in (None, widths.get(level)) and attended == widths.get(level - 1):
            raise CheckpointError(
                f"{path}: {block(level)}.att has {attended} channels, those of the decoder's map: an earlier layout "
                "of max32002/zi2zi-pytorch, which ours has not; give a checkpoint trained without self-attention, "
                "or with it at the bottleneck"
            )
    return {
        "preset": "zi2zi" if shuffles else "classic",
        "channels": channels,
        "downs": downs,
        "g_channels": width,
        "max_channels": max(widths.values()),
        "decoder": "pixelshuffle" if shuffles else "transposed",
        "norm": "batch" if any(key.endswith("running_mean") for key in g) else "instance",
        "skips": "concat" if up[1 if shuffles else 0] == 2 * width else "add",
        "attention_decoder": bool(attention),
        "attention": ",".join(map(str, attention)) or "none",
        "styles": styles,
        "style_dim": style_dim,
        "d_head": "global",
    }


def _d_settings(d: Weights, path: Path) -> dict[str, Any]:
    # Of old, spectral norm keeps `weight` as `weight_orig`; one layer without it is for `renamed` to name.
    keys = (f"{layer}.weight" for layer in ("model.0", "model.11", "binary"))
    first, last, binary = (f"{key}_orig" if f"{key}_orig" in d else key for key in keys)
    width = _shape(d, first, 4, "discriminator", path)[0]
    channels = _shape(d, last, 4, "discriminator", path)[0]
    places = _shape(d, binary, 2, "discriminator", path)[1]
    side = math.isqrt(places)
    if side**2 != places or channels != 1:
        raise CheckpointError(
            f"{path}: binary has {places} inputs and model.11 {channels} channels, expected a square number and 1: "
            "another layout of D; leave D out, and a new one is trained"
        )
    return {"image_size": 8 * side, "d_channels": width, "spectral_norm": first.endswith("_orig")}


def _shape(weights: Weights, key: str, dimensions: int, network: str, path: Path) -> tuple[int, ...]:
    """Shape of a tensor that settings are read off."""
    if key not in weights:
        raise CheckpointError(f"{path}: has no {key}: {unread_layout(weights, network)}")
    shape = tuple(weights[key].shape)
    if len(shape) != dimensions:
        raise CheckpointError(f"{path}: {key} is {shape}, expected {dimensions} dimensions")
    return shape


def _checked(settings: dict[str, Any], path: Path) -> Zi2ziSettings:
    try:
        return Zi2ziSettings(**settings)
    except ValidationError as error:
        why = "; ".join(
            ": ".join([*map(str, each["loc"]), each["msg"].removeprefix("Value error, ")]) for each in error.errors()
        )
        raise CheckpointError(f"{path}: not zi2zi networks of a known layout: {why}") from None


def _step(path: Path) -> int | None:
    step = re.match(r"(\d+)_net_[GD]\b", path.name)
    return int(step[1]) if step else None


def _scale_attention(g: Weights, settings: Zi2ziSettings) -> list[str]:
    """Work the port's scaling of dot products by 1/sqrt(C/8) into the queries; what to know about attention.

    max32002/zi2zi-pytorch at 010be43 (December 2025) scales, and where a block keeps the channel count, it puts its
    decoder's map through the same attention again, as `attention_decoder` has it.
    """
    remarks = []
    channels = (settings.channels, *settings.level_channels)
    for level in settings.attention_levels:
        attention = f"encoder.{level - 1}.attention"
        gamma = g[f"{attention}.gamma"].item()
        for part in ("weight", "bias"):
            g[f"{attention}.query.{part}"] = g[f"{attention}.query.{part}"] / math.sqrt(channels[level] // 8)
        if gamma and level < settings.downs and channels[level] != channels[level - 1]:
            remarks.append(
                f"self-attention of level {level} (gamma {gamma:.3g}) is taken as acting on the encoder's map alone, "
                "which the file does not tell"
            )
    if any(g[f"encoder.{level - 1}.attention.gamma"].item() for level in settings.attention_levels):
        remarks.append(
            "self-attention is taken as scaled by 1/sqrt(channels / 8), as in max32002/zi2zi-pytorch of December 2025; "
            "a checkpoint of a version without that scale will draw differently"
        )
    return remarks


def _free_category(d: Weights, shape: torch.Size) -> Weights:
    """The category head without spectral norm, which ours never has: its weight divided by the norm estimated last."""
    matrix, u, v = (d.get(f"catagory.weight_{part}") for part in ("orig", "u", "v"))
    if matrix is None or u is None or v is None or (matrix.shape, u.shape, v.shape) != (shape, shape[:1], shape[1:]):
        return d
    weights = {key: value for key, value in d.items() if not key.startswith("catagory.weight_")}
    weights["catagory.weight"] = matrix.float() / (u.float() @ matrix.float() @ v.float())
    return weights
