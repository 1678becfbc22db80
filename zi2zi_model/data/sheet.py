"""Contact sheets: glyphs in labelled rows on white paper, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
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


def contact_sheet(
    rows: Sequence[Sequence[Pixels]], labels: Sequence[str] | None = None, *, zoom: int = 1
) -> Image.Image:
    """Rows of glyphs, one below the other, with a label in Latin letters before each row if labels are given.

    Args:
        rows: at least one row of at least one picture (S, S) uint8; S is the same for all, row lengths may differ.
        labels: one for each row.
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
    sheet = Image.new("L", (left + columns * step - _GAP + _MARGIN, len(rows) * step - _GAP + 2 * _MARGIN), 255)
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        top = _MARGIN + number * step
        if labels is not None:
            draw.text((_MARGIN, top + side / 2), labels[number], fill=_LABEL_INK, font=font, anchor="lm")
        for column, pixels in enumerate(row):
            glyph = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(glyph, (left + column * step, top))
    return sheet


def evenly_spaced(items: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """At most `count` items, evenly spaced; the same ones each time."""
    chosen: npt.NDArray[np.int64] = items[np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)]
    return chosen
