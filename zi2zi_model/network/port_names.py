"""What the ports call the tensors of our networks, and their tensors under our names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import torch
from torch import nn

from balancer.errors import CheckpointError
from zi2zi_model.network.port_files import Weights
from zi2zi_model.settings import Zi2ziSettings

_ATTENTION: Final = {"gamma": "gamma", "query": "query_conv", "key": "key_conv", "value": "value_conv"}
_D_LAYERS: Final = {"last": "model.11", "binary": "binary", "category": "catagory"}  # spelt so in the ports
_NAMED: Final = 6
_READ: Final = (
    "what is read are networks of EuphoriaYan/zi2zi-pytorch, and of max32002/zi2zi-pytorch but for those with residual "
    "blocks or with attention on the decoder's map alone"
)


def block(level: int) -> str:
    """The block that halves the map for the `level`-th time."""
    return "model" + ".submodule" * (level - 1)


def down_weight(level: int) -> str:
    """The weight of that block's halving convolution."""
    return f"{block(level)}.down.{0 if level == 1 else 1}.weight"


def g_name(key: str, settings: Zi2ziSettings) -> str:
    """What the ports call a tensor of our `Generator`."""
    if key == "embedding.weight":
        return "embedder.weight"
    side, number, part, rest = key.split(".", 3)
    level = int(number) + 1 if side == "encoder" else settings.downs - int(number)
    prefix = block(level)
    if side == "decoder":
        norm = 3 if settings.decoder == "pixelshuffle" else 2  # the shuffle stands between
        return f"{prefix}.up.{1 if part == 'conv' else norm}.{rest}"
    if part == "attention":
        layer, _, tensor = rest.partition(".")
        return f"{prefix}.att.{_ATTENTION[layer]}" + (f".{tensor}" if tensor else "")
    return f"{prefix}.down.{2 if part == 'norm' else 0 if level == 1 else 1}.{rest}"


def d_name(key: str) -> str:
    """What the ports call a tensor of our `Discriminator`; spectral norm is of torch's older kind there."""
    layer, _, rest = key.partition(".")
    if layer == "features":
        number, _, rest = rest.partition(".")
        place = f"model.{number}"
    else:
        place = _D_LAYERS[layer]
    spectral = {"original": "weight_orig", "0._u": "weight_u", "0._v": "weight_v"}
    return f"{place}.{spectral.get(rest.removeprefix('parametrizations.weight.'), rest)}"


def has_blocks_behind_levels(names: Collection[str]) -> bool:
    """Whether a generator is of an earlier layout of max32002/zi2zi-pytorch, with more in a level than is read."""
    return any(f".{part}." in name for name in names for part in ("res_block3", "res_block5", "attn", "attention"))


def unread_layout(names: Collection[str], network: str) -> str:
    """What a file is, going by the names of its tensors, where it is no `network` of a layout that is read."""
    if has_blocks_behind_levels(names):
        return (
            "a generator with attention and residual blocks behind its levels (conv2_layer_count of 9 to 11), an "
            "earlier layout of max32002/zi2zi-pytorch, which ours has not; give a checkpoint of another layout"
        )
    generator = any(name.startswith(("model.submodule.", "model.down.", "model.up.")) for name in names)
    discriminator = any(name.startswith(("binary.", "catagory.")) for name in names)
    if generator and network == "generator" and "embedder.weight" not in names:
        return "a generator without a style embedding (embedder.weight), a layout that ours has not; give another one"
    if generator or discriminator:
        found = "generator" if generator else "discriminator"
        if found != network:
            return f"a {found}, not a {network}; give the {network}'s file, {{step}}_net_{network[0].upper()}.pth"
    first = ", ".join(name[:80].encode("unicode_escape").decode() for name in sorted(names)[:3])
    return f"no {network} of a layout that is read (its tensors are {first}, …); {_READ}"


def renamed(theirs: Weights, names: Mapping[str, str], ours: nn.Module, path: Path) -> Weights:
    """Their tensors under our names, each finite and of our shape, none missing and none left over.

    Raises:
        CheckpointError: names the tensors that are missing, unknown, of another shape or not finite.
    """
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
        raise CheckpointError(f"{path}: does not fit a zi2zi network: {'; '.join(wrong[:_NAMED])}{more}; {_READ}")
    ours_named = {}
    for key, name in names.items():
        value = theirs[name].detach()
        ours_named[key] = value.float() if value.is_floating_point() else value
        if not bool(torch.isfinite(ours_named[key]).all()):
            raise CheckpointError(f"{path}: {name} is not finite; take an earlier checkpoint")
    return ours_named
