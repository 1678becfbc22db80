"""What a zi2zi run or a port's checkpoint is made of, for the diagnosis: parameters, attention, items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from balancer.diagnosis import Structure
from balancer.errors import CheckpointError, ConfigError
from zi2zi_model.settings import Zi2ziSettings

_G: Final = "_net_G.pth"
_D: Final = "_net_D.pth"


def run_structure(folder: Path, config: Mapping[str, Any]) -> Structure:
    """The networks and the data of a run, from its config; without torch.

    Counts are those that training recorded in `[run.sizes]`; a run without them has none.

    Raises:
        ConfigError: the config's model table is not one of zi2zi.
    """
    try:
        settings = Zi2ziSettings(**config.get("model", {}))
    except (ValidationError, TypeError) as error:
        why = "; ".join(str(error).split("\n")[:2])
        raise ConfigError(f"{folder / 'config.toml'}: [model] does not describe a zi2zi model: {why}") from None
    sizes = config.get("run", {}).get("sizes", {})
    return replace(
        _networks(settings),
        g_parameters=_count(sizes, "generator_parameters"),
        d_parameters=_count(sizes, "discriminator_parameters"),
        items=_count(sizes, "training_items"),
        batch=_count(config.get("train", {}), "batch_size"),
    )


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
    from zi2zi_model.network.networks import count_parameters
    from zi2zi_model.network.ports import read_port

    port = read_port(generator, discriminator)
    settings = Zi2ziSettings(**port.settings)
    known = _networks(settings)
    g_parameters, d_parameters = count_parameters(settings)
    if port.discriminator is not None:
        return replace(known, g_parameters=g_parameters, d_parameters=d_parameters)
    facts = {name: value for name, value in known.facts.items() if name != "d_head"}
    return replace(known, g_parameters=g_parameters, facts=facts)


def _networks(settings: Zi2ziSettings) -> Structure:
    """What the settings alone say."""
    channels = settings.level_channels
    attention = tuple(
        f"{channels[level - 1]}ch@{settings.image_size // 2**level}px" for level in settings.attention_levels
    )
    facts = {"d_head": settings.d_head, "image_size": settings.image_size, "styles": settings.styles}
    return Structure(attention=attention, facts=facts)


def _count(table: Any, key: str) -> int | None:
    value = table.get(key) if isinstance(table, Mapping) else None
    return value if isinstance(value, int) else None


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
    return (step == "latest", int(step) if step.isdecimal() else -1)
