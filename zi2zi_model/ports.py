"""Checkpoints of the PyTorch ports of zi2zi: their configuration read off the shapes, their weights under our names.

Two families: EuphoriaYan/zi2zi-pytorch (transposed convolutions, batch norm, concatenated skips) and
max32002/zi2zi-pytorch (PixelShuffle, instance norm, added skips, self-attention). A file is a bare state dict.
"""

from __future__ import annotations

import math
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from balancer.errors import CheckpointError
from zi2zi_model.networks import Discriminator, Generator
from zi2zi_model.settings import Zi2ziSettings

Weights = dict[str, Tensor]

_SIZE_OF_DOWNS: Final = {8: 256, 7: 384}  # where D, which knows the size, is not given
_ATTENTION: Final = {"gamma": "gamma", "query": "query_conv", "key": "key_conv", "value": "value_conv"}
_D_LAYERS: Final = {"last": "model.11", "binary": "binary", "category": "catagory"}  # spelt so in the ports
_NAMED: Final = 6


@dataclass(frozen=True)
class PortWeights:
    """What a port's files hold.

    Attributes:
        settings: settings of the networks, for `Zi2ziSettings`.
        generator: state dict of our `Generator` with those settings.
        discriminator: of our `Discriminator`, or None where no file was given.
        step: from the file's name, or None.
        remarks: what the files cannot tell, one sentence each.
    """

    settings: dict[str, Any]
    generator: Weights
    discriminator: Weights | None
    step: int | None
    remarks: tuple[str, ...]


def read_port(generator: Path, discriminator: Path | None = None) -> PortWeights:
    """Read `{step}_net_G.pth` and, where given, `{step}_net_D.pth`.

    Raises:
        CheckpointError: a file that cannot be read, is no bare state dict, or does not fit; the message names the keys.
    """
    g_weights = _read(generator)
    d_weights = None if discriminator is None else _read(discriminator)
    settings, remarks = _settings(g_weights, d_weights, generator, discriminator)
    try:
        checked = Zi2ziSettings(**settings)
    except ValidationError as error:
        why = "; ".join(".".join(map(str, each["loc"])) + f": {each['msg']}" for each in error.errors())
        raise CheckpointError(f"{generator}: no zi2zi generator of a known layout: {why}") from None
    with torch.device("meta"):
        ours_g, ours_d = Generator(checked), Discriminator(checked)
    named_g = {key: _g_name(key, checked) for key in ours_g.state_dict()}
    renamed_d = None
    if d_weights is not None:
        assert discriminator is not None
        d_weights = _free_category(d_weights)
        named_d = {key: _d_name(key) for key in ours_d.state_dict()}
        renamed_d = _renamed(d_weights, named_d, ours_d, discriminator)
    step = re.match(r"(\d+)_net_G", generator.name)
    return PortWeights(
        settings,
        _renamed(g_weights, named_g, ours_g, generator),
        renamed_d,
        int(step[1]) if step else None,
        tuple(remarks),
    )


def _read(path: Path) -> Weights:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on other pickles, which are refused right after
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, AttributeError, TypeError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path}: not a state dict that torch reads without running code ({why[:160]}); "
            "save it again with torch.save(net.state_dict(), …)"
        ) from None
    if not isinstance(loaded, Mapping) or not loaded:
        raise CheckpointError(f"{path}: holds {type(loaded).__name__}, not a state dict of tensors by name")
    weights = {}
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            raise CheckpointError(f"{path}: holds {type(value).__name__} under {key!r}, not tensors by name alone")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{path}: {key} is not finite; take an earlier checkpoint")
        weights[key.removeprefix("module.")] = value.float() if value.is_floating_point() else value
    return weights


