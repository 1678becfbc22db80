"""Every setting of the reference model, its presets, and which combinations make sense. Does not import torch."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from balancer import AdversarialName, Settings
from zi2zi_model.data.charsets import CHARSETS

# The class defaults below are those of `tiny`. `zi2zi` is max32002/zi2zi-pytorch (December 2025, the code of the
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


def _comma_separated(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


# What the source document calls the two layouts, by the channels that its attention has in the `zi2zi` preset.
_BY_CHANNELS: Final = {"512": "deep", "256": "middle"}


def _attention_text(value: object) -> object:
    """Levels also come as an integer or a list, from TOML or a command line that parses numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list | tuple):
        return ",".join(str(level) for level in value) or "none"
    return value


def _absolute(path: Path) -> Path:
    """So that a run is resumed and drawn with from any folder."""
    return path.expanduser().absolute()


# What a run hands on to one that starts from it.
_HANDED_ON: Final = (
    "preset", "image_size", "channels", "downs", "g_channels", "max_channels", "decoder", "norm", "skips", "attention",
    "attention_decoder", "dropout", "style_dim", "d_channels", "d_head", "spectral_norm", "adversarial", "lambda_l1",
    "lambda_const", "lambda_category",
)  # fmt: skip


def _of_start(data: dict[str, Any]) -> dict[str, Any]:
    """Defaults from the run to start from: its networks, and a new row of the embedding for each style."""
    start = data.get("start")
    if not isinstance(start, str | Path):
        return {}
    path = _absolute(Path(start)) / "config.toml"
    try:
        model = tomllib.loads(path.read_text(encoding="utf-8"))["model"]
        handed_on = {key: model[key] for key in _HANDED_ON if key in model}
        rows = int(model["styles"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        if {"styles", "style_offset", *_HANDED_ON} <= data.keys():
            return {}  # a resolved config needs nothing of it any more
        raise ValueError(f"start: {path} is not the config of a zi2zi run ({error})") from None
    targets = _comma_separated(data.get("targets", ()))
    offset = data.get("style_offset", rows)
    count = len(targets) if isinstance(targets, list | tuple) else 1
    if "data" in data:
        count = 1 + max((style["label"] for style in _manifest(data).get("styles", ())), default=0)
    fits = isinstance(offset, int) and not isinstance(offset, bool)
    return {**handed_on, "style_offset": rows, "styles": max(rows, offset + max(1, count)) if fits else rows}


def _of_data(data: dict[str, Any]) -> dict[str, Any]:
    """The default that a data-set folder gives: its pictures' size."""
    manifest = _manifest(data)
    return {"image_size": manifest["size"]} if "size" in manifest else {}


def _manifest(data: dict[str, Any]) -> dict[str, Any]:
    """The manifest of the data set named, unverified; empty where it cannot be read, which building will say."""
    try:
        manifest = json.loads((_absolute(Path(data["data"])) / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


class Zi2ziSettings(Settings):
    """Settings of networks, losses and data; a preset gives the defaults, an explicit value always wins.

    Raises:
        pydantic.ValidationError: an unknown key, a value out of range, or values that do not go together.
    """

    preset: Literal["tiny", "zi2zi", "classic"] = Field(
        "tiny",
        description="Where the other defaults come from. tiny: the demo, 64 px; zi2zi: the source document's networks, "
        "384 px (max32002/zi2zi-pytorch); classic: EuphoriaYan/zi2zi-pytorch, 256 px.",
    )

    image_size: int = Field(
        64, ge=64, le=384, description="Side of a glyph image in pixels; a multiple of 2^downs. Ports: 256 or 384."
    )
    channels: Literal[1, 3] = Field(
        1, description="Channels of an image: 1 (grey, as the source document), or 3: the grey picture repeated."
    )
    downs: int = Field(
        5, ge=3, le=8, description="Levels of the U-Net; each halves the image. Ports: 7 at 384 px, 8 at 256 px."
    )
    g_channels: int = Field(16, ge=8, le=256, description="G's channels at level 1, doubled a level. Ports: 64.")
    max_channels: int = Field(
        176, ge=8, le=2048, description="Upper bound of G's channels at any level; at least g_channels. Ports: 512."
    )
    decoder: Literal["pixelshuffle", "transposed"] = Field(
        "pixelshuffle",
        description="How G enlarges: 3x3 convolution and pixel shuffle (source document), or 4x4 transposed "
        "convolution (classic).",
    )
    norm: Literal["instance", "batch"] = Field(
        "instance", description="Normalisation in G and D: instance (source document) or batch (classic)."
    )
    skips: Literal["add", "concat"] = Field(
        "concat",
        description="How G's skips join: concatenated (classic; cleaner on unseen characters in the demo) or added "
        "(source document).",
    )
    attention: Annotated[str, BeforeValidator(_attention_text)] = Field(
        "none",
        description="G's self-attention: none; deep (or 512): the bottleneck and level 5, both at 512 channels in the "
        "zi2zi preset (source document); middle (or 256): levels 3 and 4, at 256 and 512 channels (its remedy); or "
        "levels such as 5 or 3,4, level k being the map after k halvings. A 1x1 map has nothing to attend to.",
    )
    attention_decoder: bool = Field(
        False,
        description="Where a level with attention keeps the channel count, put the decoder's map through it too, "
        "before the skip joins. Networks imported from max32002/zi2zi-pytorch have it so.",
    )
    dropout: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Dropout in G's decoder blocks that keep the channel count, the innermost excepted. Ports: 0.5.",
    )
    styles: int = Field(
        8, ge=1, le=10_000, description="Rows of the style embedding; at least the number of targets. Ports: 40."
    )
    style_dim: int = Field(32, ge=1, le=1024, description="Length of a style vector. Ports: 128.")
    d_channels: int = Field(
        16, ge=8, le=256, description="D's channels after its first layer, then 2, 4 and 8 times that. Ports: 64."
    )
    d_head: Literal["global", "patch"] = Field(
        "global",
        description="What D answers: one logit for the whole image (source document and ports), or one a patch.",
    )
    spectral_norm: bool = Field(
        False, description="Spectral norm on D's convolutions and its real/fake head. Off in the source document."
    )

    adversarial: AdversarialName = Field(
        "bce", description="Adversarial loss: bce (source document and ports), lsgan or hinge."
    )
    lambda_l1: float = Field(
        100.0, ge=0.0, description="Weight of the L1 term of G's loss. Source document and ports: 100."
    )
    lambda_const: float = Field(
        15.0, ge=0.0, description="Weight of the const term of G's loss. Source document and ports: 15."
    )
    lambda_category: float = Field(
        1.0, ge=0.0, description="Weight of the category term, in G's loss and in D's. Ports: 1."
    )

    shuffle_labels: bool = Field(
        False,
        description="Label shuffling (kaonashi-tyc/zi2zi): G also draws each batch with the styles shuffled among "
        "its items, and D judges those too. Its remedy for a D loss near 0; needs several styles.",
    )
    freeze_encoder: bool = Field(
        False, description="Leave G's encoder as it is, for fine-tuning on a new style (kaonashi-tyc/zi2zi)."
    )
    start: Annotated[Path, AfterValidator(_absolute)] | None = Field(
        None,
        description="Run to start from: its newest weights, and its networks' settings as defaults. A new style gets a "
        "row of its own in the style embedding, beginning at the mean of those that were trained.",
    )
    style_offset: int = Field(
        0,
        ge=0,
        description="Row of the style embedding of the data's label 0. With start: the first row that the run there "
        "does not have; 0 goes on with the styles of that run.",
    )

    data: Annotated[Path, AfterValidator(_absolute)] | None = Field(
        None, description="Data-set folder made by `balancer zi2zi data build`, instead of source and targets."
    )
    source: Annotated[Path, AfterValidator(_absolute)] | None = Field(
        None, description="Font file that gives the content; file.ttc:N is face N of a collection. Unset: demo font."
    )
    targets: Annotated[tuple[Annotated[Path, AfterValidator(_absolute)], ...], BeforeValidator(_comma_separated)] = (
        Field(
            (),
            description="What to learn, one style each, a list or comma separated: font files (file.ttc:N as for "
            "source), or folders of pictures named by character or code point (永.png, U+6C38.png).",
        )
    )
    charset: str = Field(
        "big5-1",
        description="Characters to train on: " + ", ".join(CHARSETS) + ", or the path of a UTF-8 file that holds them.",
    )
    pairs: Annotated[Path, AfterValidator(_absolute)] | None = Field(
        None,
        description="Folder of paired images to train on, instead of source and targets: LABEL_INDEX.png or .jpg, "
        "twice as wide as high, left the target, right the source, of any size; LABEL, a number, is its style's row in "
        "the embedding.",
    )
    align: Literal["font", "none"] = Field(
        "font",
        description="Scale and shift each target font to the source font's mean box (in earlier measurements "
        "worth more than any lambda_adv), or leave the em boxes as they are.",
    )
    held_out: float = Field(
        0.1, gt=0.0, lt=1.0, description="Share of the characters kept from training, for sample sheets and measures."
    )
    max_characters: int | None = Field(
        None, ge=2, description="Train on at most this many characters of the charset. Unset: all of them."
    )

    augment_shift: float = Field(
        0.0,
        ge=0.0,
        le=0.25,
        description="Shift source and target of a training pair alike by up to this share of the side. Off: it would "
        "unlearn the place and size that the alignment gives every glyph.",
    )
    augment_scale: float = Field(
        0.0, ge=0.0, le=0.25, description="Scale source and target alike by up to this share. Off, as augment_shift."
    )

    @property
    def level_channels(self) -> tuple[int, ...]:
        """Channels of G's map after each halving, outermost first."""
        return tuple(min(self.g_channels * 2**level, self.max_channels) for level in range(self.downs))

    @property
    def attention_levels(self) -> tuple[int, ...]:
        """Levels of G that have self-attention, ascending; level k is the map after k halvings."""
        named = {"none": (), "deep": {min(5, self.downs), self.downs}, "middle": (3, 4)}
        levels = named.get(_BY_CHANNELS.get(self.attention, self.attention))
        return tuple(sorted(levels if levels is not None else map(int, self.attention.split(","))))

    @model_validator(mode="before")
    @classmethod
    def _preset_beneath(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        beneath = {**_of_start(data), **_of_data(data)}
        preset = data.get("preset", beneath.get("preset", "tiny"))
        return {**PRESETS.get(preset, {}), **beneath, **data} if isinstance(preset, str) else data

    @field_validator("charset")
    @classmethod
    def _charset_file_is_absolute(cls, value: str) -> str:
        return (
            value if value in CHARSETS else str(_absolute(Path(value))) if Path(value).expanduser().is_file() else value
        )

    @field_validator("attention")
    @classmethod
    def _attention_is_known(cls, value: str) -> str:
        value = value.replace(" ", "")
        if value in ("none", "deep", "middle", *_BY_CHANNELS) or re.fullmatch(r"[1-8](,[1-8])*", value):
            return value
        raise ValueError(f"{value!r} is neither none, deep, middle nor a list of levels such as 3,4")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.image_size % 2**self.downs:
            fitting = max(downs for downs in range(9) if self.image_size % 2**downs == 0)
            remedy = (
                f"use downs = {fitting} at most" if fitting >= 3 else f"use an image_size that {2**self.downs} divides"
            )
            raise ValueError(f"image_size {self.image_size} cannot be halved {self.downs} times (downs): {remedy}")
        if self.max_channels < self.g_channels:
            raise ValueError(f"max_channels ({self.max_channels}) is below g_channels ({self.g_channels})")
        if self.attention in _BY_CHANNELS and int(self.attention) not in self.level_channels:
            raise ValueError(f"attention {self.attention}: no level has that many channels, but {self.level_channels}")
        levels = self.attention_levels
        if len(set(levels)) < len(levels) or any(level > self.downs for level in levels):
            raise ValueError(
                f"attention {self.attention!r} asks for levels {levels}; each must be one of the {self.downs} levels"
                " (downs), once"
            )
        channels = self.level_channels
        asked = self.dropout != PRESETS[self.preset].get("dropout", 0.0)
        if (
            asked
            and self.dropout
            and not any(channels[level] == channels[level - 1] for level in range(1, self.downs - 1))
        ):
            raise ValueError(
                f"dropout {self.dropout:g} would do nothing: it acts in decoder blocks that keep the channel count, "
                "and with these channels none does; lower max_channels, or leave dropout at 0"
            )
        if self.style_offset + max(1, len(self.targets)) > self.styles:
            count = f"{len(self.targets)} targets" if self.targets else "a target"
            beyond = f" from row {self.style_offset} on (style_offset)" if self.style_offset else ""
            least = self.style_offset + max(1, len(self.targets))
            raise ValueError(f"{count}{beyond} need styles of at least {least}, not {self.styles}")
        if self.data is not None and self.pairs is not None:
            raise ValueError("data and pairs both hold the images: leave one of them out")
        for whole in ("data", "pairs"):
            if getattr(self, whole) is None:
                continue
            if self.source is not None or self.targets:
                raise ValueError(
                    f"{whole} already holds source and target images: leave out source and targets, or {whole}"
                )
            for name in ("charset", "align", "max_characters", *(("held_out",) if whole == "data" else ())):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} does nothing with {whole}, used as it is: leave one of them out")
        return self
