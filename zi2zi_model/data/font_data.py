"""Glyph data from typefaces: the source's and every target's glyphs of a charset, aligned and split."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from balancer.errors import DataError
from zi2zi_model.data.charsets import choose, is_held_out, load_charset
from zi2zi_model.data.font import Font
from zi2zi_model.data.glyphs import Typeface, draw_glyph
from zi2zi_model.data.pairs import GlyphData, TypefaceRecord
from zi2zi_model.data.pictures import Pictures
from zi2zi_model.data.placement import EM_BOX, Placement, align_to_source, centre_in_frame

_FONTS: Final = Path(__file__).parents[1] / "fonts"
EMBEDDED_SOURCE: Final = _FONTS / "source.ttf"
EMBEDDED_TARGETS: Final = (_FONTS / "target.ttf",)


def open_typeface(path: str | Path) -> Typeface:
    """A font file, a face of a collection (`file.ttc:3`), or a folder of pictures of single glyphs.

    Raises:
        DataError: it cannot be used.
    """
    folder = os.path.isdir(path)  # noqa: PTH112  # Path.is_dir raises where a name is too long
    return Pictures(path) if folder else Font(path)


def from_fonts(
    source: str | Path | None = None,
    targets: Sequence[str | Path] = (),
    *,
    charset: str = "demo",
    size: int = 64,
    align: str = "font",
    held_out: float = 0.1,
    max_characters: int | None = None,
) -> GlyphData:
    """Glyphs drawn from typefaces.

    Args:
        source: font whose characters are redrawn (`file.ttc:3` for a face of a collection).
        targets: what to imitate, one style each: fonts, or folders of pictures of single glyphs. Embedded fonts
            stand in where source or both are left out.
        charset: a name in `charsets.CHARSETS` or a text file.
        size: side S of the pictures in pixels.
        align: `font` lays each target's mean ink box on the source's, over training characters; `none`
            draws all fonts in their em box on a common baseline.
        held_out: share of the characters never trained on.
        max_characters: at most this many, chosen by code point.

    Raises:
        DataError: a font or the charset cannot be used, or a style or the held-out set would be empty.
    """
    if source is not None and not targets:
        raise DataError("no target font: name at least one to imitate, as model.targets=FONT")
    asked = load_charset(charset)
    if source is None:  # the embedded source holds the demo characters only
        demo = frozenset(load_charset("demo"))
        asked = tuple(c for c in asked if c in demo) or asked
    source_path = source if source is not None else EMBEDDED_SOURCE
    paths = [source_path, *(targets or EMBEDDED_TARGETS)]
    source_font, *fonts = typefaces = [open_typeface(path) for path in paths]
    for name, count in Counter(font.name for font in fonts).items():
        if count > 1:  # a style is chosen by its name
            raise DataError(f"{count} targets are called {name}: rename them, so that each style has a name of its own")
    drawn = _usable(source_font, asked, f"charset {charset}")
    drawn_by = [frozenset(_usable(font, drawn, f"charset {charset} that {source_font.name} draws")) for font in fonts]
    missing = {font.name: by_reason(font.lacking(asked)) for font in typefaces}
    characters = [c for c in drawn if any(c in held for held in drawn_by)]
    if max_characters is not None:
        characters = list(choose(characters, max_characters))
    split = np.array([is_held_out(ord(c), held_out) for c in characters])
    training = [c for c, out in zip(characters, split, strict=True) if not out]
    placements = _placements(source_font, fonts, [[c for c in training if c in held] for held in drawn_by], align)

    exists = np.array([[c in held for held in drawn_by] for c in characters])
    items = np.argwhere(exists)
    target_index = np.where(exists, np.cumsum(exists).reshape(exists.shape) - 1, -1)
    target = np.empty((len(items), size, size), np.uint8)
    clipped: Counter[str] = Counter()
    for index, (row, style) in enumerate(items):
        font, placement = fonts[style], placements[1 + style]
        target[index] = draw_glyph(font, characters[row], size, placement)
        clipped[font.name] += not placement.fits(font.ink_box(characters[row]))
    return GlyphData(
        characters=tuple(characters),
        styles=tuple(font.name for font in fonts),
        source=np.stack([draw_glyph(source_font, c, size, placements[0]) for c in characters]),
        target=target,
        target_index=target_index,
        held_out=split,
        labels=tuple(range(len(fonts))),
        typefaces=tuple(
            TypefaceRecord(face.name, str(Path(path).absolute()), face.identity(), placement)
            for face, path, placement in zip(typefaces, paths, placements, strict=True)
        ),
        missing={font: reasons for font, reasons in missing.items() if reasons},
        clipped={font: count for font, count in clipped.items() if count},
    )


def by_reason(lacking: dict[str, str]) -> dict[str, str]:
    """Characters that a typeface lacks, as one text for each reason."""
    return {reason: "".join(c for c, why in lacking.items() if why == reason) for reason in sorted({*lacking.values()})}


def _usable(font: Typeface, characters: Sequence[str], of_what: str) -> tuple[str, ...]:
    usable = font.usable(characters)
    if not usable:
        lacking = f"draws none of the {len(characters)} characters of {of_what}"
        raise DataError(f"font {font.name}: {lacking}; choose another of the two")
    return usable


def _placements(
    source: Typeface, targets: Sequence[Typeface], training: Sequence[Sequence[str]], align: str
) -> tuple[Placement, ...]:
    """Placement of the source and of every target, from the training characters that each target draws."""
    everything = list(dict.fromkeys(c for characters in training for c in characters))
    if align == "none" or not everything:
        return (EM_BOX,) * (1 + len(targets))
    first = centre_in_frame(source.mean_box(everything))
    return first, *(
        align_to_source(font.mean_box(characters), source.mean_box(characters), first) if characters else EM_BOX
        for font, characters in zip(targets, training, strict=True)
    )
