"""Outlines of glyphs: traced from a picture, or taken from a font; in units of the em, y upwards from the baseline."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
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

from balancer.errors import ConfigError, DataError
from zi2zi_model.glyphs import BASELINE, Font, Pixels, Placement, is_blank

# Measured on the 256 embedded characters: a finer grid brings nothing, a coarser one loses thin strokes.
_GRID: Final = 512
_SPECKLE: Final = 4  # pixels of the grid; what is smaller is noise
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

    Raises:
        ConfigError: vtracer is not installed.
    """
    try:
        import vtracer
    except ImportError:
        raise ConfigError("outlines need vtracer, which is not installed: pip install 'balancer[export]'") from None
    if is_blank(picture):
        return Outline()
    size = picture.shape[0]
    times = max(4, round(_GRID / size))
    # Paper around it, so that ink at the edge gets a contour there too.
    framed = np.pad(picture, 1, constant_values=255)
    enlarged = Image.fromarray(framed).resize((times * (size + 2),) * 2, Image.Resampling.BICUBIC)
    file = BytesIO()
    enlarged.point([0] * 128 + [255] * 128).save(file, "PNG", compress_level=1)
    drawing = vtracer.convert_raw_image_to_svg(
        file.getvalue(),
        img_format="png",
        colormode="binary",
        mode="spline",
        filter_speckle=_SPECKLE,
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
    """The outline that a font has for a character, as it is.

    Raises:
        DataError: the font does not draw it.
    """
    font.ink_box(character)
    with font.outlines() as tables:
        glyphs = tables.getGlyphSet()
        name = tables.getBestCmap().get(ord(character))
        if name is None:
            raise DataError(f"font {font.name}: has no outline of {character} (U+{ord(character):04X})")
        recording = DecomposingRecordingPen(glyphs)
        scale = 1 / font.units_per_em
        glyphs[name].draw(TransformPen(recording, (scale, 0, 0, scale, 0, 0)))
        return Outline(tuple(recording.value))


def svg(outline: Outline) -> str:
    """An SVG file of the em box: 1000 units wide and high, y downwards, one path."""
    pen = SVGPathPen(None, ntos=lambda number: f"{number:.1f}".removesuffix(".0"))
    outline.draw(TransformPen(pen, Transform(_SVG_UNITS, 0, 0, -_SVG_UNITS, 0, BASELINE * _SVG_UNITS)))
    box = f"0 0 {_SVG_UNITS} {_SVG_UNITS}"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}"><path d="{pen.getCommands()}"/></svg>\n'


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
