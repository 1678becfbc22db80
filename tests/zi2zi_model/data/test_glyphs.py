"""Glyphs: what a font really draws, where it is drawn, and that both can be relied on."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont
from hypothesis import assume, given
from hypothesis import strategies as st

from balancer.errors import DataError
from zi2zi_model.data.charsets import load_charset
from zi2zi_model.data.font import Font
from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS
from zi2zi_model.data.glyphs import draw_glyph
from zi2zi_model.data.placement import EM_BOX, FILL, InkBox, Placement, align_to_source, centre_in_frame

TARGETS = EMBEDDED_TARGETS
SOME = load_charset("demo")[::8]


def build_font(path: Path, boxes: dict[str, tuple[int, int, int, int] | None]) -> Path:
    """A font of 1,000 units whose characters are drawn as a filled box, or as nothing; `.notdef` is a box too."""
    glyphs = {".notdef": (100, 0, 900, 800)} | {f"u{ord(c):X}": box for c, box in boxes.items()}
    outlines = {}
    for name, box in glyphs.items():
        pen = TTGlyphPen(None)
        if box is not None:
            left, bottom, right, top = box
            pen.moveTo((left, bottom))
            for point in ((left, top), (right, top), (right, bottom)):
                pen.lineTo(point)
            pen.closePath()
        outlines[name] = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap({ord(c): f"u{ord(c):X}" for c in boxes})
    builder.setupGlyf(outlines)
    builder.setupHorizontalMetrics({name: (1000, box[0] if box else 0) for name, box in glyphs.items()})
    builder.setupHorizontalHeader(ascent=880, descent=-120)
    builder.setupNameTable({"familyName": "Test", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


@pytest.fixture(scope="module")
def box_font(tmp_path_factory: pytest.TempPathFactory) -> Font:
    return Font(build_font(tmp_path_factory.mktemp("font") / "box.ttf", {"永": (200, 100, 700, 600)}))


def ink_edges(pixels: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the ink to a part of a pixel, from the coverage of rows and columns."""
    ink = 1 - pixels.astype(float) / 255
    columns, rows = ink.max(axis=0), ink.max(axis=1)
    across, down = np.nonzero(columns > 0.02)[0], np.nonzero(rows > 0.02)[0]
    return (
        across[0] + 1 - columns[across[0]],
        down[0] + 1 - rows[down[0]],
        across[-1] + columns[across[-1]],
        down[-1] + rows[down[-1]],
    )


@pytest.mark.parametrize("path", [EMBEDDED_SOURCE, *TARGETS], ids=lambda path: path.stem)
def test_embedded_fonts_draw_the_whole_demo_charset(path: Path) -> None:
    assert Font(path).usable(load_charset("demo")) == load_charset("demo")


def test_same_input_gives_the_same_picture() -> None:
    first, second = (draw_glyph(Font(EMBEDDED_SOURCE), "永", 64, EM_BOX) for _ in range(2))
    assert first.shape == (64, 64)
    assert first.dtype == np.uint8
    assert first.min() == 0
    assert first.max() == 255
    assert np.array_equal(first, second)


@given(scale=st.floats(0.6, 1.2), x=st.floats(-0.1, 0.2), y=st.floats(0.7, 0.9), size=st.sampled_from([48, 64, 96]))
def test_a_placement_holds_to_a_part_of_a_pixel(box_font: Font, scale: float, x: float, y: float, size: int) -> None:
    placement = Placement(scale, x, y)
    box = box_font.ink_box("永")
    assume(placement.fits(box))
    left, top, right, bottom = ink_edges(draw_glyph(box_font, "永", size, placement))
    expected = *placement.to_frame(box.left, box.top), *placement.to_frame(box.right, box.bottom)
    assert np.allclose((left, top, right, bottom), np.array(expected) * size, atol=0.3)


@given(st.floats(0.1, 10), st.floats(-2, 2), st.floats(-2, 2), st.floats(-2, 2), st.floats(-2, 2))
def test_to_em_undoes_to_frame(scale: float, x: float, y: float, em_x: float, em_y: float) -> None:
    placement = Placement(scale, x, y)
    assert placement.to_em(*placement.to_frame(em_x, em_y)) == pytest.approx((em_x, em_y), abs=1e-9)


@pytest.mark.parametrize("path", TARGETS, ids=lambda path: path.stem)
def test_alignment_brings_mean_boxes_together(path: Path) -> None:
    source, target = Font(EMBEDDED_SOURCE), Font(path)
    placed = centre_in_frame(source.mean_box(SOME))
    aligned = align_to_source(target.mean_box(SOME), source.mean_box(SOME), placed)

    def mean_edges(font: Font, placement: Placement) -> np.ndarray:
        return np.mean([ink_edges(draw_glyph(font, c, 64, placement)) for c in SOME], axis=0)

    ours, theirs = mean_edges(source, placed), mean_edges(target, aligned)
    assert max(ours[2] - ours[0], ours[3] - ours[1]) == pytest.approx(64 * FILL, abs=0.7)
    assert (ours[:2] + ours[2:]) / 2 == pytest.approx((32, 32), abs=0.5)
    assert (theirs[:2] + theirs[2:]) / 2 == pytest.approx((ours[:2] + ours[2:]) / 2, abs=0.5)
    areas = [(edges[2] - edges[0]) * (edges[3] - edges[1]) for edges in (ours, theirs)]
    assert areas[1] == pytest.approx(areas[0], rel=0.03)


