"""`.obj` packages made to do harm: nothing in them runs, and none takes all memory, stack or time."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.packages import EXAMPLES, write

from balancer.errors import DataError
from zi2zi_model.data.packages import read_package

OPCODES = b"()]}lda esutK\x01M\x00J\x8aC\x03BUTXIS'\n\x85\x86\x87\x94q\x00hpg\x80\x95.".replace(b" ", b"")


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


def test_builtins_do_not_run_either(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    call = f"open({str(tmp_path / 'ran')!r}, 'w')"
    for data, asked in (
        (b"cbuiltins\neval\n(V" + call.encode() + b"\ntR.", "builtins.eval"),
        (b"(V" + call.encode() + b"\nibuiltins\neval\n.", "builtins.eval"),
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
