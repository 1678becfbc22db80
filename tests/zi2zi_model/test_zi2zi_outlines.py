"""Outlines and fonts made of them: they show what was drawn, where the font had it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from balancer.errors import ConfigError
from zi2zi_model.charsets import load_charset
from zi2zi_model.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS
from zi2zi_model.font_file import check, overlap, write_font
from zi2zi_model.glyphs import EM_BOX, Font, Pixels, Placement, draw_glyph
from zi2zi_model.outlines import Outline, font_outline, svg, trace

CHARACTERS = load_charset("demo")[::4]
TARGET = Font(EMBEDDED_TARGETS[0])
PLACEMENT = Placement(0.83, 0.07, 0.78)


def drawn(size: int = 64, blur: float = 0) -> dict[str, Pixels]:
    pictures = {}
    for character in CHARACTERS:
        picture = draw_glyph(TARGET, character, size, PLACEMENT)
        soft = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(blur))
        pictures[character] = np.asarray(soft)
    return pictures


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("font") / "made.ttf"
    outlines = {c: trace(picture, PLACEMENT) for c, picture in drawn().items()}
    write_font(path, outlines, family="我的字", copyright="mine", licence="free", version="1.250")
    return path


@pytest.mark.parametrize(("size", "blur"), [(64, 0), (64, 1), (128, 0)])
def test_the_font_shows_what_was_drawn(tmp_path: Path, size: int, blur: float) -> None:
    pictures = drawn(size, blur)
    write_font(tmp_path / "a.ttf", {c: trace(p, PLACEMENT) for c, p in pictures.items()}, family="A")
    overlaps = check(tmp_path / "a.ttf", pictures, PLACEMENT)
    assert np.mean([*overlaps.values()]) > 0.97
    assert min(overlaps.values()) > 0.9


def test_a_shifted_glyph_fails_the_check(tmp_path: Path) -> None:
    pictures = drawn()
    moved = Placement(PLACEMENT.scale, PLACEMENT.x + 0.03, PLACEMENT.y)
    write_font(tmp_path / "a.ttf", {c: trace(p, moved) for c, p in pictures.items()}, family="A")
    assert np.mean([*check(tmp_path / "a.ttf", pictures, PLACEMENT).values()]) < 0.8


def test_the_alignment_is_undone(made: Path) -> None:
    font = Font(made)
    for character in CHARACTERS:
        ours, theirs = font.ink_box(character), TARGET.ink_box(character)
        assert np.allclose(ours, theirs, atol=0.02), character


def test_holes_stay_open(tmp_path: Path) -> None:
    """A ring: were its hole wound like its edge, it would be filled."""
    picture = np.full((64, 64), 255, np.uint8)
    picture[12:52, 12:52] = 0
    picture[20:44, 20:44] = 255
    picture[28:36, 28:36] = 0
    write_font(tmp_path / "a.ttf", {"回": trace(picture, EM_BOX)}, family="A")
    assert check(tmp_path / "a.ttf", {"回": picture}, EM_BOX)["回"] > 0.97


def test_left_side_bearings_are_the_glyphs_own(made: Path) -> None:
    font = TTFont(made)
    for name, (_, bearing) in font["hmtx"].metrics.items():
        assert bearing == getattr(font["glyf"][name], "xMin", 0), name


def test_names_and_metrics_can_be_read_back(made: Path) -> None:
    font = TTFont(made)
    names = font["name"]
    assert names.getDebugName(1) == names.getDebugName(4) == "我的字"
    assert names.getDebugName(0) == "mine"
    assert names.getDebugName(13) == "free"
    assert names.getDebugName(5) == "Version 1.250"
    assert names.getDebugName(6).isascii()
    assert (font["hhea"].ascent, font["hhea"].descent, font["head"].unitsPerEm) == (880, -120, 1000)
    assert set(map(ord, [*CHARACTERS, " ", "\u3000"])) == set(font.getBestCmap())
    assert font["hmtx"][font.getBestCmap()[ord(CHARACTERS[0])]][0] == 1000


def test_freetype_sets_a_text_in_it(made: Path) -> None:
    text = "".join(CHARACTERS[:4])
    font = ImageFont.truetype(str(made), 64)
    assert font.getlength(text) == 4 * 64
    page = Image.new("L", (4 * 64, 80), 255)
    ImageDraw.Draw(page).text((0, 0), text, fill=0, font=font)
    for cell in np.hsplit(np.asarray(page), 4):
        assert (cell < 128).mean() > 0.05


def test_the_same_glyphs_give_the_same_bytes(tmp_path: Path) -> None:
    outlines = {c: trace(picture, PLACEMENT) for c, picture in [*drawn().items()][:5]}
    for name in ("a.ttf", "b.ttf"):
        write_font(tmp_path / name, outlines, family="A")
    assert (tmp_path / "a.ttf").read_bytes() == (tmp_path / "b.ttf").read_bytes()


def test_characters_beyond_the_first_plane(tmp_path: Path) -> None:
    write_font(tmp_path / "a.ttf", {"𠀀": trace(drawn()[CHARACTERS[0]], PLACEMENT)}, family="A")
    assert 0x20000 in TTFont(tmp_path / "a.ttf").getBestCmap()


def test_a_fonts_own_outline_is_taken_as_it_is(tmp_path: Path) -> None:
    outlines = {c: font_outline(TARGET, c) for c in CHARACTERS}
    write_font(tmp_path / "own.ttf", outlines, family="Own", units=TARGET.units_per_em)
    pictures = {c: draw_glyph(TARGET, c, 128, EM_BOX) for c in CHARACTERS}
    overlaps = [*check(tmp_path / "own.ttf", pictures, EM_BOX).values()]
    assert np.mean(overlaps) > 0.99
    assert min(overlaps) > 0.97


def test_blank_pictures_have_no_outline(tmp_path: Path) -> None:
    blank = trace(np.full((64, 64), 255, np.uint8), PLACEMENT)
    assert blank == Outline()
    write_font(tmp_path / "a.ttf", {"永": blank}, family="A")
    assert check(tmp_path / "a.ttf", {"永": np.full((64, 64), 255, np.uint8)}, PLACEMENT) == {"永": 1.0}


def test_ink_at_the_edge_is_closed_there() -> None:
    picture = np.full((64, 64), 255, np.uint8)
    picture[:, :20] = 0
    (_, points), *_ = trace(picture, EM_BOX).commands
    across = [x for _, arguments in trace(picture, EM_BOX).commands for x, _ in arguments]
    assert min(across) == pytest.approx(0, abs=0.01)
    assert max(across) == pytest.approx(20 / 64, abs=0.01)
    assert points


def test_svg_shows_the_em_box() -> None:
    text = svg(trace(drawn()[CHARACTERS[1]], PLACEMENT))
    assert text.startswith('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 1000"><path d="M')
    assert text.count("<path") == 1


@pytest.mark.parametrize(("family", "version"), [("", "1.0"), ("x" * 80, "1.0"), ("A", "one")])
def test_names_that_fonts_cannot_have_are_refused(tmp_path: Path, family: str, version: str) -> None:
    with pytest.raises(ConfigError, match=r"font (name|version)"):
        write_font(tmp_path / "a.ttf", {"永": Outline()}, family=family, version=version)
    assert not (tmp_path / "a.ttf").exists()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"--out .*a\.ttf: cannot be written"):
        write_font(tmp_path / "file" / "a.ttf", {"永": Outline()}, family="A")


def test_without_vtracer_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vtracer", None)
    with pytest.raises(ConfigError, match=r"pip install 'balancer\[export\]'"):
        trace(drawn()[CHARACTERS[0]], PLACEMENT)


def test_overlap_counts_ink() -> None:
    one, two = np.full((4, 4), 255, np.uint8), np.full((4, 4), 255, np.uint8)
    one[0], two[0, :2] = 0, 0
    assert overlap(one, two) == 0.5
    assert overlap(one, one) == overlap(one * 0 + 255, two * 0 + 255) == 1.0
    assert Font(EMBEDDED_SOURCE).advance("永") == 1.0
