"""What zi2zi learns from: pairs of source and target glyphs in memory, split by character."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from balancer.errors import DataError
from zi2zi_model.data.glyphs import Pixels
from zi2zi_model.data.placement import Placement

Items = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TypefaceRecord:
    """Where a typeface's glyphs came from and where they stand in the frame.

    Attributes:
        path: of the font file or the folder of pictures when it was read.
        sha256: of what was read; a typeface with another one is another typeface.
    """

    name: str
    path: str
    sha256: str
    placement: Placement


@dataclass(frozen=True, eq=False)
class GlyphData:
    """Source glyphs, what each style draws for them, and the split into training and held-out characters.

    Attributes:
        characters: name of each of N rows: the character, or what else names it where pairs were read.
        styles: name of each style.
        source: (N, S, S) uint8, paper 255 and ink 0.
        target: (T, S, S) uint8, the target glyphs that exist.
        target_index: (N, styles); where in `target` a style's glyph is, -1 where the style lacks it.
        held_out: (N,) bool; rows never trained on.
        labels: label of each style, ascending: the style's row in G's embedding, before `model.style_offset`.
        typefaces: the source's and every style's, to draw and undo by; empty for pairs.
        missing: characters asked for that a typeface lacks, by typeface and reason, as one text each.
        clipped: number of target glyphs that reach over the picture's edge, by typeface, where there are any.
        origin: SHA-256 of the pairs read; empty where `typefaces` says it.
    """

    characters: tuple[str, ...]
    styles: tuple[str, ...]
    source: Pixels
    target: Pixels
    target_index: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.bool_]
    labels: tuple[int, ...]
    typefaces: tuple[TypefaceRecord, ...] = ()
    missing: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    clipped: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    origin: str = ""

    def __post_init__(self) -> None:
        counts = Counter(self.train_items[:, 1].tolist())
        untrained = [style for index, style in enumerate(self.styles) if not counts[index]]
        if untrained:
            raise DataError(f"style {untrained[0]}: no training characters are left; add characters or hold out fewer")
        if not len(self.held_out_items):
            raise DataError(
                "no held-out characters: hold out a greater share, such as model.held_out=0.3, or add characters"
            )

    @property
    def size(self) -> int:
        """Side S of the pictures in pixels."""
        return int(self.source.shape[-1])

    @cached_property
    def train_items(self) -> Items:
        """(n, 2): row and style of every training pair that exists, in row order."""
        return np.argwhere((self.target_index >= 0) & ~self.held_out[:, None])

    @cached_property
    def held_out_items(self) -> Items:
        """(m, 2): row and style of every held-out pair that exists, in row order."""
        return np.argwhere((self.target_index >= 0) & self.held_out[:, None])

    def batch(self, items: Items) -> tuple[Pixels, Pixels, npt.NDArray[np.int64]]:
        """Source (B, S, S), target (B, S, S) and label (B,) of items (B, 2) taken from either item list."""
        rows, styles = items[:, 0], items[:, 1]
        return self.source[rows], self.target[self.target_index[rows, styles]], np.asarray(self.labels)[styles]

    @property
    def counts(self) -> dict[str, int]:
        """Figures by name."""
        parts = (self.characters, self.styles, self.train_items, self.held_out_items)
        return dict(zip(("characters", "styles", "training items", "held-out items"), map(len, parts), strict=True))

    @cached_property
    def record(self) -> dict[str, Any]:
        """What tells this data from other data, as primitives."""
        split = hashlib.sha256("\n".join(self.characters).encode())
        split.update((self.target_index >= 0).tobytes() + self.held_out.tobytes())
        typefaces = [
            {"name": face.name, "sha256": face.sha256, "placement": [face.placement.scale, *face.placement.offset]}
            for face in self.typefaces
        ]
        return {
            "training items": len(self.train_items),
            "styles": list(self.styles),
            "characters and split": split.hexdigest(),
            "typefaces": typefaces,
            "pairs": self.origin,
        }

    @property
    def summary(self) -> tuple[str, ...]:
        """What was built, for the user: one line of figures, then one for each thing worth knowing."""
        megabytes = (self.source.nbytes + self.target.nbytes) / 1e6
        figures = ", ".join(f"{n} {name if n != 1 else name.removesuffix('s')}" for name, n in self.counts.items())
        lacks = (
            f"{font} lacks {sum(map(len, reasons.values()))} of the characters asked for"
            for font, reasons in self.missing.items()
        )
        cut = (f"{font} reaches over the picture's edge in {count} characters" for font, count in self.clipped.items())
        return f"{figures}; {self.size} px, {megabytes:.0f} MB in memory", *lacks, *cut
