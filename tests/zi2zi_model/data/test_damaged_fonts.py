"""Whatever is wrong with a font, commands that read it work or end with one line that names it, in bounded memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.damaged_fonts import damaged_fonts
from support.refusals import Cli, assert_refused

from balancer.errors import DataError
from zi2zi_model.data.font import Font
from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS, from_fonts
from zi2zi_model.drawing.outlines import font_outline

COUNT = 25


def test_a_damaged_font_is_used_or_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "wild.ttf"
    wrong, refused = [], 0
    for what, font in damaged_fonts(EMBEDDED_TARGETS[0].read_bytes(), COUNT):
        path.write_bytes(font)
        try:
            from_fonts(EMBEDDED_SOURCE, [path], charset="demo", max_characters=12)
            opened = Font(path)
            for character in opened.usable("永和"):
                font_outline(opened, character)
                opened.advance(character)
        except DataError as error:
            refused += 1
            if "wild.ttf" not in str(error):
                wrong.append(f"{what}: {error}")
        except Exception as error:
            wrong.append(f"{what}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)
    assert refused


def test_a_glyph_without_bounds_is_not_drawn_on_the_command_line(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fonts = dict(damaged_fonts(EMBEDDED_TARGETS[0].read_bytes(), 0))
    Path("wild.ttf").write_bytes(fonts["16 units per em"])
    train = ("train", "--steps", 1, "--device", "cpu", "--plugins", "", "--out", "run")
    assert "wild.ttf" in assert_refused(*cli(*train, "--set", "model.targets=wild.ttf"))


def test_a_data_set_is_shown_from_inside(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("zi2zi", "data", "build", "--out", tmp_path / "ds", "--max-characters", 12).status == 0
    monkeypatch.chdir(tmp_path / "ds")
    assert cli("zi2zi", "data", "show", ".").status == 0
    assert (tmp_path / "ds.png").is_file()
