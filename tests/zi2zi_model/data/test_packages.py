"""`.obj` packages of zi2zi: what they hold comes out, and damage is said with its place."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.packages import EXAMPLES, as_python_2, write

from balancer.errors import DataError
from zi2zi_model.data.packages import read_package


@pytest.mark.parametrize("protocol", range(6))
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


def test_what_python_2_wrote_is_read(tmp_path: Path) -> None:
    path, every = tmp_path / "a.obj", bytes(range(256))
    path.write_bytes(b"".join(as_python_2(label, every) for label in (0, 3, 70_000)))
    assert [*read_package(path)] == [(0, every), (3, every), (70_000, every)]
    path.write_bytes(b"\x80\x02K\x05U\x04\xff\xd8abq\x00\x86q\x01." + b"\x80\x02M\x00\x02T\x03\x00\x00\x00\xffxy\x86.")
    assert [*read_package(path)] == [(5, b"\xff\xd8ab"), (512, b"\xffxy")]


@pytest.mark.parametrize("protocol", range(3))
def test_every_byte_survives_the_old_protocols_of_python_3(tmp_path: Path, protocol: int) -> None:
    example = (7, bytes(range(256)) + b"\r\n\\u0041\x1a" * 3)
    assert [*read_package(write(tmp_path / "a.obj", example, example, protocol=protocol))] == [example, example]


@pytest.mark.parametrize(
    ("arguments", "function"),
    [
        (b"X\x01\0\0\0aX\x05\0\0\0rot13", b"c_codecs\nencode\n"),
        (b"X\x02\0\0\0\xc4\x80X\x06\0\0\0latin1", b"c_codecs\nencode\n"),
        (b"X\x01\0\0\0aX\x06\0\0\0latin1", b"K\x01"),
        (b"K\x01K\x02", b"c_codecs\nencode\n"),
    ],
)
def test_nothing_else_is_encoded(tmp_path: Path, arguments: bytes, function: bytes) -> None:
    path = tmp_path / "a.obj"
    path.write_bytes(b"\x80\x02K\x01" + function + arguments + b"\x86R\x86.")
    with pytest.raises(DataError, match="record 0 at byte 0: not a pickled example"):
        list(read_package(path))


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


def test_a_large_package_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.obj", *EXAMPLES)
    with pytest.raises(DataError, match=r"bytes, more than the 100 allowed; raise --max-bytes"):
        list(read_package(path, max_bytes=100))
    with pytest.raises(DataError, match="cannot be read: No such file"):
        list(read_package(tmp_path / "none.obj"))
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        list(read_package(tmp_path))
