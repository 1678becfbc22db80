"""Fonts made of outlines: FreeType shows in them what was drawn, and programs find their names and measures."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from balancer.errors import ConfigError
from zi2zi_model.data.charsets import load_charset
from zi2zi_model.data.font import Font
from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS
from zi2zi_model.data.glyphs import Pixels, draw_glyph
from zi2zi_model.data.picture_files import write
from zi2zi_model.data.placement import EM_BOX, Placement
from zi2zi_model.drawing.font_file import code_pages, font_bytes, overlap, overlaps, validate
from zi2zi_model.drawing.outlines import Outline, font_outline, trace

CHARACTERS = load_charset("demo")[::8]
SOURCE, TARGET = Font(EMBEDDED_SOURCE), Font(EMBEDDED_TARGETS[0])
PLACEMENT = Placement(0.83, 0.07, 0.78)


@cache
def drawn(font: Font = TARGET, size: int = 64, blur: float = 0) -> dict[str, Pixels]:
    pictures = {}
    for character in CHARACTERS:
        soft = Image.fromarray(draw_glyph(font, character, size, PLACEMENT)).filter(ImageFilter.GaussianBlur(blur))
        pictures[character] = np.asarray(soft)
    return pictures


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("font") / "made.ttf"
    outlines = {c: trace(picture, PLACEMENT) for c, picture in drawn().items()}
    path.write_bytes(font_bytes(outlines, family="我的字", copyright="mine", licence="free", version="1.250"))
    return path


@pytest.mark.parametrize(("size", "blur"), [(64, 0), (64, 1), (256, 0)])
@pytest.mark.parametrize("font", [SOURCE, TARGET], ids=["source", "target"])
def test_the_font_shows_what_was_drawn(tmp_path: Path, font: Font, size: int, blur: float) -> None:
    pictures = drawn(font, size, blur)
    (tmp_path / "a.ttf").write_bytes(font_bytes({c: trace(p, PLACEMENT) for c, p in pictures.items()}, family="A"))
    found = overlaps(tmp_path / "a.ttf", pictures, PLACEMENT)
    assert np.mean([*found.values()]) > 0.97
    assert min(found.values()) > 0.9
    shown = Font(tmp_path / "a.ttf")
    for character in CHARACTERS:  # where the font it was drawn from has it
        assert np.allclose(shown.ink_box(character), font.ink_box(character), atol=0.02), character


def test_strokes_keep_their_weight(made: Path) -> None:
    shown = Font(made)
    ink = [[(255 - p).sum(), (255 - shown.drawn(c, 64, PLACEMENT)).sum()] for c, p in drawn().items()]
    before, after = np.sum(ink, axis=0, dtype=float)
    assert after / before == pytest.approx(1, abs=0.015)


def test_a_shifted_glyph_fails_the_check(tmp_path: Path) -> None:
    moved = Placement(PLACEMENT.scale, PLACEMENT.x + 0.03, PLACEMENT.y)
    (tmp_path / "a.ttf").write_bytes(font_bytes({c: trace(p, moved) for c, p in drawn().items()}, family="A"))
    assert np.mean([*overlaps(tmp_path / "a.ttf", drawn(), PLACEMENT).values()]) < 0.8


def test_blank_and_repeated_glyphs_are_checked_like_others(tmp_path: Path) -> None:
    """A typeface that is read for training leaves them out."""
    (picture, *_), blank = drawn().values(), np.full((64, 64), 255, np.uint8)
    pictures = {**dict.fromkeys("一丁七万丈", picture), "永": blank}
    (tmp_path / "a.ttf").write_bytes(font_bytes({c: trace(p, PLACEMENT) for c, p in pictures.items()}, family="A"))
    found = overlaps(tmp_path / "a.ttf", pictures, PLACEMENT)
    assert found["永"] == 1
    assert min(found.values()) > 0.95


def test_a_fonts_own_outlines_stay_exactly_as_they_are(tmp_path: Path) -> None:
    outlines = {c: font_outline(TARGET, c) for c in CHARACTERS}
    (tmp_path / "own.ttf").write_bytes(font_bytes(outlines, family="Own", units=TARGET.units_per_em))
    ours, theirs = TTFont(tmp_path / "own.ttf"), TARGET.outlines()
    for character in CHARACTERS:
        glyphs = [font["glyf"][font.getBestCmap()[ord(character)]] for font in (ours, theirs)]
        points, ends, on_curve = zip(*(glyph.getCoordinates(None) for glyph in glyphs), strict=True)
        assert [*points[0]] == [*points[1]], character
        assert ends[0] == ends[1], character
        assert on_curve[0] == on_curve[1], character
    pictures = {c: draw_glyph(TARGET, c, 128, EM_BOX) for c in CHARACTERS}
    assert np.mean([*overlaps(tmp_path / "own.ttf", pictures, EM_BOX).values()]) > 0.98


def test_bearings_are_the_glyphs_own(made: Path) -> None:
    font = TTFont(made)
    for name, (_, bearing) in font["hmtx"].metrics.items():
        assert bearing == getattr(font["glyf"][name], "xMin", 0), name
    for name, (height, bearing) in font["vmtx"].metrics.items():
        assert (height, bearing) == (1000, 880 - getattr(font["glyf"][name], "yMax", 0)), name


def test_names_can_be_read_back(made: Path) -> None:
    names = TTFont(made)["name"]
    assert names.getName(1, 3, 1, 0x409).toUnicode() == names.getName(4, 3, 1, 0x409).toUnicode() == "我的字"
    assert names.getDebugName(0) == "mine"
    assert names.getDebugName(13) == "free"
    assert names.getDebugName(5) == "Version 1.250"
    assert names.getDebugName(6) == "Font621176845B57-Regular"


def test_measures_agree_with_each_other(made: Path) -> None:
    font = TTFont(made)
    windows = font["OS/2"]
    assert (font["hhea"].ascent, font["hhea"].descent, font["hhea"].lineGap) == (880, -120, 0)
    assert (windows.sTypoAscender, windows.sTypoDescender, windows.sTypoLineGap) == (880, -120, 0)
    assert windows.usWinAscent >= font["head"].yMax
    assert windows.usWinDescent >= -font["head"].yMin
    assert font["head"].unitsPerEm == 1000
    assert set(map(ord, [*CHARACTERS, " ", "\u3000"])) == set(font.getBestCmap())
    assert windows.fsType == 0
    assert 59 in windows.getUnicodeRanges()  # CJK unified ideographs


def test_widths_are_given_by_character(tmp_path: Path) -> None:
    (tmp_path / "a.ttf").write_bytes(font_bytes({"i": Outline(), "永": Outline()}, family="A", advance={"i": 0.25}))
    font = Font(tmp_path / "a.ttf")
    assert [font.advance(c) for c in "i永 \u3000"] == [0.25, 1, 0.5, 1]


def test_freetype_sets_a_text_in_it(made: Path) -> None:
    text = "".join(CHARACTERS[:4])
    font = ImageFont.truetype(str(made), 64)
    assert font.getlength(text) == 4 * 64
    page = Image.new("L", (4 * 64, 80), 255)
    ImageDraw.Draw(page).text((0, 0), text, fill=0, font=font)
    for cell in np.hsplit(np.asarray(page), 4):
        assert (cell < 128).mean() > 0.05


def test_characters_beyond_the_first_plane(tmp_path: Path) -> None:
    (picture, *_) = drawn().values()
    pictures = {"𠀀": picture, "永": picture}
    (tmp_path / "a.ttf").write_bytes(font_bytes({c: trace(p, PLACEMENT) for c, p in pictures.items()}, family="A"))
    assert {table.format for table in TTFont(tmp_path / "a.ttf")["cmap"].tables} == {4, 12}
    assert overlaps(tmp_path / "a.ttf", pictures, PLACEMENT)["𠀀"] > 0.95


def test_the_same_glyphs_give_the_same_bytes(tmp_path: Path) -> None:
    outlines = {c: trace(picture, PLACEMENT) for c, picture in [*drawn().items()][:5]}
    (tmp_path / "a.ttf").write_bytes(font_bytes(outlines, family="A"))
    (tmp_path / "b.ttf").write_bytes(font_bytes(dict(reversed(outlines.items())), family="A"))
    assert (tmp_path / "a.ttf").read_bytes() == (tmp_path / "b.ttf").read_bytes()


@pytest.mark.parametrize(
    ("charset", "pages"),
    [
        ("gb2312-1", {18}),
        ("gb2312-2", {18}),
        ("big5-1", {20}),
        ("big5-2", {20}),
        ("jis-1", {17}),
        ("demo", {17, 18, 20}),
    ],
)
def test_code_pages_are_those_of_the_charset(charset: str, pages: set[int]) -> None:
    assert code_pages(load_charset(charset)) == pages


def test_code_pages_of_charsets_together_and_of_none(tmp_path: Path) -> None:
    assert code_pages([*load_charset("gb2312-1"), *load_charset("big5-1")]) == {18, 20}
    assert code_pages("abc") == set()
    (tmp_path / "a.ttf").write_bytes(font_bytes({"们": Outline()}, family="A"))
    assert TTFont(tmp_path / "a.ttf")["OS/2"].getCodePageRanges() == {18}


@pytest.mark.parametrize("family", ["", "  ", "x" * 32, "字" * 32, "𠀀" * 16, "a\nb"])
def test_names_that_fonts_cannot_have_are_refused(tmp_path: Path, family: str) -> None:
    with pytest.raises(ConfigError, match="font name"):
        validate(tmp_path / "a.ttf", family)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("version", ["one", "1", "99999.0", "1.000-beta"])
def test_versions_that_are_not_numbers_are_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(ConfigError, match="font version"):
        validate(tmp_path / "a.ttf", "A", version)


@pytest.mark.parametrize("family", ["字" * 31, "x" * 31, "---", "9 Lives", "(a)"])
def test_names_in_postscript_are_what_it_allows(tmp_path: Path, family: str) -> None:
    (tmp_path / "a.ttf").write_bytes(font_bytes({"永": Outline()}, family=family))
    name = TTFont(tmp_path / "a.ttf")["name"].getDebugName(6)
    assert len(name) <= 63
    assert name.isascii()
    assert name.replace("-", "").isalnum()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"--out .*a\.ttf: cannot be written"):
        write(tmp_path / "file" / "a.ttf", font_bytes({"永": Outline()}, family="A"))
    with pytest.raises(ConfigError, match=r"--out .*: is a folder"):
        validate(tmp_path, "A")
    with pytest.raises(ConfigError, match="at least one glyph"):
        font_bytes({}, family="A")
    with pytest.raises(ConfigError, match="65534 at most"):
        font_bytes(dict.fromkeys(map(chr, range(0x20000, 0x30000)), Outline()), family="A")


def test_overlap_counts_ink() -> None:
    one, two = np.full((4, 4), 255, np.uint8), np.full((4, 4), 255, np.uint8)
    one[0], two[0, :2] = 0, 0
    assert overlap(one, two) == 0.5
    assert overlap(one, one) == overlap(one * 0 + 255, two * 0 + 255) == 1.0


@pytest.mark.parametrize("text", ["\udc80", "字" * 70_000])
@pytest.mark.parametrize("what", ["copyright", "licence"])
def test_texts_that_no_font_can_hold_are_refused(what: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"font {what}"):
        font_bytes({"永": Outline()}, family="A", **{what: text})


def test_the_longest_texts_fit_together(tmp_path: Path) -> None:
    text = "𠀀" * 7_500
    (tmp_path / "a.ttf").write_bytes(font_bytes({"永": Outline()}, family="A", copyright=text, licence=text))
    names = TTFont(tmp_path / "a.ttf")["name"]
    assert names.getDebugName(0) == names.getDebugName(13) == text
