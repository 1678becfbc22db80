"""Data-set folders: what was built comes back, every change is noticed, and what is in them can be read off."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from balancer.errors import DataError
from zi2zi_model.data import dataset
from zi2zi_model.data import report as data_report
from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS, from_fonts
from zi2zi_model.data.pair_data import from_pairs
from zi2zi_model.data.pairs import GlyphData

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def data() -> GlyphData:
    return from_fonts(targets=[EMBEDDED_TARGETS[0], EMBEDDED_SOURCE], size=32, max_characters=60)


@pytest.fixture(scope="module")
def built(data: GlyphData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "set"
    dataset.save(data, folder)
    return folder


def test_what_was_built_comes_back(data: GlyphData, built: Path) -> None:
    again = dataset.load(built)
    for name in ("source", "target", "target_index", "held_out"):
        assert np.array_equal(getattr(again, name), getattr(data, name))
    assert again.record == data.record
    assert again.typefaces == data.typefaces
    assert again.summary == data.summary


def test_pairs_come_back(data: GlyphData, tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    for index in range(40):
        pair = np.hstack([data.target[data.target_index[index, 0]], data.source[index]])
        Image.fromarray(pair).save(tmp_path / "pairs" / f"3_{index}.png")
    pairs = from_pairs(tmp_path / "pairs", size=32)
    dataset.save(pairs, tmp_path / "set")
    assert dataset.load(tmp_path / "set").record == pairs.record


@settings(max_examples=60)
@given(st.sampled_from([dataset.MANIFEST, dataset.GLYPHS]), st.integers(0), st.integers(0, 7))
def test_a_flipped_bit_is_noticed(
    built: Path, tmp_path_factory: pytest.TempPathFactory, name: str, at: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("flip") / "set"
    shutil.copytree(built, folder)
    contents = bytearray((folder / name).read_bytes())
    contents[at % len(contents)] ^= 1 << bit
    (folder / name).write_bytes(contents)
    with pytest.raises(DataError, match=rf"data set .*{name} was changed or damaged since it was made; build it again"):
        dataset.load(folder)


def test_a_cut_file_is_noticed(built: Path, tmp_path: Path) -> None:
    for name in (dataset.MANIFEST, dataset.GLYPHS):
        folder = tmp_path / name
        shutil.copytree(built, folder)
        contents = (folder / name).read_bytes()
        for length in (0, 1, len(contents) // 2, len(contents) - 2):  # the last byte of the manifest ends its line
            (folder / name).write_bytes(contents[:length])
            with pytest.raises(DataError, match=rf"{name} was changed or damaged"):
                dataset.load(folder)


def test_the_same_data_gives_the_same_bytes(data: GlyphData, built: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()  # an empty folder may be there
    dataset.save(data, tmp_path / "set")
    for name in (dataset.MANIFEST, dataset.GLYPHS):
        assert (tmp_path / "set" / name).read_bytes() == (built / name).read_bytes()


def forge(folder: Path, glyphs: bytes | None = None, **changed: Any) -> None:
    """Write what a changed manifest would be if this version had made it."""
    body = json.loads((folder / dataset.MANIFEST).read_bytes())
    del body["sha256"]
    body.update(changed)
    if glyphs is not None:
        body["glyphs"]["sha256"] = hashlib.sha256(glyphs).hexdigest()
        (folder / dataset.GLYPHS).write_bytes(glyphs)
    seal = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    (folder / dataset.MANIFEST).write_text(json.dumps({**body, "sha256": seal}), encoding="utf-8")


def test_an_archive_that_only_its_hash_fits_is_refused(built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(built, folder)
    whole = (folder / dataset.GLYPHS).read_bytes()
    # Headers of the first member and of the directory, the pictures between them, and a file cut short.
    places = [*range(60), *range(60, len(whole), len(whole) // 60), *range(len(whole) - 90, len(whole))]
    for at in places:
        for end in (at + 1, len(whole)):
            forge(folder, whole[:at] + bytes([255 - whole[at]]) + whole[end:])
            try:
                dataset.load(folder)
            except DataError as error:
                assert f"{dataset.GLYPHS} was changed or damaged" in str(error)


@pytest.mark.parametrize("glyphs", [b"", b"text", b"PK\x05\x06" + b"\0" * 18, b"\x80\x04N.", b"\x93NUMPY\x01\x00"])
def test_what_is_not_an_archive_is_refused(built: Path, tmp_path: Path, glyphs: bytes) -> None:
    shutil.copytree(built, tmp_path / "set")
    forge(tmp_path / "set", glyphs)
    with pytest.raises(DataError, match=r"glyphs\.npz was changed or damaged"):
        dataset.load(tmp_path / "set")


def test_a_later_format_is_said_to_be_one(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "set")
    forge(tmp_path / "set", format=2)
    with pytest.raises(DataError, match="has format 2, and this version reads 1"):
        dataset.load(tmp_path / "set")


def test_a_path_that_is_not_text_is_kept(data: GlyphData, tmp_path: Path) -> None:
    face = replace(data.typefaces[1], name="\udca5\udcc3.ttf", path="/fonts/\udca5\udcc3.ttf")  # 永 in Big5
    named = replace(data, typefaces=(data.typefaces[0], face, data.typefaces[2]))
    dataset.save(named, tmp_path / "set")
    assert dataset.load(tmp_path / "set").typefaces == named.typefaces


def test_a_full_disk_leaves_no_half_of_a_data_set(data: GlyphData, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    large = replace(data, missing={"target.ttf": {"blank": "永" * 300_000}})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))  # the pictures fit, the manifest does not
    try:
        with pytest.raises(DataError, match="set: cannot be written: File too large"):
            dataset.save(large, tmp_path / "set")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "set").exists()
    dataset.save(large, tmp_path / "set")
    assert dataset.load(tmp_path / "set").missing == large.missing


def test_files_of_two_data_sets_do_not_go_together(data: GlyphData, built: Path, tmp_path: Path) -> None:
    other = replace(data, held_out=data.held_out[::-1].copy())  # as many pictures, another split
    dataset.save(other, tmp_path / "set")
    shutil.copy(built / dataset.MANIFEST, tmp_path / "set")
    with pytest.raises(DataError, match=r"glyphs\.npz was changed"):
        dataset.load(tmp_path / "set")


def test_changes_by_hand_are_noticed(data: GlyphData, built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(built, folder)
    text = (folder / dataset.MANIFEST).read_text(encoding="utf-8")
    (folder / dataset.MANIFEST).write_text(text.replace(data.characters[0], "龘"), encoding="utf-8")
    with pytest.raises(DataError, match=r"dataset\.json was changed"):
        dataset.load(folder)
    (folder / dataset.MANIFEST).write_text("[]")
    with pytest.raises(DataError, match=r"dataset\.json was changed"):
        dataset.load(folder)
    (folder / dataset.MANIFEST).write_text(text, encoding="utf-8")
    other = tmp_path / "other"
    dataset.save(from_fonts(size=32, max_characters=50), other)
    shutil.copy(other / dataset.GLYPHS, folder)
    with pytest.raises(DataError, match=r"glyphs\.npz was changed"):
        dataset.load(folder)
    (folder / dataset.GLYPHS).unlink()
    with pytest.raises(DataError, match=r"glyphs\.npz cannot be read"):
        dataset.load(folder)
    with pytest.raises(DataError, match="no data set there"):
        dataset.load(tmp_path)


def test_a_folder_in_use_is_left_alone(data: GlyphData, built: Path, tmp_path: Path) -> None:
    before = (built / dataset.MANIFEST).read_bytes()
    with pytest.raises(DataError, match="exists already; choose another --out"):
        dataset.save(data, built)
    assert (built / dataset.MANIFEST).read_bytes() == before
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be written"):
        dataset.save(data, tmp_path / "file" / "set")


def test_figures_say_what_is_there(data: GlyphData) -> None:
    figures = data_report.report(data)
    assert figures["characters"] == 60
    style = figures["style"]["target.ttf"]
    assert style["training"] + style["held out"] == 60
    assert style["coverage"]["big5-1"] == pytest.approx(60 / 5401)
    assert style["repeated"] == []
    assert 0 < style["ink"]["least"] < style["ink"]["mean"] < style["ink"]["most"] < 1
    # Aligned: the mean boxes of source and target have the same area.
    boxes = [figures["source"]["box"], style["box"]]
    assert boxes[0]["width"] * boxes[0]["height"] == pytest.approx(boxes[1]["width"] * boxes[1]["height"], rel=0.1)


def test_repeated_glyphs_are_found(data: GlyphData) -> None:
    target = data.target.copy()
    target[data.target_index[5, 0]] = target[data.target_index[9, 0]]
    twice = replace(data, target=target)
    assert data_report.report(twice)["style"]["target.ttf"]["repeated"] == [[data.characters[5], data.characters[9]]]


def test_building_showing_and_training(tmp_path: Path, cli: Cli) -> None:
    folder = tmp_path / "set"
    text = tmp_path / "mine.txt"
    text.write_text("永和井今凶匹反少引斤比父丙乏他凹包去叫囚巨弘旦玄用皿禾伊件先龘", encoding="utf-8")
    build = ["zi2zi", "data", "build", "--targets", EMBEDDED_TARGETS[0], "--source", EMBEDDED_SOURCE]
    result = cli(*build, "--charset", text, "--held-out", "0.2", "--out", folder)
    assert result.status == 0, result.err
    assert "lacks 1 of the characters asked for" in result.out
    shown = cli("zi2zi", "data", "show", folder)
    assert "source.ttf lacks 1 asked for (not in the font): 龘" in shown.out
    assert "drawn alike" not in shown.out
    with Image.open(folder.with_name("set.png")) as sheet:
        assert sheet.width > 100
    figures = json.loads(cli("zi2zi", "data", "show", folder, "--out", tmp_path / "s.png", "--json").out)
    assert figures["missing"]["target.ttf"] == {"not in the font": "龘"}
    run = tmp_path / "run"
    train = ["train", "--plugins", "", "--steps", "2", "--quiet", "--device", "cpu"]
    assert cli(*train, "--set", f"model.data={folder}", "--out", run).status == 0
    refused = cli(*train, "--set", f"model.data={folder}", "--set", "model.image_size=128", "--out", tmp_path / "no")
    assert (refused.status, "build it with --size 128" in refused.err) == (2, True)
    shutil.rmtree(folder)
    cli(*build, "--charset", "demo", "--out", folder)
    gone = cli("train", "--resume", run, "--steps", "4")
    assert gone.status == 2
    assert "the data has changed (training items" in gone.err
    assert "--allow-change data" in gone.err
    assert cli("train", "--resume", run, "--steps", "4", "--allow-change", "data", "--quiet").status == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--pairs", "a", "--obj", "b"], "--pairs and --obj: give one of them"),
        (["--val-obj", "b"], "--val-obj goes with --obj"),
        (["--align", "left"], "--align left: is font or none"),
        (["--held-out", "1.5"], "a share between 0 and 1"),
        (["--source", "none.ttf", "--targets", "none.ttf"], "none.ttf: cannot be read"),
        (["--source", "none.ttf"], "no target font"),
        (["--obj", "none.obj"], "none.obj: cannot be read"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(tmp_path: Path, cli: Cli, arguments: list[str], said: str) -> None:
    result = cli("zi2zi", "data", "build", *arguments, "--out", tmp_path / "set")
    assert (result.status, said in result.err, result.err.count("\n")) == (2, True, 1), result.err
    assert not (tmp_path / "set").exists()
