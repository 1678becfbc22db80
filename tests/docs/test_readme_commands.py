"""What the README shows works: every command, and every flag and name in passing."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from support.readmes import ENGLISH, ROOT, blocks, in_code

from balancer import Balancer
from balancer.cli.app import app
from zi2zi_model.data.charsets import CHARSETS
from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS

Cli = Callable[..., Any]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

BLOCKS = [line for block in blocks(ENGLISH, "sh") for line in block.replace("\\\n", " ").splitlines()]
# What the text shows in passing.
PASSING = [code for code in in_code(ENGLISH) if re.match(r"(balancer|torchrun|tensorboard|python) ", code)]
COMMANDS = [shlex.split(line) for line in [*BLOCKS, *PASSING]]


def shown(*beginning: str) -> list[list[str]]:
    """The commands that begin with these words."""
    return [words for words in COMMANDS if tuple(words[: len(beginning)]) == beginning]


(_without_make,) = [block for block in blocks(ENGLISH, "sh") if "python3 -m venv" in block]
SET_UP = [shlex.split(line) for line in _without_make.splitlines() if not line.startswith("balancer ")]
WITHOUT_MAKE = [shlex.split(line) for line in _without_make.splitlines() if line.startswith("balancer ")]
(OWN_FONTS,) = [words for words in shown("balancer", "train") if "model.source=Regular.ttf" in words]
(RECIPE,) = [words for words in shown("balancer", "train", "--config") if words not in WITHOUT_MAKE]


def shortened(words: list[str]) -> list[str]:
    """The same command for 2 steps, or for 1 epoch."""
    short = list(words)
    given = [index for index, word in enumerate(words) if word in {"--steps", "--epochs"}]
    for at in given:
        short[at + 1] = {"--steps": "2", "--epochs": "1"}[words[at]]
    return short if given else [*short, "--steps", "2"]


def run(cli: Cli, words: list[str]) -> str:
    """What the command printed."""
    assert words[0] == "balancer"
    result = cli(*words[1:])
    assert result.status == 0, f"{shlex.join(words)}: {result.err}"
    return str(result.out)


def recipe(target: str) -> list[list[str]]:
    """The commands of a target, with the Makefile's variables filled in."""
    values = dict(re.findall(r"^(\w+) \??:?= (.+)$", MAKEFILE, flags=re.MULTILINE))
    found = re.search(rf"^{re.escape(target)}:.*\n((?:\t.*\n)+)", MAKEFILE, flags=re.MULTILINE)
    assert found, f"the Makefile has no {target}"
    return [shlex.split(re.sub(r"\$\((\w+)\)", lambda at: values[at[1]], line)) for line in found[1].splitlines()]


# Each command is shown in one of these forms, and each form is tested below.


def test_no_command_is_left_out() -> None:
    forms = (
        ["make"], ["python3", "-m", "venv"], ["."], ["pip", "install"], ["balancer", "plugins"], ["balancer", "train"],
        ["balancer", "zi2zi", "compare"], ["torchrun"], ["tensorboard"], ["python"], ["balancer", "diagnose"],
        ["balancer", "report"], ["balancer", "explain"], ["balancer", "replay"],
        ["balancer", "watch"],
    )  # fmt: skip
    tested = [words for form in forms for words in shown(*form)]
    assert sorted(tested) == sorted(COMMANDS)
    assert all(shown(*form) for form in forms)
    trained = [words for words in shown("balancer", "train") if "--resume" not in words]
    assert trained == [*WITHOUT_MAKE[:3], OWN_FONTS, RECIPE]


@pytest.mark.parametrize("words", shown("make"), ids=" ".join)
def test_make_has_the_target(words: list[str]) -> None:
    assert len(words) == 2
    assert recipe(words[1])


def test_without_make_it_is_what_make_does() -> None:
    def bare(words: list[str]) -> list[str]:
        return [re.sub(r"(^|=)(\.venv/bin|runs/\w+)/", r"\1", word) for word in words]

    demo = [bare(words) for words in recipe("demo") if words[0] == ".venv/bin/balancer"]
    assert [bare(words) for words in WITHOUT_MAKE] == demo
    venv, activate, install = SET_UP
    made, installed, _ = recipe(".venv/installed")
    assert (venv, activate) == (made, [".", ".venv/bin/activate"])
    assert installed[:4] == [".venv/bin/python", "-m", "pip", "install"]
    assert sorted(install[2:]) == sorted(word for word in installed[4:] if word != "--quiet")


def small(words: list[str]) -> list[str]:
    """A command of the demo for 2 steps on some of its characters."""
    return [*shortened(words), "--set", "model.max_characters=60", "--set", "train.probe_every=1"]


