"""Training pairs from packages and from folders: who is held out, and which pictures are refused."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.packages import as_python_2, write

from balancer.errors import DataError
from zi2zi_model.data.font_data import from_fonts
from zi2zi_model.data.packages import read_package
from zi2zi_model.data.pair_data import from_packages, from_pairs

DATA = from_fonts(size=32, max_characters=60)
GLYPHS = DATA.source


def pair(target: Any, source: Any, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.hstack([target, source])).save(file, kind)
    return file.getvalue()


def packed(folder: Path, name: str, styles: int = 2, first: int = 0, last: int = 40) -> Path:
    """Pairs of the demo glyphs as zi2zi packs them: each character in every style."""
    pairs = (pair(DATA.target[row], DATA.source[row]) for row in range(first, last))
    return write(folder / name, *((2 * style + 1, image) for image in pairs for style in range(styles)))


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pictures_survive_packing(tmp_path: Path, protocol: int, kind: str) -> None:
    examples = [(row, pair(DATA.target[row], DATA.source[row], kind)) for row in range(5)]
    assert [*read_package(write(tmp_path / "a.obj", *examples, protocol=protocol))] == examples
    (tmp_path / "b.obj").write_bytes(b"".join(as_python_2(*example) for example in examples))
    assert [*read_package(tmp_path / "b.obj")] == examples


def test_one_character_is_on_one_side_in_every_style(tmp_path: Path) -> None:
    data = from_packages([packed(tmp_path, "train.obj")], size=32, held_out=0.3)
    assert data.styles == ("1", "3")
    assert data.labels == (1, 3)
    held = data.held_out.reshape(-1, 2)
    assert (held[:, 0] == held[:, 1]).all()
    assert 0 < held.mean() < 1
    assert data.characters[:2] == ("train 0", "train 1")
    _, _, labels = data.batch(data.train_items)
    assert set(labels.tolist()) == {1, 3}


def test_a_validation_package_is_what_is_held_out(tmp_path: Path) -> None:
    train, validation = packed(tmp_path, "train.obj"), packed(tmp_path, "val.obj", first=40, last=50)
    data = from_packages([train], [validation], size=32)
    assert data.held_out.tolist() == [False] * 80 + [True] * 20


def test_a_picture_that_cannot_be_read_is_named_by_its_record(tmp_path: Path) -> None:
    good = [(0, pair(GLYPHS[0], GLYPHS[1]))] * 2
    for bad, said in (
        (b"no picture", "not a PNG or JPEG"),
        (good[0][1][:100], "cannot be read"),
        (pair(GLYPHS[0], np.full((32, 32), 255, np.uint8)), r"its right \(source\) half is blank"),
    ):
        with pytest.raises(DataError, match=rf"package .*a\.obj: record 2: {said}"):
            from_packages([write(tmp_path / "a.obj", *good, (0, bad))], size=32)
    with pytest.raises(DataError, match=r"a\.obj: holds no pictures"):
        from_packages([write(tmp_path / "a.obj", [])], size=32)


def test_a_package_whose_name_is_not_text_is_read(tmp_path: Path) -> None:
    path = packed(tmp_path, "train.obj")
    try:
        path = path.rename(tmp_path / os.fsdecode(b"\xa5\xc3.obj"))
    except OSError:
        pytest.skip("the file system takes no such name")
    data = from_packages([path], size=32)
    assert data.characters[0] == "?? 0"
    assert data.record["training items"] == len(data.train_items)


def smooth(rng: np.random.Generator, side: int) -> Any:
    """Something of a side's length that reaches all edges."""
    return np.asarray(Image.fromarray(rng.integers(0, 256, (9, 9), np.uint8)).resize((side, side)))


@pytest.mark.parametrize("side", [32, 100, 256])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_what_a_source_was_paired_with_does_not_move_it(tmp_path: Path, kind: str, side: int) -> None:
    rng = np.random.default_rng(0)
    sources = [smooth(rng, side) for _ in range(20)]
    styles = [[(label, pair(smooth(rng, side), source, kind)) for source in sources] for label in range(2)]
    data = from_packages([write(tmp_path / "a.obj", *styles[0], *styles[1])], size=16, held_out=0.5)
    held = data.held_out.reshape(2, 20)
    assert held[0].tolist() == held[1].tolist()
    assert 0 < held.mean() < 1
    large = from_packages([tmp_path / "a.obj"], size=32, held_out=0.5)
    assert np.array_equal(large.held_out, data.held_out)
    if kind == "PNG":  # a half is resized without a look at the other
        assert np.array_equal(data.source[:20], data.source[20:])


def test_pairs_of_16_bits_keep_their_greys(tmp_path: Path) -> None:
    shallow, deep = tmp_path / "shallow", tmp_path / "deep"
    for folder, factor, kind in ((shallow, 1, "uint8"), (deep, 257, "uint16")):
        folder.mkdir()
        for index in range(20):
            pixels = np.hstack([GLYPHS[index], GLYPHS[index + 1]]).astype(kind) * factor
            Image.fromarray(pixels).save(folder / f"0_{index}.png")
    expected, read = (from_pairs(folder, size=24, held_out=0.3) for folder in (shallow, deep))
    assert np.array_equal(read.source, expected.source)
    assert np.array_equal(read.target, expected.target)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("0_7.jpg", r"0_7\.jpg and 0_7\.png are one label and index; remove one"),
        ("00_007.png", r"00_007\.png and 0_7\.png are one label and index; remove one"),
        (f"{10**25}_1.png", "its name is not like 0_12.png"),
        ("０_1.png", "its name is not like 0_12.png"),
    ],
)
def test_names_of_pairs_that_are_refused(tmp_path: Path, name: str, said: str) -> None:
    for index in range(9):
        (tmp_path / f"0_{index}.png").write_bytes(pair(GLYPHS[0], GLYPHS[1]))
    (tmp_path / name).write_bytes(pair(GLYPHS[0], GLYPHS[1]))
    with pytest.raises(DataError, match=said):
        from_pairs(tmp_path, size=32)


def test_pairs_too_large_are_refused(tmp_path: Path) -> None:
    Image.new("L", (9000, 4500), 255).save(tmp_path / "0_1.png")
    with pytest.raises(DataError, match=r"0_1\.png: 9000x4500 pixels; make it smaller"):
        from_pairs(tmp_path, size=32)
