"""Damage of an event file costs what it hits, is named with its steps, and the rest is read."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from support.event_files import losses, write
from tensorboard.summary.writer.record_writer import RecordWriter

from balancer.reading.opening import open_source, read
from balancer.record.event_records import Records


def test_what_is_before_a_cut_is_used(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.tfevents", losses(0, 100)).read_bytes()
    for cut in range(1, 400, 7):
        path = tmp_path / "cut.tfevents"
        path.write_bytes(whole[:-cut])
        reader = open_source(str(path))
        history = read(reader)
        assert 90 <= history["d_loss"].count <= 100
        assert reader.source.unread.count in (0, 1)
        if reader.source.unread.count:
            assert reader.source.unread.why == {"a record cut short; nothing after it was read": 1}
        assert history["d_loss"].values.tolist() == list(range(history["d_loss"].count))


def test_a_flipped_bit_costs_one_record_and_is_told_with_its_steps(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfevents", losses(0, 50))
    whole = path.read_bytes()
    for place in range(0, len(whole), 13):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1 :])
        reader = open_source(str(path))
        history = read(reader)
        assert reader.source.unread.count == 1
        ((offset, text),) = reader.source.unread.examples
        assert offset <= place < offset + 60
        found = {(2 if name == "g_loss" else 1, step) for name in history for step in history[name].steps.tolist()}
        lost = {(factor, step) for factor in (1, 2) for step in range(50)} - found
        assert len(lost) <= 1, "none where the file's own header is hit"
        for factor, step in lost:
            neighbours = (step - 1, step) if factor == 1 else (step, step + 1)
            expected = {0: "between steps 0", 49: "after step 49"}.get(step, "between steps {} and {}")
            assert text.startswith(expected.format(*neighbours)) or step in (0, 49), text
        for name, factor in (("d_loss", 1), ("g_loss", 2)):
            assert history[name].values.tolist() == [factor * step for step in history[name].steps.tolist()]


def test_damage_of_any_kind_costs_only_what_it_hits(tmp_path: Path) -> None:
    """Bytes that are overwritten, cut out and put in, and more of them than are read at once."""
    path = write(tmp_path / "a.tfevents", losses(0, 5000))
    whole = path.read_bytes()
    place = len(whole) // 2
    for damaged in (
        whole[:place] + bytes(4096) + whole[place + 4096 :],
        whole[:place] + whole[place + 1000 :],
        whole[:place] + b"?" * (3 << 20) + whole[place:],
    ):
        path.write_bytes(damaged)
        reader = open_source(str(path))
        values = read(reader)["d_loss"]
        assert 5000 - 80 < values.count <= 5000
        assert (values.steps[0], values.last_steps[-1]) == (0, 4999)
        assert reader.source.unread.count == 1


def test_what_follows_is_not_sought_without_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfevents", losses(0, 20))
    os.truncate(path, 1 << 40)
    reader = open_source(str(path))
    assert read(reader)["d_loss"].count == 20
    assert reader.source.unread.why == {"a checksum that is wrong; nothing after it was read": 1}


def test_a_length_that_claims_an_exbibyte_is_not_believed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfevents", losses(0, 20))
    with path.open("ab") as file:
        file.write(struct.pack("<Q", 2**60) + b"\0" * 100)
    reader = open_source(str(path))
    assert read(reader)["d_loss"].count == 20
    assert reader.source.unread.why == {"a checksum that is wrong; nothing after it was read": 1}


def test_records_are_what_tensorboard_reads(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

    path = tmp_path / "a.tfevents"
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for length in [*range(0, 200), 1000, 4095, 4096, 4097, 5000, 3 << 20, 7]:
            writer.write(bytes(index % 251 for index in range(length)))
    records = Records(lambda: path.open("rb"))
    assert [payload for block in records.blocks() for payload in block.payloads] == list(
        RawEventFileLoader(str(path)).Load()
    )
    assert records.gaps == []


def test_a_record_too_long_for_figures_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.tfevents"
    with path.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(b"before")
        file.write(_long_record(17 << 20))
        writer.write(b"after")
    records = Records(lambda: path.open("rb"))
    assert [payload for block in records.blocks() for payload in block.payloads] == [b"before", b"after"]
    assert records.gaps == []


def _long_record(length: int) -> bytes:
    """A record of zeros, without the checksum that is not looked at; in pure Python it would take half a minute."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    head = struct.pack("<Q", length)
    return head + struct.pack("<I", masked_crc32c(head)) + b"\0" * (length + 4)
