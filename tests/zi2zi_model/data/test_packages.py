"""`.obj` packages of zi2zi: what they hold comes out, nothing in them runs, and damage is said with its place."""

from __future__ import annotations

import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from balancer.errors import DataError
from zi2zi_model.data.font_data import from_fonts
from zi2zi_model.data.packages import read_package
from zi2zi_model.data.pair_data import from_packages, from_pairs

OPCODES = b"()]}lda esutK\x01M\x00J\x8aC\x03BUTXIS'\n\x85\x86\x87\x94q\x00hpg\x80\x95.".replace(b" ", b"")
EXAMPLES = [(0, b"first"), (7, b"second" * 50), (300, b"\x00\xff third")]


def write(path: Path, *values: Any, protocol: int = 4) -> Path:
    with path.open("wb") as file:
        for value in values:
            pickle.dump(value, file, protocol=protocol)
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_examples_come_out_one_by_one(tmp_path: Path, protocol: int) -> None:
    assert [*read_package(write(tmp_path / "a.obj", *EXAMPLES, protocol=protocol))] == EXAMPLES


@pytest.mark.parametrize(
    "whole",
    [
        EXAMPLES,
        [list(example) for example in EXAMPLES],
        tuple(EXAMPLES),
        dict(EXAMPLES),
        {label: [image] for label, image in EXAMPLES},
        dict(enumerate(EXAMPLES)),
        {f"example {number}": example for number, example in enumerate(EXAMPLES)},
    ],
)
def test_a_single_pickled_list_or_dict_is_the_same(tmp_path: Path, whole: Any) -> None:
    assert [*read_package(write(tmp_path / "a.obj", whole))] == EXAMPLES


def as_python_2(label: int, image: bytes) -> bytes:
    """An example in protocol 0, the default of Python 2, in which zi2zi was first written."""
    text = "".join(chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}" for byte in image)
    return f"(I{label}\nS'{text}'\np1\ntp2\n.".encode()


def test_what_python_2_wrote_is_read(tmp_path: Path) -> None:
    path, every = tmp_path / "a.obj", bytes(range(256))
    path.write_bytes(b"".join(as_python_2(label, every) for label in (0, 3, 70_000)))
    assert [*read_package(path)] == [(0, every), (3, every), (70_000, every)]
    path.write_bytes(b"\x80\x02K\x05U\x04\xff\xd8abq\x00\x86q\x01." + b"\x80\x02M\x00\x02T\x03\x00\x00\x00\xffxy\x86.")
    assert [*read_package(path)] == [(5, b"\xff\xd8ab"), (512, b"\xffxy")]


@pytest.mark.parametrize("protocol", range(3))
def test_old_protocols_of_python_3_need_code_and_are_refused(tmp_path: Path, protocol: int) -> None:
    with pytest.raises(DataError, match=r"record 0 at byte 0: Python 3 wrote .* protocol=4\)"):
        list(read_package(write(tmp_path / "a.obj", *EXAMPLES, protocol=protocol)))


