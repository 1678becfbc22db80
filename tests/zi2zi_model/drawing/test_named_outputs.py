"""What the commands of zi2zi write where a link or a pipe has the name, and what they read of others' runs."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.refusals import assert_refused
from support.zi2zi_runs import SMALL, arguments, call, ok

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    call(*arguments(run, **SMALL))
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_links_stay_and_what_they_lead_to_is_replaced(run: Path, tmp_path: Path, cli: Cli) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    (tmp_path / "far").write_bytes(b"old")
    out = tmp_path / "link.png"
    out.symlink_to("far")
    for words in (("evaluate", run), ("compare", run, other)):
        (tmp_path / "far").write_bytes(b"old")
        ok(cli("zi2zi", *words, "--out", out))
        assert out.is_symlink()
        assert (tmp_path / "far").read_bytes().startswith(b"\x89PNG")


def test_a_pipe_stays_a_pipe(run: Path, tmp_path: Path, cli: Cli) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for words, start in (
        (("compare", run, other), b"\x89PNG"),
        (("font", run, "--text", "一", "--name", "Mine"), b"\0\1\0\0"),
    ):
        read: list[bytes] = []
        reader = threading.Thread(target=lambda read=read: read.append(pipe.read_bytes()), daemon=True)
        reader.start()
        keep = os.open(pipe, os.O_RDWR)  # so that the reader ends whatever the command does
        ok(cli("zi2zi", *words, "--out", pipe))
        os.close(keep)
        reader.join(30)
        assert read[0].startswith(start)
        assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert not pipe.with_suffix(".png").exists()


def test_a_link_in_somebody_elses_run_is_not_written_through(run: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    (run / "evaluation.png").symlink_to(tmp_path / "mine")
    message = assert_refused(*cli("zi2zi", "evaluate", run))
    assert "evaluation.png is a link" in message
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert (run / "evaluation.png").is_symlink()


@pytest.mark.parametrize("name", ["config.toml", "checkpoints", "checkpoints/step_00000003/state.json"])
def test_no_command_reads_through_a_link_or_waits_for_a_pipe(name: str, run: Path, tmp_path: Path, cli: Cli) -> None:
    shutil.move(run / name, tmp_path / "elsewhere")
    (run / name).symlink_to(tmp_path / "elsewhere")
    commands = (
        ("infer", run, "--text", "一", "--out", tmp_path / "drawn"),
        ("font", run, "--text", "一", "--out", tmp_path / "a.ttf"),
        ("evaluate", run),
    )
    for words in commands:
        assert "is a link" in assert_refused(*cli("zi2zi", *words))
    (run / name).unlink()
    os.mkfifo(run / name)
    for words in commands:
        assert "is a pipe" in assert_refused(*cli("zi2zi", *words))
    assert not (tmp_path / "drawn").exists()


def test_a_font_is_there_without_the_preview_that_cannot_be_written(run: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "new.png").mkdir()
    made = cli("zi2zi", "font", run, "--text", "一", "--name", "Mine", "--out", tmp_path / "new.ttf")
    assert made.status == 0 and "no preview: " in made.out + made.err
    assert (tmp_path / "new.ttf").read_bytes().startswith(b"\0\1\0\0")
