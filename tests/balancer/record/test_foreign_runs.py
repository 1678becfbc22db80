"""Somebody else's run leads nobody out of it: no file outside is written, cut, read or deleted, and nothing hangs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.point_runs import ran
from support.refusals import Cli, assert_refused
from support.resumed_runs import snapshot

NAMES = ("config.toml", "signals.json", "signals.bin", "decisions.jsonl", "compositions.jsonl")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ran(tmp_path_factory.mktemp("runs") / "run", "dynamic_lambda", steps=20)


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A run, beside somebody's files."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "p").write_bytes(b"A" * 100_000)
    (tmp_path / "victim" / "step_00000099.png").write_bytes(b"a picture")
    return Path(shutil.copytree(whole, tmp_path / "run"))


def resume(cli: Cli, run: Path) -> str:
    return assert_refused(*cli("train", "--resume", run, "--steps", 25, "--quiet"))


def to_link(path: Path, target: Path) -> None:
    """Put a link to a copy, or to another file, where a run's file was."""
    if path.is_dir():
        shutil.move(path, target)
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(target)


def renamed_rows(run: Path) -> None:
    header = json.loads((run / "signals.json").read_text())
    (run / "signals.json").write_text(json.dumps({**header, "file": "config.toml"}))


ATTACKS: dict[str, Callable[[Path, Path], object]] = {
    "signals.bin": lambda run, victim: to_link(run / "signals.bin", victim / "p"),
    "another file of rows": lambda run, victim: renamed_rows(run),
    "sheets": lambda run, victim: to_link(run / "sheets", victim),
    "checkpoints": lambda run, victim: to_link(run / "checkpoints", victim / "c"),
    "a checkpoint": lambda run, victim: to_link(run / "checkpoints" / "step_00000020", victim / "c"),
    "trackers": lambda run, victim: to_link(run / "trackers", victim),
    "traceback.txt": lambda run, victim: to_link(run / "traceback.txt", victim / "p"),
    "a link that leads nowhere": lambda run, victim: to_link(run / "traceback.txt", victim / "new"),
    "events": lambda run, victim: to_link(run / "events.out.tfevents.1.x", victim / "p"),
    "config": lambda run, victim: to_link(run / "config.until_00000005.toml", victim / "p"),
    "a folder": lambda run, victim: (run / "traceback.txt").mkdir(),
    "a pipe": lambda run, victim: os.mkfifo(run / "traceback.txt"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_resume_refuses_what_leads_out_of_the_run_and_touches_nothing(attack: str, run: Path, cli: Cli) -> None:
    victim = run.parent / "victim"
    ATTACKS[attack](run, victim)
    before = snapshot(victim), {path: path.lstat().st_mtime_ns for path in run.rglob("*.bin")}
    message = resume(cli, run)
    assert str(run) in message
    assert (snapshot(victim), {path: path.lstat().st_mtime_ns for path in run.rglob("*.bin")}) == before


def test_links_planted_at_the_names_of_temporary_files_are_not_followed(run: Path, cli: Cli) -> None:
    victim = run.parent / "victim"
    for name in (*NAMES, "config.until_00000020.toml"):
        (run / f".{name}.tmp").symlink_to(victim / "p")
    before = snapshot(victim)
    assert cli("train", "--resume", run, "--steps", 25, "--quiet").status == 0
    assert snapshot(victim) == before


def test_a_run_that_is_reached_through_a_link_goes_on(run: Path, cli: Cli) -> None:
    (run.parent / "runs").symlink_to(run)
    assert cli("train", "--resume", run.parent / "runs", "--steps", 25, "--quiet").status == 0
    assert (run / "checkpoints" / "step_00000025").is_dir()


COMMANDS = {
    "train": ("train", "--steps", "25", "--quiet", "--resume"),
    "report": ("report", "--out", "page.html"),
    "explain": ("explain", "--step", "3"),
    "replay": ("replay",),
    "diagnose": ("diagnose",),
}


@pytest.mark.parametrize("kind", ["pipe", "zeros"])
def test_no_command_waits_for_a_pipe_or_reads_a_device_without_end(kind: str, run: Path) -> None:
    """In a process of its own, so that a hang or a full memory ends this test only."""
    copies, script = [], "import resource, sys\nfrom balancer.cli.main import main\n"
    for name in NAMES:
        copy = Path(shutil.copytree(run, run.parent / f"with_{name}"))
        (copy / name).unlink()
        if kind == "pipe":
            os.mkfifo(copy / name)
        else:
            (copy / name).symlink_to("/dev/zero")
        copies.append(copy)
    script += (
        "resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30))\n"
        f"for copy in {list(map(str, copies))!r}:\n"
        f"    for command in {list(COMMANDS.values())!r}:\n"
        "        sys.argv = ['balancer', *command, copy]\n"
        "        try:\n"
        "            main()\n"
        "        except SystemExit as ended:\n"
        "            assert ended.code in (None, 0, 2), (command, copy)\n"
        "        else:\n"
        "            ended = None\n"
        "print('through')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=run.parent, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.stdout.endswith("through\n"), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["signals.json", "signals.bin", "decisions.jsonl", "config.toml"])
def test_a_report_refuses_a_link_in_one_sentence(name: str, run: Path, cli: Cli) -> None:
    shutil.move(run / name, run.parent / "victim" / name)
    (run / name).symlink_to(run.parent / "victim" / name)
    message = assert_refused(*cli("report", run, "--out", run.parent / "page.html"))
    assert f"{name} is a link where a run keeps a plain file of its own: take it away" in message
    assert not (run.parent / "page.html").exists()
