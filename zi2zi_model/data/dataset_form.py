"""The form of a data-set folder: what its manifest and its arrays are, found wrong before anything uses them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

_Side = Annotated[int, Field(ge=1, le=4096)]
_Label = Annotated[int, Field(ge=0, lt=2**31)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Placement(_Part):
    scale: Annotated[FiniteFloat, Field(ge=1e-3, le=1e3)]
    x: Annotated[FiniteFloat, Field(ge=-1e3, le=1e3)]
    y: Annotated[FiniteFloat, Field(ge=-1e3, le=1e3)]


class _Typeface(_Part):
    name: str
    path: str
    sha256: str
    placement: _Placement


class _Style(_Part):
    name: str
    label: _Label


class _Glyphs(_Part):
    file: str
    sha256: str


class Manifest(_Part):
    """A manifest's body, without its seal."""

    format: int
    size: _Side
    counts: dict[str, int]
    glyphs: _Glyphs
    styles: Annotated[list[_Style], Field(min_length=1)]
    typefaces: list[_Typeface]
    pairs: str
    missing: dict[str, dict[str, str]]
    clipped: dict[str, int]
    held_out: list[str]
    characters: Annotated[list[str], Field(min_length=1)]


def require_manifest(body: Mapping[str, Any]) -> None:
    """See that a manifest holds what `dataset.save` writes.

    Raises:
        ValueError: it does not.
    """
    manifest = Manifest.model_validate(body)
    labels = [style.label for style in manifest.styles]
    if sorted({*labels}) != labels:
        raise ValueError("its labels do not rise")
    if manifest.typefaces and len(manifest.typefaces) != 1 + len(labels):
        raise ValueError("its typefaces are not those of the source and of each style")


def require_arrays(held: Mapping[str, np.ndarray[Any, Any]], manifest: Mapping[str, Any]) -> None:
    """See that the pictures, and where each is, have the types and shapes that the manifest says.

    Raises:
        ValueError: they have not.
    """
    count, styles, size = len(manifest["characters"]), len(manifest["styles"]), manifest["size"]
    targets = len(held["target"]) if held["target"].ndim else 0
    forms = {
        "source": (np.uint8, (count, size, size)),
        "target": (np.uint8, (targets, size, size)),
        "target_index": (np.int64, (count, styles)),
        "held_out": (np.bool_, (count,)),
    }
    for name, (kind, shape) in forms.items():
        if held[name].dtype != kind or held[name].shape != shape:
            raise ValueError(f"{name} is {held[name].dtype} {held[name].shape}, not {np.dtype(kind)} {shape}")
    index = held["target_index"]
    if index.min() < -1 or index.max() >= targets:
        raise ValueError("target_index leads to no picture")
