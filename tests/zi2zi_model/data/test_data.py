"""Training data: what is paired with what, what is held out, what is refused and how."""

from pathlib import Path

import numpy as np
import pytest
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from balancer.errors import DataError
from zi2zi_model.data.charsets import is_held_out, load_charset
from zi2zi_model.data.font import Font
from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS, from_fonts
from zi2zi_model.data.glyphs import draw_glyph
from zi2zi_model.data.pair_data import from_pairs
from zi2zi_model.data.pairs import GlyphData
from zi2zi_model.data.placement import EM_BOX, Placement

DEMO = load_charset("demo")
TARGET = EMBEDDED_TARGETS[0]


def charset_file(folder: Path, characters: str) -> str:
    (folder / "charset.txt").write_text(characters, encoding="utf-8")
    return str(folder / "charset.txt")


def cut_font(path: Path, characters: str) -> Path:
    """The embedded target with these characters only."""
    font = TTFont(TARGET)
    subsetter = Subsetter(Options(notdef_outline=True))
    subsetter.populate(text=characters)
    subsetter.subset(font)
    font.save(path)
    return path


def write_pairs(folder: Path, data: GlyphData, count: int = 40, suffix: str = "png") -> None:
    source, target, _ = data.batch(np.argwhere(data.target_index >= 0)[:count])
    for index, pair in enumerate(zip(target, source, strict=True)):
        Image.fromarray(np.hstack(pair)).save(folder / f"{3 + 4 * (index % 2)}_{index:04d}.{suffix}")


def placements(data: GlyphData) -> tuple[Placement, ...]:
    return tuple(face.placement for face in data.typefaces)


@pytest.fixture(scope="module")
def demo() -> GlyphData:
    return from_fonts(size=32)


def test_the_embedded_fonts_need_no_argument(demo: GlyphData) -> None:
    assert demo.characters == DEMO
    assert demo.source.shape == demo.target.shape == (256, 32, 32)
    assert demo.missing == demo.clipped == {}
    assert len(demo.train_items) + len(demo.held_out_items) == 256
    assert demo.counts["training items"] == len(demo.train_items)
    assert demo.summary[0].startswith("256 characters, 1 style, ")


def test_a_batch_holds_what_the_fonts_draw(demo: GlyphData) -> None:
    items = demo.train_items[[5, 0, 100]]
    source, target, style = demo.batch(items)
    assert source.dtype == target.dtype == np.uint8
    assert style.tolist() == [0, 0, 0]
    for index, (row, _) in enumerate(items):
        for pixels, path, placement in zip((source, target), (EMBEDDED_SOURCE, TARGET), placements(demo), strict=True):
            assert np.array_equal(pixels[index], draw_glyph(Font(path), DEMO[row], 32, placement))


def test_same_settings_give_the_same_data(demo: GlyphData) -> None:
    again = from_fonts(size=32)
    assert np.array_equal(again.source, demo.source)
    assert np.array_equal(again.target, demo.target)
    assert np.array_equal(again.train_items, demo.train_items)


def test_unaligned_fonts_are_drawn_in_their_em_box() -> None:
    assert placements(from_fonts(size=32, align="none")) == (EM_BOX, EM_BOX)


def test_alignment_looks_at_training_characters_only(tmp_path: Path) -> None:
    held = [c for c in DEMO if is_held_out(ord(c), 0.1)]
    whole = from_fonts(size=32)
    without = from_fonts(size=32, charset=charset_file(tmp_path, "".join(c for c in DEMO if c not in held[1:])))
    assert placements(whole) == placements(without)


@settings(max_examples=3)
@given(st.sets(st.sampled_from(DEMO), min_size=60, max_size=80))
def test_no_character_moves_when_characters_are_added(tmp_path_factory: pytest.TempPathFactory, few: set[str]) -> None:
    folder = tmp_path_factory.mktemp("split")
    fewer = from_fonts(size=16, charset=charset_file(folder, "".join(few)), held_out=0.3)
    whole = from_fonts(size=16, held_out=0.3)
    split = dict(zip(whole.characters, whole.held_out.tolist(), strict=True))
    assert dict(zip(fewer.characters, fewer.held_out.tolist(), strict=True)).items() <= split.items()


def test_no_character_moves_when_fonts_are_added(demo: GlyphData, tmp_path: Path) -> None:
    more = from_fonts(targets=[TARGET, cut_font(tmp_path / "half.ttf", "".join(DEMO[:128]))], size=32)
    assert np.array_equal(more.held_out, demo.held_out)


def test_most_characters_are_chosen_alike(demo: GlyphData) -> None:
    few = from_fonts(size=16, max_characters=60)
    assert len(few.characters) == 60
    assert few.characters == from_fonts(size=16, max_characters=60).characters
    assert set(few.characters) < set(from_fonts(size=16, max_characters=90).characters)


def test_glyphs_that_a_style_lacks_are_counted_and_never_trained_on(tmp_path: Path) -> None:
    half = cut_font(tmp_path / "half.ttf", "".join(DEMO[::2]))
    data = from_fonts(targets=[half, TARGET], size=16)
    assert data.styles == ("half.ttf", TARGET.name)
    assert data.missing == {"half.ttf": {"not in the font": "".join(DEMO[1::2])}}
    assert "half.ttf lacks 128 of the characters asked for" in data.summary
    assert len(data.target) == 128 + 256
    rows = [row for row, style in np.vstack([data.train_items, data.held_out_items]) if style == 0]
    assert {data.characters[row] for row in rows} == set(DEMO[::2])


