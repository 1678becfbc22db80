"""Folders of glyph pictures: which character each is, and that they stand like a font's glyphs."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from balancer.errors import DataError
from zi2zi_model.data.charsets import load_charset
from zi2zi_model.data.font import Font
from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS, from_fonts
from zi2zi_model.data.glyphs import draw_glyph, reframe
from zi2zi_model.data.pictures import Pictures
from zi2zi_model.data.placement import EM_BOX, Placement

SOME = load_charset("demo")[::3]
FONT = Font(EMBEDDED_TARGETS[0])


def write(folder: Path, names: str | tuple[str, ...] = SOME, side: int = 512, font: Font = FONT) -> Path:
    folder.mkdir(exist_ok=True)
    for character in names:
        Image.fromarray(draw_glyph(font, character, side, EM_BOX)).save(folder / f"{character}.png")
    return folder


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds no pixels."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        png += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc32(kind + body))
    return png


def test_a_folder_named_by_decimal_code_points_is_read(tmp_path: Path) -> None:
    plain = Pictures(write(tmp_path / "plain"))
    folder = write(tmp_path / "ports")
    for path in [*folder.iterdir()]:
        path.rename(folder / f"{ord(path.stem)}.png")
    ports = Pictures(folder)
    assert ports.characters == plain.characters == tuple(sorted(SOME))
    assert ports.identity() == plain.identity()


def test_pictures_of_a_font_are_like_the_font(tmp_path: Path) -> None:
    pictures = Pictures(write(tmp_path / "mine"))
    placement = Placement(0.83, 0.07, 0.78)
    assert pictures.usable(["龘", *SOME]) == SOME
    assert pictures.lacking(["龘"]) == {"龘": "no picture"}
    for character in SOME:
        assert np.allclose(pictures.ink_box(character), FONT.ink_box(character), atol=1.5 / 256)
        drawn, meant = (draw_glyph(face, character, 64, placement).astype(float) for face in (pictures, FONT))
        # 3.4 of 255 at most was measured: a font is drawn at 256 pixels per em, where its hints still act.
        assert np.abs(drawn - meant).mean() < 4, character
    assert np.allclose(pictures.mean_box(SOME), FONT.mean_box(SOME), atol=1 / 256)


@pytest.mark.parametrize("font", [FONT, Font(EMBEDDED_SOURCE)], ids=lambda font: font.name)
@pytest.mark.parametrize("placement", [Placement(0.83, 0.07, 0.78), Placement(1.1, -0.04, 0.9)])
def test_pictures_of_fine_drawings_stand_where_the_font_does(tmp_path: Path, font: Font, placement: Placement) -> None:
    pictures = Pictures(write(tmp_path / "mine", SOME[:40], font=font))
    for character in SOME[:40]:
        drawn = draw_glyph(pictures, character, 64, placement).astype(float)
        # At 512 pixels a font is drawn at 512 pixels per em or more, where grid fitting moves little.
        fine = reframe(draw_glyph(font, character, 512, placement), EM_BOX, EM_BOX, 64)
        # At most 1.1 on average and 22 at one pixel of 255 were measured.
        assert np.abs(drawn - fine).mean() < 1.5, character
        assert np.abs(drawn - fine).max() < 30, character
        if font is not FONT:  # at most 0.6 was measured; FONT is drawn otherwise at 256 pixels per em
            assert np.abs(drawn - draw_glyph(font, character, 64, placement)).mean() < 1, character


def test_a_folder_is_a_style_to_learn(tmp_path: Path) -> None:
    drawn, font = from_fonts(targets=[write(tmp_path / "mine")]), from_fonts()
    assert drawn.styles == ("mine",)
    assert set(drawn.characters) == set(SOME)
    rows = [font.characters.index(character) for character in drawn.characters]
    assert np.abs(drawn.target[drawn.target_index[:, 0]].astype(float) - font.target[rows]).mean() < 3
    assert drawn.missing["mine"]["no picture"] == "".join(c for c in font.characters if c not in SOME)


def test_kinds_of_pictures(tmp_path: Path) -> None:
    grey = Image.fromarray(draw_glyph(FONT, "永", 128, EM_BOX))
    ink = grey.point(lambda value: 255 - value)
    clear = Image.merge("LA", (Image.new("L", grey.size), ink))
    blue = Image.merge("RGBA", (*Image.new("RGB", grey.size, "black").split(), ink))
    blue.paste((0, 0, 255, 0), (0, 0, 128, 2))  # a colour that is wholly transparent
    mapped = ImageOps.invert(grey).convert("P")  # with another palette, and one entry for each step of transparency
    mapped.putpalette([0] * 768)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    turned = grey.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    for name, picture, options in (
        ("grey.png", grey, {}),
        ("rgb.png", grey.convert("RGB"), {}),
        ("palette.png", grey.convert("P"), {}),
        ("clear.png", clear, {}),
        ("coloured and clear.png", blue, {}),
        ("palette with transparency.png", mapped, {"transparency": bytes(range(256))}),
        ("cmyk.jpg", grey.convert("CMYK"), {"quality": 98}),
        ("grey.jpeg", grey, {"quality": 98}),
        ("LOUD.PNG", grey, {}),
        ("deep.png", deep, {}),
        ("turned.jpg", turned, {"exif": exif, "quality": 98}),
    ):
        folder = tmp_path / name
        folder.mkdir()
        picture.save(folder / f"永{folder.suffix}", **options)
        shown = Pictures(folder).drawn("永", 128, EM_BOX)
        assert np.abs(shown.astype(float) - np.asarray(grey)).mean() < 2, name


def test_what_is_not_square_gets_paper_at_both_sides(tmp_path: Path) -> None:
    square = draw_glyph(FONT, "永", 128, EM_BOX)
    assert np.concatenate([square[:, :4], square[:, -4:], square[:4].T, square[-4:].T]).min() == 255
    for cut in (square[:, 4:-4], square[4:-4]):
        Image.fromarray(cut).save(tmp_path / "永.png")
        assert np.array_equal(Pictures(tmp_path).drawn("永", 128, EM_BOX), square)
        assert np.allclose(Pictures(tmp_path).ink_box("永"), FONT.ink_box("永"), atol=2 / 128)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    def refused(said: str) -> None:
        with pytest.raises(DataError, match=said):
            Pictures(tmp_path).ink_box("永")

    refused("holds no pictures")
    path = tmp_path / "永.png"
    Image.new("L", (64, 64), 255).save(path)
    assert Pictures(tmp_path).lacking("永") == {"永": "blank"}
    refused("no picture of 永")
    Image.fromarray(255 - draw_glyph(FONT, "永", 64, EM_BOX)).save(path)
    refused(r"永\.png: its edge is dark; invert it")
    path.write_bytes(path.read_bytes()[:200])
    refused(r"永\.png: cannot be read")
    path.write_bytes(b"text")
    refused(r"永\.png: not a PNG or JPEG")
    Image.new("L", (5000, 5000), 255).save(path)
    refused(r"永\.png: 5000x5000 pixels; make it smaller")
    Image.new("L", (10_000, 10_000), 255).save(path)  # of which Pillow warns
    refused(r"永\.png: 10000x10000 pixels; make it smaller")
    Image.new("L", (1, 100_000), 255).save(path)  # few pixels, but many as a square
    refused(r"永\.png: 1x100000 pixels; make it smaller")
    path.write_bytes(png_header(50_000, 50_000))
    refused(r"永\.png: cannot be read: .* decompression bomb")
    faint = Image.new("L", (64, 64), 255)
    faint.paste(215, (20, 20, 40, 40))
    faint.save(path)
    refused("no picture of 永")
    grey_paper = Image.new("L", (64, 64), 180)
    grey_paper.paste(10, (20, 20, 40, 40))
    grey_paper.save(path)
    refused(r"永\.png: its edge is dark; invert it, or brighten it until paper is white")
    Image.new("L", (64, 64), 255).save(tmp_path / "U+6C38.png")
    refused(r"U\+6C38\.png and 永\.png are both 永; remove one")
    (tmp_path / "U+6C38.png").rename(tmp_path / "scan1.png")
    refused(r"scan1\.png: its name tells no character; name it like")
    (tmp_path / "scan1.png").unlink()
    path.unlink()
    path.mkdir()
    refused(r"永\.png: cannot be read: Is a directory")
    with pytest.raises(DataError, match="cannot be read"):
        Pictures(tmp_path / "none")


@pytest.mark.parametrize("stem", [b"\xff", b"\xa5\xc3"])  # the second is 永 in Big5
def test_a_name_that_is_not_text_is_refused(tmp_path: Path, stem: bytes) -> None:
    try:
        (tmp_path / os.fsdecode(stem + b".png")).touch()
    except OSError:
        pytest.skip("the file system takes no such name")
    with pytest.raises(DataError, match="its name tells no character"):
        Pictures(tmp_path)


@settings(max_examples=300)
@given(st.sampled_from(["PNG", "JPEG"]), st.integers(0, 2000), st.binary(max_size=4), st.booleans())
def test_damage_is_refused_by_name_or_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, kind: str, at: int, noise: bytes, cut: bool
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(draw_glyph(FONT, "永", 32, EM_BOX)).save(file, kind, exif=exif)
    data = file.getvalue()
    at %= len(data)
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    (folder / "永.png").write_bytes(data[:at] + noise + (b"" if cut else data[at + len(noise) :]))
    try:
        Pictures(folder).usable("永")
    except DataError as error:
        assert "永.png" in str(error)


def test_what_macos_leaves_beside_pictures_is_passed_over(tmp_path: Path) -> None:
    (write(tmp_path / "mine", SOME[:2]) / f"._{SOME[0]}.png").write_bytes(b"\x00\x05\x16\x07")
    assert Pictures(tmp_path / "mine").usable(SOME) == SOME[:2]


def test_a_changed_picture_is_another_typeface(tmp_path: Path) -> None:
    first = Pictures(write(tmp_path / "mine", SOME[:5])).identity()
    assert Pictures(tmp_path / "mine").identity() == first
    (tmp_path / "mine" / f"{SOME[0]}.png").rename(tmp_path / "mine" / f"U+{ord(SOME[0]):04X}.png")
    assert Pictures(tmp_path / "mine").identity() == first
    Image.fromarray(draw_glyph(FONT, SOME[7], 256, EM_BOX)).save(tmp_path / "mine" / f"{SOME[1]}.png")
    assert Pictures(tmp_path / "mine").identity() != first


def test_one_bit_of_a_picture_makes_another_typeface(tmp_path: Path) -> None:
    path = write(tmp_path / "mine", SOME[:2], side=32) / f"{SOME[0]}.png"
    first, contents = Pictures(tmp_path / "mine").identity(), path.read_bytes()
    for at in (0, len(contents) // 2, len(contents) - 1):
        path.write_bytes(contents[:at] + bytes([contents[at] ^ 1]) + contents[at + 1 :])
        assert Pictures(tmp_path / "mine").identity() != first
    path.write_bytes(contents)
    assert Pictures(tmp_path / "mine").identity() == first


def test_the_order_in_which_a_disk_lists_pictures_does_not_matter(tmp_path: Path) -> None:
    one, other = Pictures(write(tmp_path / "a", SOME[:9], 32)), Pictures(write(tmp_path / "b", SOME[8::-1], 32))
    assert one.characters == other.characters == tuple(sorted(SOME[:9]))
    assert one.identity() == other.identity()


def test_pictures_swapped_between_characters_are_another_typeface(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", SOME[:2], side=32)
    first = Pictures(folder).identity()
    one, other = (folder / f"{character}.png" for character in SOME[:2])
    one.rename(folder / "between")
    other.rename(one)
    (folder / "between").rename(other)
    assert Pictures(folder).identity() != first
