"""Where the settings' defaults come from: presets, the run to start from, the data set."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, Final

from balancer import read_input

# Class defaults are those of `tiny`. `zi2zi` is max32002/zi2zi-pytorch (December 2025, the code of the
# source document), `classic` EuphoriaYan/zi2zi-pytorch at 256 px.
PRESETS: Final[dict[str, dict[str, Any]]] = {
    "tiny": {},
    "zi2zi": {
        "image_size": 384,
        "downs": 7,
        "g_channels": 64,
        "max_channels": 512,
        "d_channels": 64,
        "attention": "deep",
        "skips": "add",
        "dropout": 0.5,
        "styles": 40,
        "style_dim": 128,
    },
    "classic": {
        "image_size": 256,
        "downs": 8,
        "g_channels": 64,
        "max_channels": 512,
        "d_channels": 64,
        "decoder": "transposed",
        "norm": "batch",
        "dropout": 0.5,
        "styles": 40,
        "style_dim": 128,
    },
}


# What the source document calls the two layouts, by the channels that its attention has in the `zi2zi` preset.
CHANNELS_OF_ATTENTION: Final = {"512": "deep", "256": "middle"}


def beneath(data: dict[str, Any]) -> dict[str, Any]:
    """Defaults for settings that are given: the preset's, and over them those of `start` and of `data`.

    Raises:
        ValueError: `start` is not a run of zi2zi.
    """
    found = {**_of_start(data), **_of_data(data)}
    preset = data.get("preset", found.get("preset", "tiny"))
    return {**PRESETS.get(preset, {}), **found} if isinstance(preset, str) else {}


def comma_separated(value: object) -> object:
    """The parts of a text that commas separate; anything else as it is."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def absolute(path: Path) -> Path:
    """An absolute path, so that a run is resumed and drawn with from any folder."""
    return path.expanduser().absolute()


# Settings that a run takes from the one it starts from.
_INHERITED: Final = (
    "preset", "image_size", "channels", "downs", "g_channels", "max_channels", "decoder", "norm", "skips", "attention",
    "attention_decoder", "dropout", "style_dim", "d_channels", "d_head", "spectral_norm", "adversarial", "lambda_l1",
    "lambda_const", "lambda_category",
)  # fmt: skip


def _of_start(data: dict[str, Any]) -> dict[str, Any]:
    """Defaults from the run to start from: its networks, and a new row of the embedding for each style."""
    start = data.get("start")
    if not isinstance(start, str | Path):
        return {}
    path = absolute(Path(start)) / "config.toml"
    try:
        model = tomllib.loads(read_input(path).decode("utf-8"))["model"]
        inherited = {key: model[key] for key in _INHERITED if key in model}
        rows = int(model["styles"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        if {"styles", "style_offset", *_INHERITED} <= data.keys():
            return {}  # a resolved config needs nothing of it any more
        raise ValueError(f"start: {path} is not the config of a zi2zi run ({error})") from None
    targets = comma_separated(data.get("targets", ()))
    offset = data.get("style_offset", rows)
    count = len(targets) if isinstance(targets, list | tuple) else 1
    if "data" in data:
        count = 1 + max((style["label"] for style in _manifest(data).get("styles", ())), default=0)
    fits = isinstance(offset, int) and not isinstance(offset, bool)
    return {**inherited, "style_offset": rows, "styles": max(rows, offset + max(1, count)) if fits else rows}


def _of_data(data: dict[str, Any]) -> dict[str, Any]:
    """The default that a data-set folder gives: its pictures' size."""
    manifest = _manifest(data)
    return {"image_size": manifest["size"]} if "size" in manifest else {}


def _manifest(data: dict[str, Any]) -> dict[str, Any]:
    """The manifest of the data set named, unverified; empty where it cannot be read, which building will say."""
    try:
        manifest = json.loads(read_input(absolute(Path(data["data"])) / "dataset.json"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return manifest if isinstance(manifest, dict) else {}