def test_alignment_scales_by_the_geometric_mean_of_width_and_height() -> None:
    wide, high = InkBox(0.1, 0.0, 0.9, 0.2), InkBox(0.2, -0.1, 0.7, 0.7)  # 0.8 by 0.2, and 0.5 by 0.8
    source = Placement(1.25, 0.1, 0.8)
    aligned = align_to_source(high, wide, source)
    assert aligned.scale == pytest.approx(1.25 * math.sqrt((0.8 / 0.5) * (0.2 / 0.8)), rel=1e-12)
    assert aligned.to_frame(*high.centre) == pytest.approx(source.to_frame(*wide.centre), rel=1e-12)


def test_aligning_a_font_with_itself_changes_nothing() -> None:
    box = Font(EMBEDDED_SOURCE).mean_box(SOME)
    placed = centre_in_frame(box)
    again = align_to_source(box, box, placed)
    assert (again.scale, again.x, again.y) == pytest.approx((placed.scale, placed.x, placed.y))


def test_fits_tells_a_glyph_that_is_cut() -> None:
    box = InkBox(0.1, 0.0, 0.9, 0.8)
    assert EM_BOX.fits(box)
    assert not Placement(1.0, 0.2, 0.88).fits(box)
    assert not Placement(1.2, 0.0, 0.88).fits(box)


def test_a_glyph_outside_the_picture_is_refused(box_font: Font) -> None:
    with pytest.raises(DataError, match=r"box\.ttf: 永 falls outside the picture"):
        draw_glyph(box_font, "永", 32, Placement(1.0, 2.0, 0.88))


def test_missing_by_map_by_ink_and_by_tofu(tmp_path: Path) -> None:
    tofu = dict.fromkeys("甲乙丙丁戊", (200, 0, 800, 600))
    variants = dict.fromkeys("戶户", (50, 0, 950, 700))  # drawn alike, and rightly so
    like_notdef = {"口": (100, 0, 900, 800)}
    font = Font(build_font(tmp_path / "f.ttf", {"一": (0, 300, 1000, 400), "空": None} | tofu | variants | like_notdef))
    assert font.usable("戶一空口甲無户") == ("戶", "一", "户")
    for character in "空口甲無":
        with pytest.raises(DataError, match=rf"f\.ttf: does not draw {character}"):
            draw_glyph(font, character, 32, EM_BOX)


def test_tofu_outside_the_ideographs_shows_among_the_characters_asked(tmp_path: Path) -> None:
    font = Font(build_font(tmp_path / "f.ttf", dict.fromkeys("あいうえ", (0, 0, 500, 500)) | {"お": (0, 0, 600, 500)}))
    assert font.usable("あいうえお") == ("お",)


def test_what_is_faint_at_a_small_size_is_drawn(tmp_path: Path) -> None:
    hair, dust = (500, 0, 502, 800), (500, 400, 501, 401)
    font = Font(build_font(tmp_path / "f.ttf", {"丨": hair, "丶": dust, "一": (0, 300, 1000, 400)}))
    assert font.usable("丨丶一") == ("丨", "一")
    assert font.lacking("丶") == {"丶": "blank"}


def test_what_is_nearly_alike_is_no_tofu(tmp_path: Path) -> None:
    near = {character: (0, 0, 600, 500 + 4 * number) for number, character in enumerate("甲乙丙丁戊")}
    font = Font(build_font(tmp_path / "f.ttf", near))
    assert font.usable("甲乙丙丁戊") == tuple("甲乙丙丁戊")


@pytest.mark.parametrize("placement", [EM_BOX, Placement(1.3, -0.2, 1.0), Placement(0.4, 0.31, 0.77)])
@pytest.mark.parametrize("size", [32, 64, 200])
def test_a_picture_does_not_depend_on_what_was_measured_before(size: int, placement: Placement) -> None:
    measured, fresh = Font(EMBEDDED_TARGETS[0]), Font(EMBEDDED_TARGETS[0])
    for character in load_charset("demo")[:8]:
        measured.ink_box(character)
        pictures = [font.drawn(character, size, placement) for font in (measured, fresh)]
        assert np.array_equal(*pictures)
        assert np.ptp(pictures[0]) > 0


def test_face_of_a_collection(tmp_path: Path) -> None:
    collection = TTCollection()
    for name, right in (("a", 300), ("b", 900)):
        collection.fonts.append(TTFont(build_font(tmp_path / f"{name}.ttf", {"一": (0, 300, right, 400)})))
    collection.save(tmp_path / "c.ttc")
    assert Font(tmp_path / "c.ttc").ink_box("一").right == pytest.approx(0.3, abs=0.01)
    second = Font(f"{tmp_path}/c.ttc:1")
    assert second.ink_box("一").right == pytest.approx(0.9, abs=0.01)
    assert second.name == "c.ttc:1"
    with pytest.raises(DataError, match=r"c\.ttc: has no face 2; its faces are 0 to 1"):
        Font(f"{tmp_path}/c.ttc:2")


def test_what_is_not_a_font_is_refused_by_name(tmp_path: Path) -> None:
    data = EMBEDDED_SOURCE.read_bytes()
    for name, content in {
        "text.ttf": b"not a font",
        "empty.ttf": b"",
        "DejaVuSans.ttf": b"damaged, though a font of this name may be installed",
        "cut.ttf": data[:-100],
        "headless.ttf": data[:12] + data[28:],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: damaged, or not TrueType or OpenType"):
            Font(tmp_path / name)


def test_a_font_that_cannot_be_opened_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"none\.ttf: cannot be read: No such file"):
        Font(tmp_path / "none.ttf")
    with pytest.raises(DataError, match="cannot be read"):
        Font(tmp_path)

    def refuse(path: Path, *_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DataError, match=r"source\.ttf: cannot be read: Permission denied"):
        Font(EMBEDDED_SOURCE)