class Runs:
    """Loading it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_runs(tmp_path: Path, protocol: int) -> None:
    path = write(tmp_path / "a.obj", EXAMPLES[0] if protocol > 2 else 1, (1, Runs(tmp_path / "ran")), protocol=protocol)
    if protocol <= 2:
        path = write(tmp_path / "a.obj", (1, Runs(tmp_path / "ran")), protocol=protocol)
    with pytest.raises(DataError, match=rf"asks for {os.name}\.mkdir, which is never loaded"):
        list(read_package(path))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("whole", [EXAMPLES, dict(EXAMPLES)])
def test_a_cut_list_or_dict_gives_nothing(tmp_path: Path, whole: Any) -> None:
    data = pickle.dumps(whole)
    path = tmp_path / "cut.obj"
    for length in range(1, len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(DataError, match=r"cut\.obj: record 0 at byte 0: cut short"):
            list(read_package(path))


def test_a_cut_file_of_python_2_is_an_error(tmp_path: Path) -> None:
    data = as_python_2(*EXAMPLES[2])
    path = tmp_path / "cut.obj"
    for length in range(1, len(data)):
        path.write_bytes(data + data[:length])
        with pytest.raises(DataError, match=rf"record 1 at byte {len(data)}: (cut short|not a pickled)"):
            list(read_package(path))


def test_a_cut_file_is_an_error_that_says_where(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.obj", *EXAMPLES).read_bytes()
    bounds = {len(pickle.dumps(EXAMPLES[0], 4)), len(pickle.dumps(EXAMPLES[0], 4)) + len(pickle.dumps(EXAMPLES[1], 4))}
    path = tmp_path / "cut.obj"
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        if length in bounds:
            assert len([*read_package(path)]) in (1, 2)
            continue
        record = sum(length > bound for bound in bounds)
        with pytest.raises(DataError, match=rf"cut\.obj: record {record} at byte .*(cut short|not a pickled)"):
            list(read_package(path))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"\x80\x04K\x01.", "holds int"),
        (pickle.dumps((True, b"x")), "uses NEWTRUE"),
        (pickle.dumps((-1, b"x")), "not a label"),
        (pickle.dumps((1, "text")), "not a label"),
        (pickle.dumps([(1, b"x"), 5]), "not a label"),
        (pickle.dumps([(1, b"x")] * 2 + [(1, "text")]), "record 2 at byte 0: not a label"),
        (pickle.dumps((1, b"")), "not a label"),
        (pickle.dumps((2**31, b"x")), "not a label"),
        (b"(I01\nS'x'\ntp1\n.", "not a label"),
        (pickle.dumps((1, bytearray(b"x")), 5), "BYTEARRAY8"),
        (pickle.dumps((1, np.zeros(3))), r"asks for numpy\.\S+, which is never loaded"),
        (pickle.dumps((1, np.zeros(3)), 2), r"asks for numpy\.\S+, which is never loaded"),
        (b"c\x1b[31m\nx\n.", r"asks for \\x1b\[31m\.x,"),
        (b"c" + b"m" * 10_000 + b"\nx\n.", "not a pickled example"),
        (b"S" + b"x" * 1_000_000 + b"\n.", "not a pickled example"),
        (b"\x80\x04r\xff\xff\xff\x7f.", "not a pickled example"),
        (b"\x80\x04h\x00.", "not a pickled example"),
        (b"\x80\x09K\x01C\x01x\x86.", "not a pickled example"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.", "damaged, or holds 1,152,921,504,606,846,976 bytes"),
        (b"\x80\x04B\xff\xff\xff\x00x.", "cut short"),
        (b"\x80\x04\x8b\xff\xff\xff\x7f.", "uses LONG4"),
        (b"\x80\x04](K\x00C\x64" + b"x" * 100 + b"\x86\x94" + b"h\x00" * 999 + b"e.", "the same picture many times"),
        (b"\x80\x04]" + b"2" * 9 + b".", "uses DUP"),
        (b"\x80\x04" + b"(" * 50_000 + b".", "not a pickled example"),
        (b"PK\x03\x04 a zip file", "record 0"),
    ],
)  # fmt: skip
def test_what_is_not_a_package_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "a.obj"
    path.write_bytes(data)
    with pytest.raises(DataError, match=said) as refused:
        list(read_package(path))
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 200 + len(str(path))


def test_builtins_do_not_run_either(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    call = f"open({str(tmp_path / 'ran')!r}, 'w')"
    for data, asked in (
        (b"cbuiltins\neval\n(V" + call.encode() + b"\ntR.", "builtins.eval"),
        (b"(V" + call.encode() + b"\nibuiltins\neval\n.", "uses UNICODE"),
        (b"(X" + struct.pack("<I", len(call)) + call.encode() + b"ibuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "builtins.eval"),
        (b"\x80\x04K\x01K\x02\x93.", "a class or function"),
        (b"\x80\x02\x82\x01.", "uses EXT1"),
        (b"Psomewhere\n.", "uses PERSID"),
    ):
        path.write_bytes(pickle.dumps(EXAMPLES[0]) + data)
        with pytest.raises(DataError, match=f"record 1 at byte {len(pickle.dumps(EXAMPLES[0]))}: .*{asked}"):
            list(read_package(path))
    assert not (tmp_path / "ran").exists()


def test_keys_made_to_share_one_hash_take_no_time(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    keys = (((2**61 - 1) * number).to_bytes(12, "little") for number in range(1, 100_000))
    path.write_bytes(b"\x80\x04}(" + b"".join(b"\x8a\x0c" + key + b"C\x01x" for key in keys) + b"u.")
    with pytest.raises(DataError, match="more than the 8 allowed"):  # as a dict they took minutes
        list(read_package(path))


def test_a_list_that_holds_itself_is_refused(tmp_path: Path) -> None:
    itself: list[Any] = []
    itself.append(itself)
    with pytest.raises(DataError, match="not a label"):
        list(read_package(write(tmp_path / "a.obj", itself)))
    with pytest.raises(DataError, match="not a label"):
        list(read_package(write(tmp_path / "a.obj", {0: itself})))


def test_lists_within_lists_do_not_exhaust_the_stack(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    path.write_bytes(b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + b".")
    with pytest.raises(DataError, match="not a label"):
        list(read_package(path))


def test_a_deep_key_does_not_crash_python(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    path.write_bytes(b"\x80\x04})" + b"\x85" * 400_000 + b"K\x01s.")
    with pytest.raises(DataError, match="not a pickled example"):
        list(read_package(path))


def test_small_files_that_would_fill_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zi2zi_model.data.packages._MOST_STEPS", 1000)
    path = tmp_path / "a.obj"
    path.write_bytes(b"\x80\x04](" + b"]" * 2000 + b"e.")
    with pytest.raises(DataError, match="takes more than 1,000 steps"):
        list(read_package(path))


@settings(max_examples=300)
@given(
    st.binary(min_size=1, max_size=60)
    | st.lists(st.sampled_from(list(OPCODES)), min_size=1, max_size=60).map(lambda codes: bytes([*codes, ord(".")])),
    st.integers(0, 40),
)
def test_garbage_is_refused_without_anything_else(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.obj"
    good = pickle.dumps(EXAMPLES[0], 4)
    for data in (noise, good[:at] + noise + good[at:]):
        path.write_bytes(data)
        try:
            for label, image in read_package(path):
                assert isinstance(label, int)
                assert isinstance(image, bytes)
        except DataError:
            pass


def test_a_large_package_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.obj", *EXAMPLES)
    with pytest.raises(DataError, match=r"bytes, more than the 100 allowed; raise --max-bytes"):
        list(read_package(path, max_bytes=100))
    with pytest.raises(DataError, match="cannot be read: No such file"):
        list(read_package(tmp_path / "none.obj"))
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        list(read_package(tmp_path))


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
