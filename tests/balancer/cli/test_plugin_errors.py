"""What the command line makes of a plugin's error: one line, exit status 2, the traceback where one asks for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.distributions import plugin_package
from support.environments import TRAIN, Result, execute
from support.refusals import assert_refused

Cli = Callable[..., Any]


def in_a_process(folder: Path, *words: object) -> Result:
    return execute([sys.executable, "-m", "balancer", *words], cwd=folder, environment={"PYTHONPATH": str(folder)})


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of sys.path for this test's distributions, and the working directory."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


EXITS = """
@hookimpl
def after_d_step(self, ctx):
    if ctx.step == 2:
        raise SystemExit(0)
"""


@pytest.mark.parametrize("raised", ["SystemExit(0)", "KeyboardInterrupt", "GeneratorExit", "OSError('gone')"])
def test_a_plugin_cannot_end_a_run_as_a_success(tmp_path: Path, raised: str) -> None:
    plugin_package(tmp_path, "leaver", EXITS.replace("SystemExit(0)", raised))
    done = in_a_process(tmp_path, *TRAIN, "--plugins", "leaver", "--steps", 4, "--out", "run")
    line = assert_refused(*done)
    assert line.startswith("plugin leaver of acme-leaver 1.0, hook after_d_step, step 2: ")
    assert raised.partition("(")[0] in line
    assert line.endswith("; the traceback is in run/traceback.txt")
    assert "acme_leaver.py" in (tmp_path / "run" / "traceback.txt").read_text(encoding="utf-8")


def test_debug_prints_the_traceback_and_the_line(packages: Path, cli: Cli) -> None:
    plugin_package(packages, "debugged", EXITS)
    command = (*TRAIN, "--plugins", "debugged", "--steps", 4)
    for words in (("--debug", *command, "--out", "one"), (*command, "--out", "two", "--debug")):
        status, out, err = cli(*words)
        assert (status, out) == (2, "")
        *above, line = err.splitlines()
        assert above[0] == "Traceback (most recent call last):"
        assert any("acme_debugged.py" in row for row in above)
        assert line.startswith(
            "balancer: plugin debugged of acme-debugged 1.0, hook after_d_step, step 2: SystemExit: 0"
        )


def test_before_a_run_has_a_directory_the_line_says_how_to_see_it(packages: Path, cli: Cli) -> None:
    plugin_package(packages, "stillborn", "def __init__(self, config):\n    super().__init__(config)\n    self.law")
    line = assert_refused(*cli("plugins", "check", "stillborn", "--model", "points"))
    assert line.startswith("plugin stillborn of acme-stillborn 1.0 cannot be made: AttributeError: ")
    assert line.endswith("(--debug shows the traceback)")


def test_state_that_cannot_be_stored_is_found_out_before_the_first_step(packages: Path, cli: Cli) -> None:
    plugin_package(packages, "hoarder", 'def state_dict(self):\n    return {"law": {"seen": {1, 2}}}')
    line = assert_refused(*cli(*TRAIN, "--plugins", "hoarder", "--steps", 4, "--out", "run"))
    assert line.startswith(
        "plugin hoarder of acme-hoarder 1.0: its state/law/seen cannot be stored: it is a <class 'set'>"
    )
    assert not (packages / "run" / "signals.json").exists(), "no step was taken"


LATER = """
seen: Any = None

@hookimpl
def on_step_end(self, ctx):
    self.seen = os

def state_dict(self):
    return {"seen": self.seen}
"""


def test_state_that_a_step_spoils_is_found_out_after_the_first_one(packages: Path, cli: Cli) -> None:
    plugin_package(packages, "spoilt", LATER)
    line = assert_refused(*cli(*TRAIN, "--plugins", "spoilt", "--steps", 400, "--out", "run"))
    assert "plugin spoilt of acme-spoilt 1.0: its state/seen cannot be stored: it is a <class 'module'>" in line


GROWING = """
class Config(PluginConfig):
    "Grows whenever it is read."
    x: int = 1

    def __init__(self, **values):
        super().__init__(**{key: value + 1 for key, value in values.items()})
"""


def test_a_config_that_does_not_read_back_is_refused_before_the_run_has_a_directory(packages: Path, cli: Cli) -> None:
    plugin_package(packages, "grower", GROWING)
    command = (*TRAIN, "--plugins", "grower", "--set", "grower.x=5", "--steps", 4, "--out", "run")
    line = assert_refused(*cli(*command))
    assert line.startswith("plugin grower of acme-grower 1.0: grower.x = ")
    assert not (packages / "run").exists()


COUNTS = """
count = 0

@hookimpl
def on_step_end(self, ctx):
    self.count += 1

def state_dict(self):
    return {"count": self.count}

def load_state_dict(self, state, version):
    self.count = state["count"]
"""


def test_another_version_of_a_plugin_is_said_on_resume(tmp_path: Path) -> None:
    plugin_package(tmp_path, "counter", COUNTS)
    first = in_a_process(tmp_path, *TRAIN, "--plugins", "counter", "--steps", 2, "--out", "run")
    assert first.status == 0, first.err
    (tmp_path / "acme_counter-1.0.dist-info").rename(tmp_path / "acme_counter-1.1.dist-info")
    metadata = tmp_path / "acme_counter-1.1.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text(encoding="utf-8").replace("1.0", "1.1"), encoding="utf-8")
    again = in_a_process(tmp_path, "train", "--resume", "run", "--steps", 4, "--quiet")
    assert again.status == 0, again.err
    said = "plugin counter is of acme-counter 1.1 now; the state that it goes on with is of acme-counter 1.0"
    assert again.err == f"warning: {said}\n"
    third = in_a_process(tmp_path, "train", "--resume", "run", "--steps", 6, "--quiet")
    assert (third.status, third.err) == (0, "")


def test_state_that_is_not_taken_back_is_an_error_of_the_plugin(packages: Path, cli: Cli) -> None:
    plugin_package(packages, "forgetful", COUNTS.replace('state["count"]', 'state["total"]'))
    assert cli(*TRAIN, "--plugins", "forgetful", "--steps", 2, "--out", "run").status == 0
    line = assert_refused(*cli("train", "--resume", "run", "--steps", 4, "--quiet"))
    assert "plugin forgetful of acme-forgetful 1.0 cannot take back its state of version 1: KeyError: 'total'" in line


def test_a_card_that_cannot_be_read_is_one_line_and_one_cannot_steer_the_terminal(packages: Path, cli: Cli) -> None:
    for name, card in (("torn", b"\xff\xfe"), ("steering", b"# A card\n\n\x1b[2J\n")):
        plugin_package(packages, name, "")
        (packages / "cards").mkdir(exist_ok=True)
        (packages / "cards" / f"{name}.md").write_bytes(card)
    line = assert_refused(*cli("plugins", "show", "torn"))
    assert line.startswith("the card of plugin torn of acme-torn 1.0 cannot be read: UnicodeDecodeError: ")
    shown = cli("plugins", "show", "steering")
    assert shown.status == 0
    assert "# A card\n\n\\x1b[2J\n" in shown.out
