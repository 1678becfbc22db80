"""Text of anybody's files steers no terminal: what commands print of it has no control characters."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from support.refusals import Cli

WILD = "a\x1b[2Jb\x9b31mc\u202ed\x07e"
RUN = ("train", "--model", "points", "--plugins", "dynamic_lambda", "--device", "cpu", "--steps", 4, "--quiet")

pytestmark = pytest.mark.usefixtures("here")


def assert_steers_nothing(*printed: str) -> None:
    steering = {c for text in printed for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf")}
    assert not steering


@pytest.fixture
def run(cli: Cli) -> Path:
    """A run whose notes, decisions and names hold what a terminal would obey."""
    assert cli(*RUN, "--set", "train.batch_size=64", "--out", f"run{WILD}").status == 0
    folder = Path(f"run{WILD}")
    with (folder / "decisions.jsonl").open("a") as file:
        file.write(json.dumps({"note_kind": "audit", "step": 1, "epoch": 0, "who": WILD, "text": WILD}) + "\n")
        row = {"step": 1, "epoch": 0, "moment": "after_d_step", "plugin": WILD, "knob": WILD, "op": "set", "old": None}
        file.write(json.dumps({**row, "new": 1, "effective": 1, "signals": {WILD: 1}, "note": WILD}) + "\n")
    return folder


@pytest.mark.parametrize("args", [("explain", "--step", "2"), ("explain", "--step", "0:3"), ("diagnose",), ("replay",)])
def test_a_run_steers_no_terminal(cli: Cli, run: Path, args: tuple[str, ...]) -> None:
    _, *printed = cli(args[0], run, *args[1:])
    assert_steers_nothing(*printed)
    assert "".join(printed)
    _, *printed = cli(args[0], run, *args[1:], "--json")
    assert_steers_nothing(*printed)


def test_a_log_of_figures_steers_no_terminal(cli: Cli) -> None:
    Path("l.jsonl").write_text("".join(json.dumps({"step": i, "d_loss": 1, WILD: i}) + "\n" for i in range(50)))
    Path("l.csv").write_text(f"step,d_loss,{WILD}\n" + "".join(f"{i},1,{i}\n" for i in range(50)))
    for log in ("l.jsonl", "l.csv"):
        assert_steers_nothing(*cli("diagnose", log)[1:])


def test_an_error_steers_no_terminal(cli: Cli) -> None:
    Path(f"{WILD}.toml").write_text(f'["{WILD.encode("unicode_escape").decode().replace(chr(92), "")}"]\nx = 1\n')
    for args in (("--config", f"{WILD}.toml"), ("--set", f"train.{WILD}=1"), (WILD,), ("--config", WILD)):
        status, *printed = cli("plugins", "check", *args)
        assert status == 2
        assert_steers_nothing(*printed)


def test_ending_a_run_steers_no_terminal(cli: Cli) -> None:
    assert_steers_nothing(*cli(*RUN, "--out", WILD)[1:])