def _settings(g: Weights, d: Weights | None, path: Path, d_path: Path | None) -> tuple[dict[str, Any], list[str]]:
    """Settings of the networks, and what the files cannot tell."""
    downs = next((n for n in range(1, 20) if _down(n) not in g), 1) - 1
    for key in ("embedder.weight", _down(1), f"{_prefix(1)}.up.1.weight"):
        if key not in g:
            raise CheckpointError(f"{path}: has no {key}, so it is not a generator of a zi2zi port")
    # Weights are (out, in, height, width); transposed ones (in, out, height, width).
    outermost = g[f"{_prefix(1)}.up.1.weight"]
    shuffles = outermost.shape[-1] == 3
    widths = [g[_down(level)].shape[0] for level in range(1, downs + 1)]
    attention = [level for level in range(1, downs + 1) if f"{_prefix(level)}.att.gamma" in g]
    styles, style_dim = g["embedder.weight"].shape
    settings = {
        "preset": "zi2zi" if shuffles else "classic",
        "channels": g[_down(1)].shape[1],
        "downs": downs,
        "g_channels": widths[0],
        "max_channels": max(widths),
        "decoder": "pixelshuffle" if shuffles else "transposed",
        "norm": "batch" if any(key.endswith("running_mean") for key in g) else "instance",
        "skips": "add" if outermost.shape[1 if shuffles else 0] == widths[0] else "concat",
        "attention": ",".join(map(str, attention)) or "none",
        "styles": styles,
        "style_dim": style_dim,
        "d_head": "global",
    }
    remarks = []
    if attention:
        remarks.append(
            "attention is taken as acting on the encoder's maps, unscaled; versions of the port that scale it, or use "
            "it in the decoder too, cannot be told from the file and will draw differently"
        )
    if d is None:
        size = _SIZE_OF_DOWNS.get(downs, max(64, 2**downs))
        settings |= {"image_size": size}
        remarks.append(f"no D was given: it starts untrained, and {size} px is taken from the depth of G")
        return settings, remarks
    first = d.get("model.0.weight_orig", d.get("model.0.weight"))
    if first is None or not {"binary.weight", "binary.weight_orig"} & d.keys():
        raise CheckpointError(f"{d_path}: has no model.0 or no binary, so it is not a discriminator of a zi2zi port")
    places = d.get("binary.weight_orig", d.get("binary.weight"))
    assert places is not None
    side = 8 * math.sqrt(places.shape[1])
    if side != int(side):
        raise CheckpointError(f"{d_path}: binary has {places.shape[1]} inputs, which is no square map")
    settings |= {"image_size": int(side), "d_channels": first.shape[0], "spectral_norm": "model.0.weight_orig" in d}
    return settings, remarks


def _prefix(level: int) -> str:
    """Of the block that halves for the `level`-th time."""
    return "model" + ".submodule" * (level - 1)


def _down(level: int) -> str:
    return f"{_prefix(level)}.down.{0 if level == 1 else 1}.weight"


def _g_name(key: str, settings: Zi2ziSettings) -> str:
    """What the ports call a tensor of our `Generator`."""
    if key == "embedding.weight":
        return "embedder.weight"
    side, number, part, rest = key.split(".", 3)
    level = int(number) + 1 if side == "encoder" else settings.downs - int(number)
    block = _prefix(level)
    if side == "decoder":
        norm = 3 if settings.decoder == "pixelshuffle" else 2  # the shuffle stands between
        return f"{block}.up.{1 if part == 'conv' else norm}.{rest}"
    if part == "attention":
        layer, _, tensor = rest.partition(".")
        return f"{block}.att.{_ATTENTION[layer]}" + (f".{tensor}" if tensor else "")
    return f"{block}.down.{2 if part == 'norm' else 0 if level == 1 else 1}.{rest}"


def _d_name(key: str) -> str:
    """What the ports call a tensor of our `Discriminator`; spectral norm is of torch's older kind there."""
    layer, _, rest = key.partition(".")
    if layer == "features":
        number, _, rest = rest.partition(".")
        place = f"model.{number}"
    else:
        place = _D_LAYERS[layer]
    spectral = {"original": "weight_orig", "0._u": "weight_u", "0._v": "weight_v"}
    return f"{place}.{spectral.get(rest.removeprefix('parametrizations.weight.'), rest)}"


def _free_category(d: Weights) -> Weights:
    """The category head without spectral norm, which ours never has: its weight divided by the norm estimated last."""
    if "catagory.weight_orig" not in d:
        return d
    weights = dict(d)
    matrix, u, v = (weights.pop(f"catagory.weight_{part}") for part in ("orig", "u", "v"))
    weights["catagory.weight"] = matrix / (u @ matrix.flatten(1) @ v)
    return weights


def _renamed(theirs: Weights, names: Mapping[str, str], ours: nn.Module, path: Path) -> Weights:
    """Their tensors under our names, each of our shape, none missing and none left over."""
    shapes = {key: value.shape for key, value in ours.state_dict().items()}
    wrong = [f"{name} is missing" for name in names.values() if name not in theirs]
    for key, name in names.items():
        if name in theirs and theirs[name].shape != shapes[key]:
            wrong.append(f"{name} is {tuple(theirs[name].shape)}, expected {tuple(shapes[key])}")
    wrong += [f"{name} is not known" for name in theirs if name not in {*names.values()}]
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise CheckpointError(f"{path}: does not fit a zi2zi network: {'; '.join(wrong[:_NAMED])}{more}")
    return {key: theirs[name] for key, name in names.items()}
