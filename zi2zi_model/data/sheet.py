"""Contact sheets: glyphs in labelled rows on white paper, as one picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from zi2zi_model.data.glyphs import Pixels

COLUMNS: Final = 16  # glyphs in a row, where there are enough

_MARGIN: Final = 8
_GAP: Final = 4
_LABEL_PIXELS: Final = 15
_LABEL_INK: Final = 70
_HEADING_SIDE: Final = 18  # of a glyph in a heading
_HEADING: Final = _HEADING_SIDE + 2 * _GAP


def contact_sheet(
    rows: Sequence[Sequence[Pixels]],
    labels: Sequence[str] | None = None,
    *,
    headings: Mapping[int, str] | None = None,
    letters: Mapping[str, Pixels] | None = None,
    zoom: int = 1,
) -> Image.Image:
    """Rows of glyphs, one below the other, with a label in Latin letters before each row if labels are given.

    Args:
        rows: at least one row of at least one picture (S, S) uint8; S is the same for all, row lengths may differ.
        labels: one for each row.
        headings: lines of text that stand above rows, by the row's number.
        letters: pictures (T, T) of other characters in headings, by character; what is in neither shows as "?".
        zoom: whole number of times by which the glyphs are enlarged.

    Returns:
        a grey picture (mode L).
    """
    if labels is not None and len(labels) != len(rows):
        raise ValueError(f"{len(labels)} labels for {len(rows)} rows")
    side = rows[0][0].shape[0] * zoom
    step = side + _GAP
    font = ImageFont.load_default(_LABEL_PIXELS)
    label_width = max((round(font.getlength(label)) + _MARGIN for label in labels or ()), default=0)
    left = _MARGIN + label_width
    columns = max(len(row) for row in rows)
    texts = [(headings or {}).get(number) for number in range(len(rows))]
    lines = [None if text is None else _heading(text, letters or {}) for text in texts]
    high = len(rows) * step - _GAP + sum(_HEADING for line in lines if line) + 2 * _MARGIN
    wide = max([left + columns * step - _GAP, *(_MARGIN + line.width for line in lines if line)]) + _MARGIN
    sheet = Image.new("L", (wide, high), 255)
    draw = ImageDraw.Draw(sheet)
    top = _MARGIN
    for number, row in enumerate(rows):
        if (line := lines[number]) is not None:
            sheet.paste(line, (_MARGIN, top))
            top += _HEADING
        if labels is not None:
            draw.text((_MARGIN, top + side / 2), labels[number], fill=_LABEL_INK, font=font, anchor="lm")
        for column, pixels in enumerate(row):
            glyph = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(glyph, (left + column * step, top))
        top += step
    return sheet


def _heading(text: str, letters: Mapping[str, Pixels]) -> Image.Image:
    """A line of text: ASCII in the font of labels, which has no more, the rest from pictures."""
    font = ImageFont.load_default(_LABEL_PIXELS)
    parts = [letters[c] if c in letters and not c.isascii() else c if c.isascii() else "?" for c in text]
    widths = [math.ceil(font.getlength(part)) if isinstance(part, str) else _HEADING_SIDE for part in parts]
    line = Image.new("L", (sum(widths), _HEADING), 255)
    draw = ImageDraw.Draw(line)
    left = 0
    for part, width in zip(parts, widths, strict=True):
        if isinstance(part, str):
            draw.text((left, _HEADING / 2), part, fill=_LABEL_INK, font=font, anchor="lm")
        else:
            glyph = Image.fromarray(part).resize((_HEADING_SIDE,) * 2, Image.Resampling.LANCZOS)
            line.paste(glyph, (left, _GAP))
        left += width
    return line


def evenly_spaced(items: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """At most `count` items, evenly spaced; the same ones each time."""
    chosen: npt.NDArray[np.int64] = items[np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)]
    return chosen
