"""Plugins in a file of one's own: run, recorded with the file's SHA-256, resumed from elsewhere, replayed, refused."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from balancer import Balancer, PluginError
from balancer.errors import BalancerWarning
from balancer.record.compositions import read_compositions

Cli = Callable[..., Any]
MINE = '''
"""A law of my own."""
from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from balancer import Plugin, PluginConfig, StepContext, hookimpl


@dataclass
class Law:
    factor: float


class Mine(Plugin):
    """Halves the weight."""

    name = "mine"
    writes = {"lambda_adv": ("mul",)}

    class Config(PluginConfig):
        factor: float = Field(0.5, ge=0, le=1, description="the factor")

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].mul(Law(self.config.factor).factor)


class Other(Mine):
    name = "other"


class Taken(Mine):
    name = "d_skip"
'''
TRAIN = ("train", "--model", "points", "--device", "cpu", "--quiet", "--set", "model.points=64")


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the file in it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def refusal(result: Any) -> str:
    assert result.status == 2
    (line,) = result.err.splitlines()
    return str(line)


def test_a_run_records_where_the_plugin_is_and_what_the_file_held_and_goes_on_from_elsewhere(
    mine: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    made = cli(*TRAIN, "--plugins", "d_skip,mine.py:Mine", "--set", "mine.factor=0.25", "--steps", 4, "--out", run)
    assert made.status == 0, made.err
    recorded = tomllib.loads((run / "config.toml").read_text())
    digest = hashlib.sha256(mine.read_bytes()).hexdigest()
    assert recorded["run"]["plugins"] == ["d_skip", "mine"]
    assert recorded["run"]["files"] == {"mine": {"plugin": f"{mine}:Mine", "sha256": digest}}
    assert recorded["mine"] == {"factor": 0.25}
    (composed,) = read_compositions(run)
    assert composed.files == recorded["run"]["files"]

    monkeypatch.chdir("/")
    went_on = cli("train", "--resume", run, "--steps", 6, "--quiet")
    assert went_on.status == 0, went_on.err
    mine.write_text(MINE + "# edited\n")
    with pytest.warns(BalancerWarning, match=rf"goes on with is of file mine.py, SHA-256 {digest[:12]}$"):
        again = cli("train", "--resume", run, "--steps", 8)
    assert again.status == 0
    assert tomllib.loads((run / "config.toml").read_text())["run"]["files"]["mine"]["sha256"] != digest


def test_what_was_run_is_explained_and_replayed_with_it_and_with_another_of_the_same_file(
    mine: Path, cli: Cli, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert cli(*TRAIN, "--plugins", "mine.py:Mine", "--steps", 4, "--out", run).status == 0
    assert cli("explain", run, "--step", 2).status == 0
    own = json.loads(cli("replay", run, "--json").out)
    assert own["plugins"] == ["mine"]
    other = cli("replay", run, "--plugins", "mine.py:Other", "--set", "other.factor=0.1", "--json")
    assert json.loads(other.out)["plugins"] == ["other"], other.err


def test_a_config_names_one_and_so_does_a_script(mine: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[run]\nmodel = "points"\nplugins = ["mine.py:Mine"]\n[mine]\nfactor = 0.125\n')
    checked = json.loads(cli("plugins", "check", "--config", "mine.toml", "--json").out)
    assert checked["order"] == ["mine"]
    assert checked["sources"]["mine"].startswith("file mine.py, SHA-256 ")
    balance = Balancer(["mine.py:Mine", f"{mine}:Other"], obeys={"lambda_adv"}, settings={"other": {"factor": 0.1}})
    balance.start_step()
    balance.after_d_step()
    assert balance.lambda_adv == pytest.approx(0.05)
    shown = cli("plugins", "show", "mine.py:Mine").out
    assert shown.startswith(f"mine, from file {mine} SHA-256 ")
    assert "mine.factor = 0.5" in shown


def test_a_plugin_whose_file_is_gone_or_named_twice_is_refused_in_one_line(
    mine: Path, cli: Cli, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert cli(*TRAIN, "--plugins", "mine.py:Mine", "--steps", 2, "--out", run).status == 0
    mine.rename(tmp_path / "moved.py")
    assert f"{mine} cannot be read" in refusal(cli("train", "--resume", run, "--steps", 4, "--quiet"))
    moved = cli("train", "--resume", run, "--steps", 4, "--quiet", "--plugins", "moved.py:Mine")
    assert moved.status == 0, moved.err
    assert "named twice" in refusal(cli("plugins", "check", "moved.py:Mine,moved.py:Mine", "--model", "points"))


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("gone.py:Mine", "gone.py cannot be read: No such file or directory"),
        ("mine.py:Mien", "the file has no class 'Mien': did you mean Mine?"),
        ("mine.py:", "name a class of it, mine.py:CLASS: known are Mine, Other, Taken"),
        ("mine.py", "name a class of it, mine.py:CLASS: known are Mine, Other, Taken"),
        ("mine.py:Law", "not a subclass of balancer.Plugin"),
        ("mine.py:Taken", "calls itself d_skip, as a plugin of balancer 0.1.0 does: rename it"),
        ("broken.py:Mine", "cannot be imported: SyntaxError"),
        ("leaves.py:Mine", "cannot be imported: SystemExit"),
        ("exits.py:Mine", "cannot be imported: GeneratorExit"),
        ("twolines.py:Mine", "cannot be imported: ValueError: one two"),
        ("empty.py:Mine", "the file has no class 'Mine': it holds no subclass of balancer.Plugin"),
    ],
)
def test_what_cannot_be_used_is_one_line(mine: Path, cli: Cli, reference: str, words: str) -> None:
    mine.with_name("broken.py").write_text("class Mine(:\n")
    mine.with_name("leaves.py").write_text("import sys\nsys.exit(0)\n")
    mine.with_name("exits.py").write_text("raise GeneratorExit\n")
    mine.with_name("twolines.py").write_text("raise ValueError('one\\ntwo')\n")
    mine.with_name("empty.py").write_text("")
    assert words in refusal(cli("plugins", "check", reference, "--model", "points"))
    with pytest.raises(PluginError):
        Balancer([reference], obeys={"lambda_adv"})


def test_what_a_file_prints_where_it_is_imported_is_no_output_of_the_command(mine: Path, cli: Cli) -> None:
    mine.write_text(f"{MINE}\nprint('here I am')\n")
    checked = cli("plugins", "check", "mine.py:Mine", "--model", "points", "--json")
    assert json.loads(checked.out)["order"] == ["mine"]
    assert "here I am" in checked.err


def test_a_script_is_told_that_the_file_of_a_plugin_changed_since_its_state_was_saved(mine: Path) -> None:
    balance = Balancer(["mine.py:Mine"], obeys={"lambda_adv"})
    balance.start_step()
    balance.end_step()
    mine.write_text(MINE + "# edited\n")
    then, now = balance.composition.sources["mine"], hashlib.sha256(mine.read_bytes()).hexdigest()[:12]
    with pytest.warns(BalancerWarning) as told:
        Balancer(["mine.py:Mine"], obeys={"lambda_adv"}).load_state_dict(balance.state_dict())
    (line,) = [str(one.message) for one in told]
    assert line == (f"plugin mine is of file mine.py, SHA-256 {now} now; the state that it goes on with is of {then}")


def test_a_broken_record_of_files_is_refused(mine: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[run]\nmodel = "points"\nplugins = ["mine"]\n[run.files]\nmine = "mine.py"\n')
    assert "each table of run.files must hold plugin and sha256" in refusal(
        cli("plugins", "check", "--config", "mine.toml")
    )
