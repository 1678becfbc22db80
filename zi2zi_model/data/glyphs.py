"""Pictures of glyphs: what draws them, the one function that draws them for training and inference, their ink."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from balancer.errors import DataError
from zi2zi_model.data.placement import InkBox, Placement

Pixels = npt.NDArray[np.uint8]

INK: Final = [0] * 64 + [255] * 192  # a quarter of a pixel's coverage counts: the box is neither grown nor shrunk


class Typeface(Protocol):
    """Where glyphs come from: a font file (`Font`) or a folder of pictures (`pictures.Pictures`)."""

    name: str

    def usable(self, characters: Iterable[str]) -> tuple[str, ...]:
        """Those of the characters that it draws, in the order given."""
        characters = tuple(dict.fromkeys(characters))
        lacking = self.lacking(characters)
        return tuple(c for c in characters if c not in lacking)

    def lacking(self, characters: Iterable[str]) -> dict[str, str]:
        """Those that it does not draw, each with the reason."""
        ...

    def ink_box(self, character: str) -> InkBox:
        """Ink box of a character; DataError where it is not drawn."""
        ...

    def mean_box(self, characters: Iterable[str]) -> InkBox:
        """Mean ink box of characters, at least one, that it draws."""
        return InkBox(*np.mean([self.ink_box(c) for c in characters], axis=0).tolist())

    def drawn(self, character: str, size: int, placement: Placement) -> Pixels:
        """The picture (size, size) of a character that it draws."""
        ...

    def identity(self) -> str:
        """SHA-256 of what it was read from."""
        ...


def draw_glyph(typeface: Typeface, character: str, size: int, placement: Placement) -> Pixels:
    """Picture of a character for training and for inference alike: (size, size), paper 255, ink 0, antialiased.

    Raises:
        DataError: the typeface does not draw the character, or not within the frame.
    """
    typeface.ink_box(character)
    glyph = typeface.drawn(character, size, placement)
    if is_blank(glyph):
        where = f"font {typeface.name}: {character}"
        raise DataError(f"{where} falls outside the picture; align the fonts, or leave it out")
    return glyph


def ink_extent(pixels: Pixels) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the ink in a picture (S, S) that is not blank, in the frame."""
    ink = Image.fromarray(255 - pixels)
    # A faint picture has no place that is a quarter covered: then half of its darkest counts.
    box = ink.point(INK).getbbox() or ink.point([v >= (255 - int(pixels.min())) / 2 for v in range(256)]).getbbox()
    assert box is not None
    left, top, right, bottom = (edge / pixels.shape[0] for edge in box)
    return left, top, right, bottom


def is_blank(pixels: Pixels) -> bool:
    """Whether a picture shows nothing: JPEG noise on paper stays below this contrast, a faint stroke far above."""
    return int(np.ptp(pixels)) < 32


def reframe(picture: Pixels, placed: Placement, wanted: Placement, size: int) -> Pixels:
    """A glyph's picture (S, S), drawn with one placement, as another would show it: (size, size).

    What lies outside the picture is paper.
    """
    side = picture.shape[0]
    # The wanted frame's corners, in pixels of the picture.
    left, top = (side * edge for edge in placed.to_frame(*wanted.to_em(0, 0)))
    right, bottom = (side * edge for edge in placed.to_frame(*wanted.to_em(1, 1)))
    margin = max(0, math.ceil(max(-left, -top, right - side, bottom - side)))
    sheet = Image.new("L", (side + 2 * margin,) * 2, 255)
    sheet.paste(Image.fromarray(picture), (margin, margin))
    box = (left + margin, top + margin, right + margin, bottom + margin)
    # Reduced as fonts' glyphs are; enlarged or kept, as smoothly as can be.
    how = Image.Resampling.HAMMING if right - left > 1.5 * size else Image.Resampling.BICUBIC
    return np.asarray(sheet.resize((size, size), how, box=box))
