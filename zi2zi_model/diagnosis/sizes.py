"""What a zi2zi run or a port's checkpoint is made of, for the diagnosis: parameters, attention, items; no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from balancer.diagnosis.finding import Structure
from balancer.errors import BalancerError, CheckpointError, ConfigError
from balancer.record import checkpoint
from zi2zi_model.settings import Zi2ziSettings

_G: Final = "_net_G.pth"
_D: Final = "_net_D.pth"


def run_structure(folder: Path, config: Mapping[str, Any]) -> Structure:
    """The networks of a run, from its config, and how many items it trains on, from its newest checkpoint.

    Raises:
        ConfigError: the config's model table is not one of zi2zi.
    """
    try:
        settings = Zi2ziSettings(**config.get("model", {}))
    except (ValidationError, TypeError) as error:
        why = "; ".join(str(error).split("\n")[:2])
        raise ConfigError(f"{folder / 'config.toml'}: [model] does not describe a zi2zi model: {why}") from None
    batch = config.get("train", {}).get("batch_size")
    return _of_settings(settings, _items(folder, settings), batch if isinstance(batch, int) else None)


def port_structure(path: Path) -> Structure | None:
    """The networks of a port's `{step}_net_G.pth` and `{step}_net_D.pth`, or of the newest such pair in a folder.

    None where the path names no such file. Torch is imported only for one that does.

    Raises:
        CheckpointError: a file is missing, damaged or does not fit.
    """
    generator, discriminator = _pair(path)
    if generator is None:
        return None
    if not generator.is_file():
        raise CheckpointError(f"{path}: {generator.name} is not there; G is needed to tell the networks")
    from zi2zi_model.network.ports import read_port

    port = read_port(generator, discriminator)
    structure = _of_settings(Zi2ziSettings(**port.settings), None, None)
    facts = {name: value for name, value in structure.facts.items() if name != "d_head" or port.discriminator}
    return Structure(
        structure.g_parameters,
        structure.d_parameters if port.discriminator is not None else None,
        structure.attention,
        facts=facts,
    )


def generator_parameters(settings: Zi2ziSettings) -> int:
    """How many parameters `Generator` has with these settings."""
    channels = (settings.channels, *settings.level_channels)
    batch_norm, innermost = settings.norm == "batch", settings.downs
    copies = 2 if settings.skips == "concat" else 1
    total = settings.styles * settings.style_dim
    for level in range(1, innermost + 1):
        outer, inner = channels[level - 1], channels[level]
        total += 16 * outer * inner + (0 if batch_norm else inner)
        if batch_norm and 1 < level < innermost:
            total += 2 * inner
        if level in settings.attention_levels:
            narrow = inner // 8
            total += 2 * (inner * narrow + narrow) + inner * inner + inner + 1
        width = inner + settings.style_dim if level == innermost else copies * inner
        biased = level == 1 or not batch_norm
        if settings.decoder == "pixelshuffle":
            total += 9 * width * 4 * outer + (4 * outer if biased else 0)
        else:
            total += 16 * width * outer + (outer if biased else 0)
        if batch_norm and level > 1:
            total += 2 * outer
    return total


def discriminator_parameters(settings: Zi2ziSettings) -> int:
    """How many parameters `Discriminator` has with these settings."""
    base = settings.d_channels
    widths = (2 * settings.channels, base, 2 * base, 4 * base, 8 * base)
    total = 25 * widths[-1] + 1
    for index in range(4):
        total += 25 * widths[index] * widths[index + 1]
        # Convolutions under a batch norm have no bias, but the norm has a scale and a shift.
        total += widths[index + 1] * (2 if index and settings.norm == "batch" else 1)
    places = (settings.image_size // 8) ** 2
    if settings.d_head == "global":
        return total + places + 1 + (places + 1) * settings.styles
    return total + (widths[-1] + 1) * settings.styles


def _of_settings(settings: Zi2ziSettings, items: int | None, batch: int | None) -> Structure:
    channels = settings.level_channels
    attention = tuple(
        f"{channels[level - 1]}ch@{settings.image_size // 2**level}px" for level in settings.attention_levels
    )
    return Structure(
        generator_parameters(settings),
        discriminator_parameters(settings),
        attention,
        items,
        batch,
        {"d_head": settings.d_head, "image_size": settings.image_size, "styles": settings.styles},
    )


def _items(folder: Path, settings: Zi2ziSettings) -> int | None:
    """From the record that each checkpoint keeps of the data, else from the data-set folder; None where neither is."""
    root = folder / checkpoint.FOLDER
    with suppress(BalancerError, OSError, ValueError, LookupError, TypeError):
        path = root / f"step_{checkpoint.steps(root)[-1]:08d}" / "state.json"
        state = dict(json.loads(path.read_text(encoding="utf-8"))["dict"])
        return int(dict(state["data"]["dict"])["training items"])
    with suppress(BalancerError, OSError, ValueError, LookupError, TypeError):
        if settings.data is not None:
            from zi2zi_model.data.dataset import read_manifest

            return int(read_manifest(settings.data)["counts"]["training items"])
    return None


def _pair(path: Path) -> tuple[Path | None, Path | None]:
    """The files of G and, where it is there, of D."""
    if path.is_dir():
        found = sorted(path.glob(f"*{_G}"), key=_age)
        if not found:
            return None, None
        path = found[-1]
    if path.name.endswith(_D):
        return path.with_name(path.name.removesuffix(_D) + _G), path
    if path.name.endswith(_G):
        discriminator = path.with_name(path.name.removesuffix(_G) + _D)
        return path, discriminator if discriminator.is_file() else None
    return None, None


def _age(path: Path) -> tuple[bool, int]:
    """`latest_net_G.pth` last, the others by their step."""
    step = path.name.removesuffix(_G)
    return (step == "latest", int(step) if step.isdigit() else -1)
