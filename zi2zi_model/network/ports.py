"""Checkpoints of the PyTorch ports of zi2zi: their configuration read off the shapes, their weights under our names.

Two families: EuphoriaYan/zi2zi-pytorch (transposed convolutions, batch norm, concatenated skips) and
max32002/zi2zi-pytorch (PixelShuffle, instance or batch norm, added skips, self-attention). A file is a bare state dict.
"""

from __future__ import annotations

import math
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
from zi2zi_model.network.networks import Discriminator, Generator
from zi2zi_model.settings import Zi2ziSettings

Weights = dict[str, Tensor]

_SIZE_OF_DOWNS: Final = {8: 256, 7: 384}  # where D, which knows the size, is not given
_ATTENTION: Final = {"gamma": "gamma", "query": "query_conv", "key": "key_conv", "value": "value_conv"}
_D_LAYERS: Final = {"last": "model.11", "binary": "binary", "category": "catagory"}  # spelt so in the ports
_NAMED: Final = 6
_TENSORFLOW: Final = re.compile(r"\.(index|meta|data-\d+-of-\d+)$")


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
        CheckpointError: a file that cannot be read, is no bare state dict, or does not fit; the message names the keys.
    """
    g = _read(generator)
    settings = _g_settings(g, generator)
    remarks: list[str] = []
    d: Weights | None = None
    if discriminator is None:
        settings["image_size"] = _SIZE_OF_DOWNS.get(settings["downs"], 64)
        remarks.append(
            f"no D was given: it starts untrained, and {settings['image_size']} px is taken from the depth of G"
        )
    else:
        d = _read(discriminator)
        settings |= _d_settings(d, discriminator)
        steps = _step(generator), _step(discriminator)
        if steps[0] != steps[1]:
            remarks.append(f"{generator.name} and {discriminator.name} are not of one step")
    checked = _checked(settings, generator)
    with torch.device("meta"):
        ours_g, ours_d = Generator(checked), Discriminator(checked)
    g = _renamed(g, {key: _g_name(key, checked) for key in ours_g.state_dict()}, ours_g, generator)
    remarks += _scale_attention(g, checked)
    if d is not None:
        assert discriminator is not None
        freed = _free_category(d, ours_d.category.weight.shape)
        if freed is not d:
            remarks.append("spectral norm on D's category head was worked into its weights: here that head stays free")
        d = _renamed(freed, {key: _d_name(key) for key in ours_d.state_dict()}, ours_d, discriminator)
    return PortWeights(settings, g, d, _step(generator), tuple(remarks))


def _read(path: Path) -> Weights:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on other pickles, which are refused right after
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # whatever a damaged file makes of the unpickler: KeyError, AssertionError, …
        # torch's own message goes on for a page, and says how to run the code after all.
        foreign = re.search(r"Unsupported (?:global|class): (?:GLOBAL )?([\w.]+)", str(error))
        if foreign:
            why = f"holds {foreign[1]}, which cannot be loaded without running code"
        elif _TENSORFLOW.search(path.name):
            why = "a TensorFlow checkpoint, whose networks differ; only those of the PyTorch ports can be read"
        else:
            why = "not a PyTorch checkpoint, or a damaged one"
        raise CheckpointError(f"{path}: {why}; give a file made by torch.save(net.state_dict(), …)") from None
    if not isinstance(loaded, Mapping) or not loaded:
        what = "nothing" if isinstance(loaded, Mapping) else type(loaded).__name__
        raise CheckpointError(
            f"{path}: holds {what}, not tensors by name; give a file made by torch.save(net.state_dict(), …)"
        )
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor) or not _is_plain(key, value):
            what = f"a tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
            raise CheckpointError(
                f"{path}: holds {what} under {key!r:.80}, not tensors of numbers alone; "
                "give a file made by torch.save(net.state_dict(), …)"
            )
    wrapped = all(key.startswith("module.") for key in loaded)  # by DataParallel
    return {key.removeprefix("module.") if wrapped else key: value for key, value in loaded.items()}


def _is_plain(key: str, tensor: Tensor) -> bool:
    counts = key.endswith("num_batches_tracked") and tensor.dtype == torch.int64
    dense = tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_nested
    return dense and (tensor.is_floating_point() or counts)


def _g_settings(g: Weights, path: Path) -> dict[str, Any]:
    styles, style_dim = _shape(g, "embedder.weight", 2, "generator", path)
    # Weights are (out, in, height, width); transposed ones (in, out, height, width).
    width, channels, *_ = _shape(g, _down(1), 4, "generator", path)
    up = _shape(g, f"{_prefix(1)}.up.1.weight", 4, "generator", path)
    shuffles = up[-1] == 3
    downs = 1 + max(key.count(".submodule") for key in g)
    # A level without its convolution is for `_renamed` to name.
    widths = {
        level: len(g[_down(level)]) for level in range(1, downs + 1) if _down(level) in g and g[_down(level)].ndim
    }
    attention = [level for level in range(1, downs + 1) if f"{_prefix(level)}.att.gamma" in g]
    for level in attention:
        query = g.get(f"{_prefix(level)}.att.query_conv.weight")
        attended = query.shape[1] if query is not None and query.ndim == 4 else None
        if attended not in (None, widths.get(level)) and attended == widths.get(level - 1):
            raise CheckpointError(
                f"{path}: {_prefix(level)}.att has {attended} channels, those of the decoder's map: an earlier layout "
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
    # Of old, spectral norm keeps `weight` as `weight_orig`; one layer without it is for `_renamed` to name.
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
        raise CheckpointError(
            f"{path}: has no {key}, so it is not a {network} of a zi2zi port; "
            f"give its {{step}}_net_{network[0].upper()}.pth"
        )
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
        raise CheckpointError(f"{path}: no zi2zi networks of a known layout: {why}") from None


def _step(path: Path) -> int | None:
    step = re.match(r"(\d+)_net_[GD]\b", path.name)
    return int(step[1]) if step else None


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


def _renamed(theirs: Weights, names: Mapping[str, str], ours: nn.Module, path: Path) -> Weights:
    """Their tensors under our names, each finite and of our shape, none missing and none left over."""
    shapes = {key: value.shape for key, value in ours.state_dict().items()}
    wrong = [f"{name} is missing" for name in names.values() if name not in theirs]
    for key, name in names.items():
        if name in theirs and theirs[name].shape != shapes[key]:
            wrong.append(f"{name} is {tuple(theirs[name].shape)}, expected {tuple(shapes[key])}")
    wrong += [
        f"{name[:80].encode('unicode_escape').decode()} is not known"
        for name in theirs
        if name not in {*names.values()}
    ]
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise CheckpointError(
            f"{path}: does not fit a zi2zi network: {'; '.join(wrong[:_NAMED])}{more}; "
            "give an unchanged one of EuphoriaYan/zi2zi-pytorch or max32002/zi2zi-pytorch"
        )
    renamed = {}
    for key, name in names.items():
        value = theirs[name].detach()
        renamed[key] = value.float() if value.is_floating_point() else value
        if not bool(torch.isfinite(renamed[key]).all()):
            raise CheckpointError(f"{path}: {name} is not finite; take an earlier checkpoint")
    return renamed


def _scale_attention(g: Weights, settings: Zi2ziSettings) -> list[str]:
    """Work the port's scaling of dot products by 1/sqrt(C/8) into the queries; what to know about attention.

    max32002/zi2zi-pytorch at 010be43 (December 2025) scales, and where a block keeps the channel count, it puts its
    decoder's map through the same attention again, as `attention_decoder` has it.
    """
    remarks = []
    channels = (settings.channels, *settings.level_channels)
    for level in settings.attention_levels:
        block = f"encoder.{level - 1}.attention"
        gamma = g[f"{block}.gamma"].item()
        for part in ("weight", "bias"):
            g[f"{block}.query.{part}"] = g[f"{block}.query.{part}"] / math.sqrt(channels[level] // 8)
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
