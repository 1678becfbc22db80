"""A font of what a run draws: its glyphs traced, the font maker's own kept where asked for, and the result checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

import numpy as np

from balancer.errors import ConfigError, DataError
from zi2zi_model.data.font import Font
from zi2zi_model.data.font_data import open_typeface
from zi2zi_model.data.glyphs import Pixels, Typeface
from zi2zi_model.data.picture_files import png, write
from zi2zi_model.data.placement import EM_BOX
from zi2zi_model.data.sheet import contact_sheet, evenly_spaced
from zi2zi_model.drawing.characters import drawable
from zi2zi_model.drawing.font_file import UNITS, font_bytes, overlaps, validate
from zi2zi_model.drawing.inference import SourceTypeface, TrainedRun, in_batches, typeface_path
from zi2zi_model.drawing.outlines import Outline, font_outline, trace

PREVIEW: Final = 16
_OWN_PIXELS: Final = 512  # a side of the font maker's pictures when they are traced


@dataclass(frozen=True)
class MadeFont:
    """What a written font holds.

    Attributes:
        drawn: characters drawn by G.
        own: characters taken from the style's own typeface.
        lacking: characters that neither has, each with the reason.
        overlap: intersection over union of each drawn glyph, as the font shows it, with what G drew.
        preview: the picture beside the font: some drawn glyphs, and below them the same out of the font; None where the
            font went into a device or a pipe, or the preview cannot be written, as a remark says.
        remarks: what the user should know of the style, one sentence each.
    """

    drawn: list[str]
    own: list[str]
    lacking: dict[str, str]
    overlap: dict[str, float]
    preview: Path | None
    remarks: list[str]

    @property
    def mean_overlap(self) -> float:
        """Of all drawn glyphs."""
        return fmean(self.overlap.values())


def make_font(
    run: TrainedRun,
    source: SourceTypeface,
    characters: Sequence[str],
    row: int,
    path: Path,
    *,
    family: str,
    keep_own: bool,
    version: str = "1.000",
    copyright: str = "",
    licence: str = "",
) -> MadeFont:
    """Draw characters in a style (a row of the embedding), trace them, and write a TrueType font and its preview.

    The font is checked before it is written. The preview is a picture beside it, `.png` in place of `.ttf`. With
    `keep_own` the glyphs that the style's own font or pictures have are taken as they are.

    Raises:
        ConfigError: a bad name, or a file that cannot be written.
        DataError: nothing can be drawn, or the style's own typeface is gone or has changed.
    """
    validate(path, family, version)
    own = own_typeface(run, row) if keep_own else None
    kept = list(own.usable(characters)) if own else []
    others = [c for c in characters if c not in {*kept}]
    outlines: dict[str, Outline] = {}
    advance = {}
    for character in kept:
        assert own is not None
        if isinstance(own, Font):
            outlines[character] = font_outline(own, character)
            advance[character] = own.advance(character)
        else:
            outlines[character] = trace(own.drawn(character, _OWN_PIXELS, EM_BOX), EM_BOX)
    there, lacking = drawable(source, others) if others else ([], {})
    placement = run.placement(row) or source.placement
    pictures: dict[str, Pixels] = {}
    for character, picture in in_batches(run, source, there, run.vector(row)):
        pictures[character] = picture
        outlines[character] = trace(picture, placement)
        if isinstance(source.typeface, Font):
            advance[character] = source.typeface.advance(character)
    made = font_bytes(
        outlines,
        family=family,
        advance=advance,
        units=own.units_per_em if isinstance(own, Font) else UNITS,
        version=version,
        copyright=copyright,
        licence=licence,
    )
    font = Font(path, made)
    overlap = overlaps(font, pictures, placement)
    is_no_file = path.exists() and not path.is_file()
    write(path, made)
    remarks = run.remarks(row)
    if is_no_file:  # a device or a pipe has no place beside it
        return MadeFont(there, kept, lacking, overlap, None, remarks)
    shown = [there[i] for i in evenly_spaced(np.arange(len(there)), PREVIEW)] if there else []
    rows = [
        [pictures[c] for c in shown] or [np.full((64, 64), 255, np.uint8)],
        [font.drawn(c, pictures[c].shape[0], placement) for c in shown],
    ]
    preview: Path | None = path.with_suffix(".png")
    try:
        write(path.with_suffix(".png"), png(contact_sheet(rows, ["drawn", "font"])))
    except ConfigError as error:  # the font, which was asked for, is there
        preview, remarks = None, [*remarks, f"no preview: {error}"]
    return MadeFont(there, kept, lacking, overlap, preview, remarks)


def own_typeface(run: TrainedRun, row: int) -> Typeface:
    """The font or the pictures that a style was learned from.

    Raises:
        DataError: the run was trained on pairs, the row is none of its data's, or the typeface has changed.
    """
    if row not in run.rows or not run.record["typefaces"]:
        raise DataError(f"run {run.name}: row {row} was not learned from a font or pictures: leave out --keep-own")
    number = 1 + run.rows.index(row)
    path = typeface_path(run, number)
    typeface = open_typeface(path)
    if typeface.identity() != run.record["typefaces"][number]["sha256"]:
        raise DataError(f"{path}: has changed since run {run.name} was trained; bring it back, or train again")
    return typeface
