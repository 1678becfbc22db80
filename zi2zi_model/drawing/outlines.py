"""Outlines of glyphs: traced from a picture, or taken from a font; in units of the em, y upwards from the baseline."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, Final
from xml.etree import ElementTree

import numpy as np
from fontTools.misc.transform import Transform
from fontTools.pens.areaPen import AreaPen
from fontTools.pens.recordingPen import DecomposingRecordingPen, RecordingPen
from fontTools.pens.reverseContourPen import ReverseContourPen
from fontTools.pens.svgPathPen import SVGPathPen
from fontTools.pens.transformPen import TransformPen
from fontTools.svgLib.path import parse_path
from PIL import Image

from zi2zi_model.data.font import Font, font_work
from zi2zi_model.data.glyphs import Pixels
from zi2zi_model.data.placement import BASELINE, Placement

# A finer grid brings outlines, drawn again, a little nearer to their pictures, and takes much longer to trace.
_GRID: Final = 512
_LEAST: Final = 4  # times that any picture is enlarged, for the same reason
# Of 256: half coverage is 128, but vtracer draws slanted edges through the outer corners of their pixels, so that ink
# would gain; lower than this, blurred pictures would lose too much of it.
_INK: Final = 123
_SPECK: Final = 1  # pixels of the picture, a side; a patch smaller than that square is noise
_SVG_UNITS: Final = 1000

Commands = tuple[tuple[str, tuple[Any, ...]], ...]


@dataclass(frozen=True)
class Outline:
    """Contours of a glyph as pen commands (fontTools' segment pens), in em units; empty for a blank glyph."""

    commands: Commands = ()

    def draw(self, pen: Any, scale: float = 1.0) -> None:
        """Draw it with a pen, enlarged."""
        recording = RecordingPen()
        recording.value = list(self.commands)
        recording.replay(TransformPen(pen, (scale, 0, 0, scale, 0, 0)))


def trace(picture: Pixels, placement: Placement) -> Outline:
    """Outline of the ink in a picture (S, S), where at least half of a place is covered; `placement` is undone.

    Outer contours run clockwise, holes against it, as in TrueType.
    """
    import vtracer  # the extra `export`

    size = picture.shape[0]
    times = max(_LEAST, round(_GRID / size))
    # Paper around it, so that ink at the edge gets a contour there too.
    framed = np.pad(picture, 1, constant_values=255)
    enlarged = Image.fromarray(framed).resize((times * (size + 2),) * 2, Image.Resampling.BICUBIC)
    mask = enlarged.point([0] * _INK + [255] * (256 - _INK))
    if mask.getextrema() == (255, 255):
        return Outline()
    file = BytesIO()
    mask.save(file, "PNG", compress_level=1)
    drawing = vtracer.convert_raw_image_to_svg(
        file.getvalue(),
        img_format="png",
        colormode="binary",
        mode="spline",
        filter_speckle=_SPECK * times,
        corner_threshold=60,
        length_threshold=4.0,
        splice_threshold=45,
        path_precision=3,
    )
    scale = 1 / (times * size * placement.scale)
    left, top = placement.to_em(-1 / size, -1 / size)
    recording = RecordingPen()
    for shape in _shapes(drawing):
        for index, contour in enumerate(shape):
            placed = RecordingPen()
            contour.replay(TransformPen(placed, (scale, 0, 0, -scale, left, top)))
            area = AreaPen()
            placed.replay(area)
            # The first contour is the shape's edge, the others are holes in it.
            placed.replay(recording if (area.value > 0) == (index > 0) else ReverseContourPen(recording))
    return Outline(tuple(recording.value))


def font_outline(font: Font, character: str) -> Outline:
    """The outline that a font has for a character, as it is; composite glyphs are taken apart.

    It runs as traced ones do, also where the font's run the other way, as PostScript outlines do.

    Raises:
        DataError: the font does not draw it.
    """
    font.ink_box(character)
    with font_work(font.path, character):
        glyphs, names = _tables(font)
        recording = DecomposingRecordingPen(glyphs)
        scale = 1 / font.units_per_em
        glyphs[names[ord(character)]].draw(TransformPen(recording, (scale, 0, 0, scale, 0, 0)))
    area = AreaPen()
    recording.replay(area)
    if area.value > 0:
        turned = RecordingPen()
        recording.replay(ReverseContourPen(turned))
        recording = turned
    return Outline(tuple(recording.value))


def svg(outline: Outline) -> str:
    """An SVG file of the em box: 1000 units wide and high, y downwards, one path."""
    pen = SVGPathPen(None, ntos=lambda number: f"{number:.1f}".removesuffix(".0"))
    outline.draw(TransformPen(pen, Transform(_SVG_UNITS, 0, 0, -_SVG_UNITS, 0, BASELINE * _SVG_UNITS)))
    box = f"0 0 {_SVG_UNITS} {_SVG_UNITS}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}"><path d="{pen.getCommands()}"/></svg>\n'


@lru_cache(maxsize=1)  # a large font's character map takes half a second to read
def _tables(font: Font) -> tuple[Any, dict[int, str]]:
    """A font's glyphs by name, and the names by code."""
    tables = font.outlines()
    return tables.getGlyphSet(), tables.getBestCmap()


def _shapes(drawing: str) -> Iterator[list[RecordingPen]]:
    """Contours of each connected shape of a vtracer drawing, in its pixels."""
    for element in ElementTree.fromstring(drawing).iter("{http://www.w3.org/2000/svg}path"):
        across, down = (float(number) for number in re.findall(r"-?[\d.]+", element.get("transform", "")))
        recording = RecordingPen()
        parse_path(element.get("d", ""), TransformPen(recording, (1, 0, 0, 1, across, down)))
        contours: list[RecordingPen] = []
        for operator, points in recording.value:
            if operator == "moveTo":
                contours.append(RecordingPen())
            contours[-1].value.append((operator, points))
        yield contours
