"""docs/diagnose.md: its commands work, its output is the program's, its rules are all there; in both languages."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from balancer.diagnosis.rules import RULES
from zi2zi_model.diagnosis.extension import EXTENSION

Cli = Callable[..., Any]
ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("diagnose.md", "diagnose.zh-TW.md"))
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"(?<![A-Za-z0-9.])\d+(?:\.\d+)?(?=(?:st|nd|rd|th)?(?![A-Za-z0-9]))")
COMMANDS = [
    shlex.split(line.removeprefix("$ "))
    for language, body in FENCED.findall(ENGLISH)
    if language == "console"
    for line in body.splitlines()
]


def prose(text: str) -> str:
    return FENCED.sub("", text)


def in_code(text: str) -> list[str]:
    return sorted(" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(text)))


def test_both_languages_show_the_same() -> None:
    assert FENCED.findall(CHINESE) == FENCED.findall(ENGLISH)
    assert in_code(CHINESE) == in_code(ENGLISH)
    one, two = (sorted(NUMBER.findall(re.sub(r"`[^`]+`", "", prose(text)))) for text in (ENGLISH, CHINESE))
    assert one == two
    for pattern in (r"^#+(?= )", r"^\|", r"^- "):
        counts = [len(re.findall(pattern, text, flags=re.MULTILINE)) for text in (ENGLISH, CHINESE)]
        assert counts[0] == counts[1]


def test_every_rule_is_listed() -> None:
    listed = {
        name
        for row in re.findall(r"^\| (`[^|]+) \|", ENGLISH.partition("### Known codes")[0], flags=re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    named = {rule.name for rule in (*RULES, *EXTENSION.rules)}
    # A rule may find more than one thing.
    assert named | {"blow_up"} == listed


def test_the_output_that_is_shown_is_the_programs(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")
    made = cli(*COMMANDS[0][1:])
    assert made.status == 0, made.err
    (shown,) = [body for language, body in FENCED.findall(ENGLISH) if language == "text"]
    assert made.out.startswith(shown.rstrip())


def test_every_command_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    for name, plugins in (("mine", "dynamic_lambda,d_lr_ratio"), ("baseline", ""), ("theirs", "")):
        options = ["--steps", 40, "--out", f"runs/{name}", "--quiet", "--set", "train.log_every=1"]
        made = cli("train", "--model", "points", "--plugins", plugins, *options)
        assert made.status == 0, made.err
    # A folder of somebody else's event files, whose tags say nothing by themselves.
    for path in (tmp_path / "runs/theirs").iterdir():
        if not path.name.startswith("events."):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (tmp_path / "other.log").write_text("".join(f"it {i} D 0.{i + 10} G {i + 1}.5\n" for i in range(30)))
    (tmp_path / "theirs.csv").write_text(
        "updates,D_real,D_fake\n" + "".join(f"{50 * i},0.{i + 10},0.{i + 20}\n" for i in range(40))
    )
    (tmp_path / "vocoder.csv").write_text(
        "step,d_loss,adv,mel\n" + "".join(f"{i},0.{i + 10},0.{i + 20},0.{i + 30}\n" for i in range(40))
    )
    names = {
        "loss/G_GAN": "loss/adv",
        "loss/D": "loss/d_loss",
        "600": "0",
        "4000": "20",
        "1200": "12",
        "1200:1300": "12:15",
    }
    for words in COMMANDS:
        arguments = [
            re.sub(r"loss/G_GAN|loss/D$", lambda at: names[at[0]], names.get(word, word)) for word in words[1:]
        ]
        made = cli(*arguments)
        allowed = (0, 1) if "--fail-on" in words else (0,)
        assert made.status in allowed, f"{shlex.join(words)}: {made.err}"
    assert (tmp_path / "report.html").stat().st_size > 10_000
    (tmp_path / "report.html").unlink()
    (code,) = [body for language, body in FENCED.findall(ENGLISH) if language == "python"]
    exec(code, {})
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert len((tmp_path / "lambda.csv").read_text().splitlines()) == 61
