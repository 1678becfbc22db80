"""Glyphs of which it is known what is wrong with them, to ask of every figure what it sees and what it is blind to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from zi2zi_model.data.glyphs import Pixels

# What is still the right character, and whose strokes are still those of the style.
RIGHT_CONTENT = (
    "source as it is", "blurred 0.7 px", "blurred 1.5 px", "bolder", "thinner", "half grey", "moved 1 px",
    "wrong style",
)  # fmt: skip
RIGHT_STYLE = ("moved 1 px", "wrong character", "strokes invented", "strokes missing")


def known_cases(source: Pixels, target: Pixels, wrong_style: Pixels) -> dict[str, Pixels]:
    """Outputs (n, S, S) by what is wrong with them, from glyphs of the same characters: source, target, another style.

    A stroke's edge moves by half a pixel where it is bolder or thinner. Strokes are invented or missing in a band of 14
    rows of 64, at another height in each glyph: those of another glyph are drawn in, or nothing is left.
    """
    count, side, _ = target.shape
    generator = np.random.default_rng(0)
    band = side * 14 // 64
    first = generator.integers(side // 4, side * 3 // 4 - band + 1, count)
    rows = np.arange(side)
    inside = ((rows >= first[:, None]) & (rows < first[:, None] + band))[:, :, None]
    other = np.roll(target, count // 2, axis=0)
    return {
        "target": target,
        "source as it is": source,
        "blurred 0.7 px": blurred(target, 0.7),
        "blurred 1.5 px": blurred(target, 1.5),
        "bolder": halfway(target, filtered(target, ImageFilter.MinFilter(3))),
        "thinner": halfway(target, filtered(target, ImageFilter.MaxFilter(3))),
        "half grey": halfway(target, np.full_like(target, 255)),
        "moved 1 px": np.roll(target, 1, axis=2),
        "wrong style": wrong_style,
        "wrong character": other,
        "strokes invented": np.where(inside, np.minimum(target, other), target),
        "strokes missing": np.where(inside, np.uint8(255), target),
        "noise": generator.integers(0, 256, target.shape, dtype=np.uint8),
        "white page": np.full_like(target, 255),
    }


def blurred(pictures: Pixels, pixels: float) -> Pixels:
    """Softened by a Gaussian of that many pixels."""
    return filtered(pictures, ImageFilter.GaussianBlur(pixels))


def filtered(pictures: Pixels, by: ImageFilter.Filter | Callable[[], ImageFilter.Filter]) -> Pixels:
    """Each picture (S, S) by a filter of Pillow."""
    return np.stack([np.asarray(Image.fromarray(picture).filter(by)) for picture in pictures])


def halfway(one: Pixels, two: Pixels) -> Pixels:
    """The mean of two pictures."""
    return ((one.astype(np.int64) + two) // 2).astype(np.uint8)


def stroked(pictures: Pixels) -> Pixels:
    """Another style made of a font: horizontal strokes thinned by two pixels, as in serif faces."""
    down, up = np.roll(pictures, 1, axis=1), np.roll(pictures, -1, axis=1)
    return np.maximum(np.maximum(pictures, down), up)
