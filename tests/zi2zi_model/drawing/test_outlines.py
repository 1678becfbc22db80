"""Outlines: they run around the ink of a picture where a font had it, and are a font's own where it has them."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.areaPen import AreaPen
from fontTools.pens.boundsPen import BoundsPen
from fontTools.pens.pointInsidePen import PointInsidePen
from fontTools.pens.recordingPen import RecordingPen
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.pens.transformPen import TransformPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.svgLib.path import parse_path

from balancer.errors import DataError, MissingExtra
from balancer.extras import extras_named
from zi2zi_model.data.charsets import load_charset
from zi2zi_model.data.font import Font
from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS
from zi2zi_model.data.glyphs import Pixels, draw_glyph
from zi2zi_model.data.placement import EM_BOX, Placement
from zi2zi_model.drawing.outlines import Outline, font_outline, svg, trace

CHARACTERS = load_charset("demo")[::8]
SOURCE, TARGET = Font(EMBEDDED_SOURCE), Font(EMBEDDED_TARGETS[0])
PLACEMENT = Placement(0.83, 0.07, 0.78)


def paper(size: int = 64) -> Pixels:
    return np.full((size, size), 255, np.uint8)


def bounds(outline: Outline) -> tuple[float, float, float, float]:
    """Left, bottom, right, top."""
    pen = BoundsPen(None)
    outline.draw(pen)
    return pen.bounds


def areas(outline: Outline) -> list[float]:
    """Of each contour; below zero where it runs clockwise."""
    found, contour = [], RecordingPen()
    for command in outline.commands:
        contour.value.append(command)
        if command[0] == "closePath":
            pen = AreaPen()
            contour.replay(pen)
            found.append(pen.value)
            contour = RecordingPen()
    return found


def inside(outline: Outline, x: float, y: float) -> bool:
    """By the nonzero rule, which FreeType and SVG use."""
    pen = PointInsidePen(None, (x, y), evenOdd=False)
    outline.draw(pen)
    return bool(pen.getResult())


@pytest.mark.parametrize("font", [SOURCE, TARGET], ids=["source", "target"])
def test_the_alignment_is_undone(font: Font) -> None:
    for character in CHARACTERS:
        ours = bounds(trace(draw_glyph(font, character, 128, PLACEMENT), PLACEMENT))
        theirs = bounds(font_outline(font, character))
        assert np.allclose(ours, theirs, atol=0.02), character
        assert np.abs(np.subtract(ours, theirs)).mean() < 0.01, character


def test_straight_edges_are_where_they_are_drawn_to_a_part_of_a_pixel() -> None:
    picture = paper()
    picture[20:40, 10:50] = 0
    picture[20:40, 9] = 128  # a column half covered
    left, bottom, right, top = bounds(trace(picture, EM_BOX))
    assert left * 64 == pytest.approx(9.5, abs=0.15)
    assert right * 64 == pytest.approx(50, abs=0.15)
    assert (0.88 - top) * 64 == pytest.approx(20, abs=0.15)
    assert (0.88 - bottom) * 64 == pytest.approx(40, abs=0.15)


def test_ink_at_the_edge_is_closed_there() -> None:
    picture = paper()
    picture[:, :20] = 0
    left, bottom, right, top = bounds(trace(picture, EM_BOX))
    assert (left, bottom, right, top) == pytest.approx((0, -0.12, 20 / 64, 0.88), abs=0.005)
    whole = bounds(trace(paper() * 0, EM_BOX))
    assert whole == pytest.approx((0, -0.12, 1, 0.88), abs=0.005)


def test_edges_run_clockwise_and_holes_against_them() -> None:
    """A ring around a dot: were the hole wound like its edge, it would be filled."""
    picture = paper()
    picture[12:52, 12:52] = 0
    picture[20:44, 20:44] = 255
    picture[28:36, 28:36] = 0
    outline = trace(picture, EM_BOX)
    assert sorted(round(area * 64**2 / 64) for area in areas(outline)) == [-25, -1, 9]
    middle = 32 / 64, 0.88 - 32 / 64
    assert inside(outline, *middle)
    assert not inside(outline, middle[0] - 8 / 64, middle[1])
    assert inside(outline, middle[0] - 16 / 64, middle[1])


def test_noise_below_half_coverage_and_specks_are_not_ink() -> None:
    picture = draw_glyph(TARGET, CHARACTERS[0], 128, PLACEMENT)
    dusty = np.minimum(picture, np.random.default_rng(0).integers(160, 256, picture.shape).astype(np.uint8))
    assert len(areas(trace(dusty, PLACEMENT))) == len(areas(trace(picture, PLACEMENT)))
    specked = paper()
    specked[20:40, 10:50] = 0
    specked[3, 3] = specked[60, 30] = 0
    assert len(areas(trace(specked, EM_BOX))) == 1


@pytest.mark.parametrize("shade", [255, 200])
def test_a_picture_without_ink_has_no_outline(shade: int) -> None:
    blank = trace(np.full((64, 64), shade, np.uint8), PLACEMENT)
    assert blank == Outline()
    assert 'd=""' in svg(blank)


def test_svg_shows_the_em_box() -> None:
    """One path, y downwards, in thousandths: the outline comes back out of it."""
    outline = trace(draw_glyph(TARGET, CHARACTERS[1], 64, PLACEMENT), PLACEMENT)
    drawing = ElementTree.fromstring(svg(outline))
    assert drawing.attrib["viewBox"] == "0 0 1000 1000"
    (path,) = drawing
    assert set(path.attrib) == {"d"}
    back = RecordingPen()
    parse_path(path.attrib["d"], TransformPen(back, (0.001, 0, 0, -0.001, 0, 0.88)))
    assert bounds(Outline(tuple(back.value))) == pytest.approx(bounds(outline), abs=1e-4)
    assert areas(Outline(tuple(back.value))) == pytest.approx(areas(outline), abs=1e-4)


def test_without_vtracer_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vtracer", None)
    with pytest.raises(MissingExtra, match=r'vtracer.*pip install "balancer\[export\]"'), extras_named():
        trace(draw_glyph(TARGET, CHARACTERS[0], 64, PLACEMENT), PLACEMENT)


def square(pen: object, side: int, left: int = 0) -> None:
    """Anticlockwise."""
    pen.moveTo((left, 0))
    for point in ((left + side, 0), (left + side, side), (left, side)):
        pen.lineTo(point)
    pen.closePath()


def build(path: Path, *, truetype: bool) -> Font:
    """永 is a square of half an em; 和, in TrueType, is made of two of it, one of half its size."""
    builder = FontBuilder(2048, isTTF=truetype)
    builder.setupGlyphOrder([".notdef", "square", "pair"])
    builder.setupCharacterMap({ord("永"): "square", ord("和"): "pair"})
    if truetype:
        simple, pair = TTGlyphPen(None), TTGlyphPen({"square": None})
        square(simple, 1024)
        pair.addComponent("square", (1, 0, 0, 1, 0, 0))
        pair.addComponent("square", (0.5, 0, 0, 0.5, 1200, 100))
        builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": simple.glyph(), "pair": pair.glyph()})
    else:
        strings = {}
        for name, side in ((".notdef", 0), ("square", 1024), ("pair", 512)):
            pen = T2CharStringPen(2048, None)
            square(pen, side)
            strings[name] = pen.getCharString()
        builder.setupCFF("Test", {}, strings, {})
    builder.setupHorizontalMetrics(dict.fromkeys((".notdef", "square", "pair"), (2048, 0)))
    builder.setupHorizontalHeader(ascent=1802, descent=-246)
    builder.setupNameTable({"familyName": "Test", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return Font(path)


@pytest.mark.parametrize("truetype", [True, False])
def test_a_fonts_own_outline_is_exact(tmp_path: Path, truetype: bool) -> None:
    font = build(tmp_path / "font", truetype=truetype)
    assert bounds(font_outline(font, "永")) == (0, 0, 0.5, 0.5)
    assert areas(font_outline(font, "永")) == [-0.25]
    with pytest.raises(DataError, match="does not draw 一"):
        font_outline(font, "一")


def test_composite_glyphs_are_taken_apart(tmp_path: Path) -> None:
    outline = font_outline(build(tmp_path / "font.ttf", truetype=True), "和")
    assert bounds(outline) == (0, 0, 1712 / 2048, 0.5)
    assert sorted(areas(outline)) == [-0.25, -0.0625]
