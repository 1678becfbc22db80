"""Which settings go together: networks whose levels exist, rows for every style, one kind of data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zi2zi_model.defaults import CHANNELS_OF_ATTENTION, PRESETS

if TYPE_CHECKING:
    from zi2zi_model.settings import Zi2ziSettings


def check(settings: Zi2ziSettings) -> None:
    """Refuse settings that contradict each other, or of which one does nothing beside another.

    Raises:
        ValueError: names the settings, and says what to do.
    """
    _check_networks(settings)
    _check_styles(settings)
    _check_data(settings)


def _check_networks(settings: Zi2ziSettings) -> None:
    if settings.image_size % 2**settings.downs:
        fitting = max(downs for downs in range(9) if settings.image_size % 2**downs == 0)
        remedy = (
            f"use downs = {fitting} at most" if fitting >= 3 else f"use an image_size that {2**settings.downs} divides"
        )
        raise ValueError(f"image_size {settings.image_size} cannot be halved {settings.downs} times (downs): {remedy}")
    if settings.max_channels < settings.g_channels:
        raise ValueError(f"max_channels ({settings.max_channels}) is below g_channels ({settings.g_channels})")
    channels, levels, attention = settings.level_channels, settings.attention_levels, settings.attention
    if attention in CHANNELS_OF_ATTENTION and int(attention) not in channels:
        raise ValueError(f"attention {attention}: no level has that many channels, but {channels}")
    if len(set(levels)) < len(levels) or any(level > settings.downs for level in levels):
        raise ValueError(
            f"attention {attention!r} asks for levels {levels}; each must be one of the {settings.downs} levels"
            " (downs), once"
        )
    asked = settings.dropout != PRESETS[settings.preset].get("dropout", 0.0)
    if (
        asked
        and settings.dropout
        and not any(channels[level] == channels[level - 1] for level in range(1, settings.downs - 1))
    ):
        raise ValueError(
            f"dropout {settings.dropout:g} would do nothing: it acts in decoder blocks that keep the channel count, "
            "and with these channels none does; lower max_channels, or leave dropout at 0"
        )


def _check_styles(settings: Zi2ziSettings) -> None:
    if settings.start is None and settings.start_networks != "both":
        raise ValueError(
            f"start_networks {settings.start_networks} does nothing without start: name a run, or leave it out"
        )
    if settings.style_offset + max(1, len(settings.targets)) > settings.styles:
        count = f"{len(settings.targets)} targets" if settings.targets else "a target"
        beyond = f" from row {settings.style_offset} on (style_offset)" if settings.style_offset else ""
        least = settings.style_offset + max(1, len(settings.targets))
        raise ValueError(f"{count}{beyond} need styles of at least {least}, not {settings.styles}")


def _check_data(settings: Zi2ziSettings) -> None:
    if settings.data is not None and settings.pairs is not None:
        raise ValueError("data and pairs both hold the images: leave one of them out")
    for whole in ("data", "pairs"):
        if getattr(settings, whole) is None:
            continue
        if settings.source is not None or settings.targets:
            raise ValueError(
                f"{whole} already holds source and target images: leave out source and targets, or {whole}"
            )
        for name in ("charset", "align", "max_characters", *(("held_out",) if whole == "data" else ())):
            if getattr(settings, name) != type(settings).model_fields[name].default:
                raise ValueError(f"{name} does nothing with {whole}, used as it is: leave one of them out")