def test_the_demo_goes_on_twice_from_one_start_and_compares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    for part in ("docs", "zi2zi_model"):
        (tmp_path / part).symlink_to(ROOT / part)
    *trained, compare, report = WITHOUT_MAKE
    assert len(trained) == 3
    for words in trained:
        out = words[words.index("--out") + 1]
        assert run(cli, small(words)) == f"done: 2 steps; see it with: tensorboard --logdir {out}\n"
        assert (tmp_path / out / "signals.bin").is_file()
    printed = run(cli, compare).splitlines()
    assert (tmp_path / compare[-1]).read_bytes().startswith(b"\x89PNG")
    run(cli, report)
    assert "val/csim" in (tmp_path / report[-1]).read_text(encoding="utf-8")
    # The output that is shown has the same lines; its figures are those of a whole run.
    (output,) = blocks(ENGLISH, "")
    expected = output.splitlines()
    assert printed[0].split(" after ")[0].split()[1:] == expected[0].split(" after ")[0].split()[1:]
    assert printed[1] == expected[1]
    measures = [line for line in expected[2:] if "(" in line]
    assert [line[:18] + line[line.index("(") :] for line in printed[2 : 2 + len(measures)]] == [
        line[:18] + line[line.index("(") :] for line in measures
    ]


def test_a_log_and_the_demos_runs_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for part in ("docs", "zi2zi_model"):
        (tmp_path / part).symlink_to(ROOT / part)
    for words in WITHOUT_MAKE[:3]:
        run(cli, [*[word.replace("runs/mine", "runs/demo") for word in small(words)], "--steps", "12"])
    diagnosis, *further = shown("balancer", "diagnose")
    (excerpt,) = blocks(ENGLISH, "text")
    assert excerpt.rstrip() in run(cli, diagnosis)
    looks = [words for name in ("report", "explain", "replay", "watch") for words in shown("balancer", name)]
    short = {"400": "10", "600": "0"}
    for words in (*further, *(words for words in looks if words not in WITHOUT_MAKE)):
        assert run(cli, [short.get(word, word) for word in words])
    assert (tmp_path / "report.html").is_file()


def test_own_fonts_are_trained_on_stopped_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(EMBEDDED_SOURCE, "Regular.ttf")
    shutil.copy(EMBEDDED_TARGETS[0], "Mine.ttf")
    folder = tmp_path / OWN_FONTS[OWN_FONTS.index("--out") + 1]
    start_step = Balancer.start_step

    def ctrl_c(*args: Any, **kwargs: Any) -> None:
        start_step(*args, **kwargs)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(Balancer, "start_step", ctrl_c)
        stopped = cli(*shortened(OWN_FONTS)[1:], "--set", "model.max_characters=24")
    (resume,) = shown("balancer", "train", "--resume")
    assert stopped.status == 128 + signal.SIGINT
    assert stopped.out == f"stopped at step 1 by SIGINT, with a checkpoint; go on with: {shlex.join(resume)}\n"
    # An epoch of 24 characters, some of them held out, in batches of 8.
    assert re.match(r"done: [23] steps; ", run(cli, resume))
    assert {path.name for path in (folder / "checkpoints").iterdir()} > {"step_00000001"}


def test_a_recipe_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(cli, shortened(RECIPE)).startswith("done: 2 steps; ")


@pytest.mark.parametrize("words", shown("balancer", "plugins"), ids=" ".join)
def test_plugins_commands_work(words: list[str], cli: Cli) -> None:
    assert run(cli, words)


def options(*names: str) -> set[str]:
    """What `balancer NAMES…` takes."""
    command: Any = typer.main.get_command(app)
    for name in names:
        command = command.commands[name]
    return {option for parameter in command.params for option in parameter.opts}


def test_several_processes_are_started_with_a_line_that_torchrun_takes() -> None:
    from torch.distributed.run import get_args_parser

    (words,) = shown("torchrun")
    parsed = get_args_parser().parse_args(words[1:])
    assert (parsed.nproc_per_node, parsed.module, parsed.training_script) == ("2", True, "balancer")
    assert (ROOT / parsed.training_script / "__main__.py").is_file()
    assert parsed.training_script_args == ["train", "…"]


def test_tensorboard_is_pointed_at_the_demo() -> None:
    (words,) = shown("tensorboard")
    outs = {Path(line[line.index("--out") + 1]).parent for line in recipe("demo") if "--out" in line}
    assert words == ["tensorboard", "--logdir", *map(str, outs)]


@pytest.mark.parametrize("words", shown("python"), ids=" ".join)
def test_a_benchmark_exists_and_takes_what_is_shown(words: list[str]) -> None:
    script = (ROOT / words[1]).read_text(encoding="utf-8")
    for option in words[2::2]:
        assert f'"{option}"' in script


def test_settings_and_flags_shown_in_passing_are_taken(cli: Cli) -> None:
    codes = in_code(ENGLISH)
    settings = [code.removeprefix("--set ") for code in codes if code.startswith("--set ")]
    assert settings
    for setting in settings:
        run(cli, ["balancer", "plugins", "check", "dynamic_lambda", "--set", setting])
    flags = {code for code in codes if re.fullmatch(r"--[a-z-]+", code)}
    assert flags
    assert flags <= options("train") | options("diagnose")


def test_what_the_text_names_exists(cli: Cli) -> None:
    codes = in_code(ENGLISH)
    assert {code for code in codes if re.fullmatch(r"[a-z]+\d*-1", code)} <= CHARSETS.keys()
    table = re.findall(r"^\| `(\w+)` \|", ENGLISH, flags=re.MULTILINE)
    listed = run(cli, ["balancer", "plugins", "list"])
    assert sorted(table) == sorted(re.findall(r"^(\w+) +balancer ", listed, flags=re.MULTILINE))
