"""Settings, and files that settings name, that nobody could mean: one line, at once, whatever their size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.refusals import Cli, assert_refused, refused

DEEP = "[" * 3000 + "]" * 3000
pytestmark = pytest.mark.usefixtures("here")

RUN = ("--model", "points", "--device", "cpu", "--plugins", "", "--set", "train.steps=1")
ZI2ZI = ("--model", "zi2zi", "--device", "cpu", "--plugins", "", "--steps", 1)


@pytest.mark.parametrize("text", [f"x = {DEEP}", f"[train]\nsteps = {'9' * 5000}", "x = 25:61:00", "\x00"])
def test_a_config_that_is_no_use_is_refused(cli: Cli, text: str) -> None:
    Path("c.toml").write_text(text)
    assert "c.toml" in assert_refused(*cli("plugins", "check", "--config", "c.toml"))


@pytest.mark.parametrize(
    "setting",
    [
        f"train.lr={DEEP}",
        f"train.steps={'9' * 5000}",
        "train.threads=9223372036854775808",
        "train.threads=2147483647",
        "train.steps=9223372036854775808",
        "train.batch_size=99999999999999999999",
        "train.log_every=99999999999999999999",
        "train.keep=99999999999999999999",
        "train.lr=2020-01-01",
        "train.lr=inf",
        "train.lr=nan",
        "train.=1",
    ],
)
def test_a_value_that_nothing_can_hold_is_refused(cli: Cli, setting: str) -> None:
    message = refused(cli, *RUN, "--out", "run", "--set", setting)
    assert setting.partition("=")[0] in message


@pytest.fixture
def pipe() -> Path:
    """A named pipe into which nobody writes."""
    os.mkfifo("pipe.toml")
    return Path("pipe.toml")


@pytest.mark.skipif(os.name == "nt", reason="has no named pipes")
@pytest.mark.parametrize("key", ["charset", "targets", "source"])
@pytest.mark.parametrize("path", ["/dev/zero", "pipe.toml"])
def test_what_is_no_file_is_not_read(cli: Cli, pipe: Path, key: str, path: str) -> None:
    status, out, err = cli("train", *ZI2ZI, "--set", "model.targets=x.ttf", "--set", f"model.{key}={path}")
    assert "not a file" in assert_refused(status, out, err) or key == "source"


@pytest.mark.skipif(os.name == "nt", reason="has no named pipes")
@pytest.mark.parametrize("args", [("plugins", "check", "--config", "pipe.toml"), ("plugins", "show", "link.py:X")])
def test_neither_a_config_nor_a_plugin_is_a_pipe(cli: Cli, pipe: Path, args: Any) -> None:
    Path("link.py").symlink_to(pipe)
    assert_refused(*cli(*args))


@pytest.mark.parametrize("key", ["charset", "targets", "data"])
def test_a_name_longer_than_any_file_has_is_refused(cli: Cli, key: str) -> None:
    assert_refused(*cli("train", *ZI2ZI, "--set", f"model.{key}={'a' * 1000}"))


def test_more_than_a_list_of_characters_holds_is_not_read(cli: Cli) -> None:
    with Path("large.txt").open("wb") as file:
        file.truncate(2**32)
    message = assert_refused(*cli("train", *ZI2ZI, "--set", "model.charset=large.txt"))
    assert "larger than 64 MiB" in message
