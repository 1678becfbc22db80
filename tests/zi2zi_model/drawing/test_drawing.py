"""From a trained run to pictures and a font, by the commands: what is drawn, named, reported and left alone."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zi2zi_model.data.charsets import load_charset
from zi2zi_model.data.font import Font
from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS
from zi2zi_model.data.glyphs import reframe
from zi2zi_model.data.pictures import Pictures
from zi2zi_model.data.placement import EM_BOX
from zi2zi_model.drawing.font_file import overlap
from zi2zi_model.drawing.inference import SourceTypeface, trained_run

Cli = Callable[..., Any]
SOME = "".join(load_charset("demo")[40:60])


def ok(result: Any) -> Any:
    assert result.status == 0, result.err
    return result


@pytest.fixture(scope="module")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fonts")
    shutil.copy(EMBEDDED_SOURCE, folder / "Regular.ttf")
    shutil.copy(EMBEDDED_TARGETS[0], folder / "Mine.ttf")
    return folder


@pytest.fixture(scope="module")
def trained(fonts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two styles, a few steps long, on a data-set folder."""
    from balancer.cli.main import main

    folder = tmp_path_factory.mktemp("run")
    for words in (
        f"zi2zi data build --source {fonts / 'Regular.ttf'} --targets {fonts / 'Mine.ttf'},{fonts / 'Regular.ttf'} "
        f"--charset demo --held-out 0.2 --out {folder / 'set'}",
        f"train --plugins dynamic_lambda,d_lr_ratio --set model.data={folder / 'set'} --steps 6 --quiet --device cpu "
        f"--set train.ema_half_life=100 --out {folder / 'run'}",
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["balancer", *words.split()])
            try:
                main()
            except SystemExit as exit:
                assert not exit.code
    return folder / "run"


