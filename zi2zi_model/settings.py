"""Every setting of the reference model. Does not import torch."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from balancer import AdversarialName, Settings
from zi2zi_model.combinations import check
from zi2zi_model.data.charsets import CHARSETS
from zi2zi_model.defaults import CHANNELS_OF_ATTENTION, absolute, beneath, comma_separated


def _attention_text(value: object) -> object:
    """Levels also come as an integer or a list, from TOML or a command line that parses numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list | tuple):
        return ",".join(str(level) for level in value) or "none"
    return value


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
        "bce",
        description="Adversarial loss: bce (source document and ports), lsgan, hinge, wasserstein, relativistic, "
        "relativistic_average, relativistic_hinge, or an installed one.",
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
    start: Annotated[Path, AfterValidator(absolute)] | None = Field(
        None,
        description="Run to start from: its newest weights, and its networks' settings as defaults. A new style gets a "
        "row of its own in the style embedding, beginning at the mean of those that were trained.",
    )
    start_networks: Literal["both", "g"] = Field(
        "both",
        description="What to take of the run to start from: both networks, or G alone (g). D then begins anew, and its "
        "settings are free, so that the arms of a comparison go on from one G.",
    )
    style_offset: int = Field(
        0,
        ge=0,
        description="Row of the style embedding of the data's label 0. With start: the first row that the run there "
        "does not have; 0 goes on with the styles of that run.",
    )

    data: Annotated[Path, AfterValidator(absolute)] | None = Field(
        None, description="Data-set folder made by `balancer zi2zi data build`, instead of source and targets."
    )
    source: Annotated[Path, AfterValidator(absolute)] | None = Field(
        None, description="Font file that gives the content; file.ttc:N is face N of a collection. Unset: demo font."
    )
    targets: Annotated[tuple[Annotated[Path, AfterValidator(absolute)], ...], BeforeValidator(comma_separated)] = Field(
        (),
        description="What to learn, one style each, a list or comma separated: font files (file.ttc:N as for "
        "source), or folders of pictures named by character or code point (永.png, U+6C38.png).",
    )
    charset: str = Field(
        "big5-1",
        description="Characters to train on: "
        + ", ".join(CHARSETS)
        + ", several joined by +, or the path of a UTF-8 file that holds them.",
    )
    pairs: Annotated[Path, AfterValidator(absolute)] | None = Field(
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
        levels = named.get(CHANNELS_OF_ATTENTION.get(self.attention, self.attention))
        return tuple(sorted(levels if levels is not None else map(int, self.attention.split(","))))

    @model_validator(mode="before")
    @classmethod
    def _preset_beneath(cls, data: Any) -> Any:
        return {**beneath(data), **data} if isinstance(data, dict) else data

    @field_validator("charset")
    @classmethod
    def _charset_file_isabsolute(cls, value: str) -> str:
        file = Path(value).expanduser()
        there = value not in CHARSETS and os.path.isfile(file)  # noqa: PTH113  # Path.is_file raises on a long name
        return str(absolute(file)) if there else value

    @field_validator("attention")
    @classmethod
    def _attention_is_known(cls, value: str) -> str:
        value = value.replace(" ", "")
        if value in ("none", "deep", "middle", *CHANNELS_OF_ATTENTION) or re.fullmatch(r"[1-8](,[1-8])*", value):
            return value
        raise ValueError(f"{value!r} is neither none, deep, middle nor a list of levels such as 3,4")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check(self)
        return self