def test_the_embedded_source_takes_of_a_charset_what_it_has() -> None:
    data = from_fonts(size=16, charset="big5-1")
    assert set(data.characters) == set(DEMO)
    assert data.missing == {}


def test_charset_that_no_font_draws(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"source\.ttf: draws none of the 3008 characters of charset gb2312-2"):
        from_fonts(charset="gb2312-2")
    with pytest.raises(DataError, match=r"few\.ttf: draws none of the 255 characters"):
        from_fonts(targets=[cut_font(tmp_path / "few.ttf", "一")], charset=charset_file(tmp_path, "".join(DEMO[1:])))


def test_source_without_target() -> None:
    with pytest.raises(DataError, match="name at least one to imitate"):
        from_fonts(EMBEDDED_SOURCE)


def test_empty_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no held-out characters: hold out a greater share"):
        from_fonts(size=16, held_out=0.0)
    with pytest.raises(DataError, match=rf"style {TARGET.name}: no training characters are left"):
        from_fonts(size=16, held_out=1.0)
    held = next(c for c in DEMO if is_held_out(ord(c), 0.1))
    with pytest.raises(DataError, match=r"style one\.ttf: no training characters are left"):
        from_fonts(targets=[TARGET, cut_font(tmp_path / "one.ttf", held)], size=16)


def test_pairs_come_back_as_they_were_written(demo: GlyphData, tmp_path: Path) -> None:
    write_pairs(tmp_path, demo)
    (tmp_path / "notes.txt").write_text("not a picture")
    pairs = from_pairs(tmp_path, size=32, held_out=0.2)
    assert pairs.styles == ("3", "7")
    order = sorted(range(40), key=lambda index: (index % 2, index))
    assert pairs.characters == tuple(f"{3 + 4 * (index % 2)}_{index:04d}" for index in order)
    assert np.array_equal(pairs.source, demo.source[order])
    assert np.array_equal(pairs.target, demo.target[order])
    assert pairs.held_out.tolist() == [is_held_out(index, 0.2) for index in order]
    source, target, style = pairs.batch(pairs.train_items[-1:])
    row = pairs.train_items[-1, 0]
    assert style.tolist() == [7]
    assert np.array_equal(source[0], demo.source[order[row]])
    assert np.array_equal(target[0], demo.target[order[row]])


def test_pairs_are_resized_and_made_grey(demo: GlyphData, tmp_path: Path) -> None:
    write_pairs(tmp_path, demo, suffix="jpg")
    transparent = Image.new("RGBA", (100, 50))
    transparent.paste("black", (10, 10, 40, 40))
    transparent.paste("black", (60, 10, 90, 40))
    transparent.save(tmp_path / "9_7777.png")
    pairs = from_pairs(tmp_path, size=20, held_out=0.2)
    assert pairs.source.shape == (41, 20, 20)
    assert pairs.source[-1, 0, 0] == 255
    assert pairs.source[-1, 10, 10] == 0
    assert abs(pairs.source[:40].mean() - demo.source[:40].mean()) < 3


def test_unusable_pictures_are_refused_by_name(demo: GlyphData, tmp_path: Path) -> None:
    write_pairs(tmp_path, demo, count=20, suffix="jpg")
    jpeg = (tmp_path / "3_0000.jpg").read_bytes()
    write_pairs(tmp_path, demo, count=20)
    good = (tmp_path / "3_0000.png").read_bytes()
    for path in tmp_path.glob("*.jpg"):
        path.unlink()  # one of each pair is enough
    cases = {
        "3_0100.png": (good[: len(good) // 2], "cannot be read"),
        "3_0100.jpg": (jpeg[: len(jpeg) // 2], "cannot be read"),
        "3_0101.jpg": (b"no picture", "not a PNG or JPEG file"),
        "3_0102.png": (b"GIF89a", "not a PNG or JPEG file"),
        "cover.png": (good, "its name is not like 0_12.png"),
    }
    for name, (content, complaint) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: {complaint}"):
            from_pairs(tmp_path)
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    ("name", "left", "right", "complaint"),
    [
        ("0_1.png", 255, 0, r"left \(target\) half is blank"),
        ("0_2.jpg", 0, 255, r"right \(source\) half is blank"),
    ],
)
def test_blank_halves_are_refused_by_name(tmp_path: Path, name: str, left: int, right: int, complaint: str) -> None:
    picture = Image.new("L", (64, 32), 255)
    picture.paste(left, (8, 8, 24, 24))
    picture.paste(right, (40, 8, 56, 24))
    picture.save(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name}: its {complaint}"):
        from_pairs(tmp_path)


def test_a_picture_that_is_not_a_pair(tmp_path: Path) -> None:
    Image.new("L", (32, 32)).save(tmp_path / "0_1.png")
    with pytest.raises(DataError, match=r"0_1\.png: 32x32 pixels; a pair is twice as wide as high"):
        from_pairs(tmp_path)


def test_a_folder_without_pairs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no pictures named like 0_12\.png"):
        from_pairs(tmp_path)
    with pytest.raises(DataError, match="none: cannot be read: No such file"):
        from_pairs(tmp_path / "none")


def test_styles_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    twin = cut_font(tmp_path / "other" / TARGET.name, "".join(DEMO[:40]))
    with pytest.raises(DataError, match=r"2 targets are called target\.ttf: rename them"):
        from_fonts(targets=[TARGET, twin], size=16)