def pictures(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


def test_each_picture_is_named_by_its_character(trained: Path, tmp_path: Path, cli: Cli) -> None:
    result = ok(cli("zi2zi", "infer", trained, "--text", "永和永 龘", "--out", tmp_path))
    assert "2 characters drawn" in result.out
    assert "not drawn, not in the font: 龘 (1)" in result.err
    assert set(pictures(tmp_path)) == {"永.png", "和.png", "sheet_000.png"}
    assert pictures(tmp_path)["永.png"].shape == (64, 64)


def test_what_is_drawn_depends_on_nothing_else(trained: Path, tmp_path: Path, cli: Cli) -> None:
    for name, text in (("few", SOME[:3]), ("many", SOME), ("again", SOME)):
        ok(cli("zi2zi", "infer", trained, "--text", text, "--out", tmp_path / name, "--no-sheets"))
    few, many, again = (pictures(tmp_path / name) for name in ("few", "many", "again"))
    assert all(np.array_equal(many[name], few[name]) for name in few)
    assert all(np.array_equal(many[name], again[name]) for name in many)


def test_training_and_inference_see_the_same_glyph(trained: Path) -> None:
    run = trained_run(trained)
    rows = [run.data.characters.index(character) for character in SOME]
    assert np.array_equal(SourceTypeface(run, None).draw(SOME, 64), run.data.source[rows])


def test_the_frame_is_what_g_drew_and_the_em_box_undoes_the_alignment(trained: Path, tmp_path: Path, cli: Cli) -> None:
    ok(cli("zi2zi", "infer", trained, "--text", SOME, "--out", tmp_path / "frame", "--frame", "--no-sheets"))
    ok(cli("zi2zi", "infer", trained, "--text", SOME, "--out", tmp_path / "em", "--size", "100", "--no-sheets"))
    placement = trained_run(trained).placement(0)
    assert placement is not None
    assert placement != EM_BOX
    for name, frame in pictures(tmp_path / "frame").items():
        assert np.array_equal(pictures(tmp_path / "em")[name], reframe(frame, placement, EM_BOX, 100))


def test_reframing_puts_a_glyph_where_its_font_has_it() -> None:
    font = Font(EMBEDDED_TARGETS[0])
    run_placement = EM_BOX.__class__(0.85, 0.06, 0.8)
    for character in SOME[:6]:
        undone = reframe(font.drawn(character, 256, run_placement), run_placement, EM_BOX, 256)
        assert overlap(undone, font.drawn(character, 256, EM_BOX)) > 0.97


def test_files_that_exist_are_left_alone(trained: Path, tmp_path: Path, cli: Cli) -> None:
    ok(cli("zi2zi", "infer", trained, "--text", "永", "--out", tmp_path, "--no-sheets"))
    (tmp_path / "永.png").write_bytes(b"mine")
    result = ok(cli("zi2zi", "infer", trained, "--text", "永和", "--out", tmp_path, "--skip-existing", "--no-sheets"))
    assert "1 characters drawn" in result.out
    assert "1 were there already" in result.out
    assert (tmp_path / "永.png").read_bytes() == b"mine"
    ok(cli("zi2zi", "infer", trained, "--text", "永和", "--out", tmp_path, "--skip-existing", "--svg", "--no-sheets"))
    assert (tmp_path / "永.svg").read_text().startswith("<svg")


def test_pictures_as_the_ports_have_them(trained: Path, tmp_path: Path, cli: Cli) -> None:
    grey, ports = tmp_path / "grey", tmp_path / "ports"
    words = ("zi2zi", "infer", trained, "--text", "永和", "--no-sheets")
    ok(cli(*words, "--out", grey))
    ok(cli(*words, "--out", ports, "--binary", "--decimal-names"))
    drawn, binary = pictures(grey), pictures(ports)
    assert sorted(binary) == ["21644.png", "27704.png"]
    for name in ("永", "和"):
        picture = binary[f"{ord(name)}.png"]
        assert {*np.unique(picture).tolist()} <= {0, 255}
        assert np.array_equal(picture == 0, drawn[f"{name}.png"] <= 127)
    assert Pictures(ports).characters == ("和", "永")
    again = ok(cli(*words, "--out", ports, "--binary", "--decimal-names", "--skip-existing"))
    assert "2 were there already" in again.out
    ok(cli(*words, "--out", ports, "--between", "0,1", "--steps", "2", "--decimal-names"))
    assert (ports / "27704_01.png").is_file()


def test_without_what_traces_outlines_nothing_is_drawn(
    trained: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vtracer", None)
    line = 'balancer: this needs vtracer, which is not installed: pip install "balancer[export]"\n'
    for words in (["infer", trained, "--text", "永", "--svg"], ["font", trained, "--text", "永"]):
        done = cli("zi2zi", *words, "--out", tmp_path / "out.ttf")
        assert (done.status, done.err, list(tmp_path.iterdir())) == (2, line, [])
    assert not [*tmp_path.glob(".*")]


def test_styles_are_chosen_by_name_or_row(trained: Path, tmp_path: Path, cli: Cli) -> None:
    for style in ("Mine.ttf", "0", "Regular.ttf", "1"):
        ok(cli("zi2zi", "infer", trained, "--text", "永", "--out", tmp_path / style, "--style", style, "--no-sheets"))
    drawn = {style: pictures(tmp_path / style)["永.png"] for style in ("Mine.ttf", "0", "Regular.ttf", "1")}
    assert np.array_equal(drawn["Mine.ttf"], drawn["0"])
    assert np.array_equal(drawn["Regular.ttf"], drawn["1"])
    assert not np.array_equal(drawn["0"], drawn["1"])
    result = cli("zi2zi", "infer", trained, "--text", "永", "--out", tmp_path / "x", "--style", "Mine.tff")
    assert result.status == 2
    assert "Mine.ttf" in result.err
    assert not (tmp_path / "x").exists()
    result = ok(cli("zi2zi", "infer", trained, "--text", "永", "--out", tmp_path / "7", "--style", "7"))
    assert "row 7 is not a style that this run was trained on" in result.err


def test_the_way_from_one_style_to_another(trained: Path, tmp_path: Path, cli: Cli) -> None:
    ok(
        cli(
            "zi2zi",
            "infer",
            trained,
            "--text",
            "永和",
            "--out",
            tmp_path,
            "--between",
            "0,1",
            "--steps",
            "4",
            "--frame",
        )
    )
    ok(cli("zi2zi", "infer", trained, "--text", "永和", "--out", tmp_path / "end", "--style", "1", "--frame"))
    drawn = pictures(tmp_path)
    assert {f"永_{step:02d}.png" for step in range(4)} < set(drawn)
    assert np.array_equal(drawn["永_03.png"], pictures(tmp_path / "end")["永.png"])
    with Image.open(tmp_path / "between.gif") as moving:
        assert moving.n_frames == 6  # four there, two back


def test_what_does_not_go_together_is_refused(trained: Path, tmp_path: Path, cli: Cli) -> None:
    refused = {
        "which characters?": [],
        "drop --size": ["--text", "永", "--frame", "--size", "100"],
        "--between goes with neither": ["--text", "永", "--between", "0,1", "--style", "0"],
        "two styles, such as 0,1": ["--text", "永", "--between", "0"],
        "draws none of the 1 characters": ["--text", "龘"],
        "no such file": ["--charset", "none.txt"],
    }
    for said, arguments in refused.items():
        result = cli("zi2zi", "infer", trained, "--out", tmp_path / "out", *arguments)
        assert (result.status, said in result.err, result.err.count("\n")) == (2, True, 1), result.err
    assert not (tmp_path / "out").exists()


def test_a_source_that_changed_is_noticed(trained: Path, fonts: Path, tmp_path: Path, cli: Cli) -> None:
    regular = fonts / "Regular.ttf"
    whole = regular.read_bytes()
    try:
        shutil.copy(EMBEDDED_TARGETS[0], regular)
        result = cli("zi2zi", "infer", trained, "--text", "永", "--out", tmp_path)
        assert result.status == 2
        assert "has changed since run run was trained" in result.err
        ok(cli("zi2zi", "infer", trained, "--text", "永", "--out", tmp_path, "--source", EMBEDDED_SOURCE))
    finally:
        regular.write_bytes(whole)
    ok(cli("zi2zi", "infer", trained, "--text", "永", "--out", tmp_path / "own"))
    assert np.array_equal(pictures(tmp_path)["永.png"], pictures(tmp_path / "own")["永.png"])


def test_a_font_is_made_of_what_is_drawn(trained: Path, tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "My.ttf"
    result = ok(cli("zi2zi", "font", trained, "--text", SOME + "龘", "--out", path, "--name", "我的字", "--json"))
    made = json.loads(result.out)
    assert made["drawn"] == list(SOME)
    assert made["lacking"] == {"龘": "not in the font"}
    assert made["own"] == []
    # What G draws after 6 steps has no clean edges; test_zi2zi_outlines.py has the bound for real glyphs.
    assert made["mean overlap"] == pytest.approx(np.mean([*made["overlap"].values()]))
    assert 0.5 < made["mean overlap"] < 1
    assert (tmp_path / "My.png").is_file()
    assert set(Font(path).usable(SOME)) == set(SOME)


def test_own_glyphs_are_kept(trained: Path, tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "My.ttf"
    result = ok(cli("zi2zi", "font", trained, "--text", SOME, "--out", path, "--keep-own"))
    assert f"0 characters drawn, {len(SOME)} kept as they are" in result.out
    mine, made = Font(EMBEDDED_TARGETS[0]), Font(path)
    for character in SOME:
        assert np.allclose(made.ink_box(character), mine.ink_box(character), atol=0.005)


def test_pairs_need_a_source_font(trained: Path, tmp_path: Path, cli: Cli) -> None:
    data = trained_run(trained).data
    (tmp_path / "pairs").mkdir()
    for index in range(60):
        pair = np.hstack([data.target[data.target_index[index, 0]], data.source[index]])
        Image.fromarray(pair).save(tmp_path / "pairs" / f"2_{index}.png")
    run = tmp_path / "run"
    pairs = f"model.pairs={tmp_path / 'pairs'}"
    ok(cli("train", "--plugins", "", "--set", pairs, "--steps", "2", "--out", run, "--quiet", "--device", "cpu"))
    result = cli("zi2zi", "infer", run, "--text", "永", "--out", tmp_path / "out")
    assert result.status == 2
    assert "give the source with --source" in result.err
    ok(cli("zi2zi", "infer", run, "--text", "永", "--out", tmp_path / "out", "--source", EMBEDDED_SOURCE))
    placed = SourceTypeface(trained_run(run), EMBEDDED_SOURCE).placement
    meant = trained_run(trained).record["typefaces"][0]["placement"]
    assert np.allclose([placed.scale, *placed.offset], meant, atol=0.03)  # of 60 characters, where 256 are compared
