"""What a list says of a plugin without importing it: sentence, hooks, homepage; hostile metadata says nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
PLUGIN = '''
raise RuntimeError("a list must not import this")

class Base:
    @hookimpl
    def on_step_end(self, ctx): ...


class Soft(Base, Plugin):
    """Starts
    softly. And more of it.

    Later.
    """

    @balancer.hookimpl(optionalhook=True)
    def on_epoch(self, epoch): ...

    def after_d_step(self, ctx): ...


class Bare(Plugin): ...


class Sourced(Plugin):
    """Softer (soft GAN: Doe et al. 2018, sec. 3), as of Roe et al. 2019. And more."""
'''


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Callable[..., dict[str, Any]]:
    """Lists a distribution with these entry points and metadata, by name."""

    def made(points: str, *metadata: str) -> dict[str, Any]:
        package = tmp_path / "soft_package"
        package.mkdir()
        (package / "__init__.py").write_text("from .laws import Soft\nraise RuntimeError\n")
        (package / "laws.py").write_text(PLUGIN)
        (package / "broken.py").write_text("class Soft(:\n")
        info = tmp_path / "soft-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "\n".join(["Metadata-Version: 2.1", "Name: soft", "Version: 1.0", *metadata, ""])
        )
        (info / "entry_points.txt").write_text(f"[balancer.plugins]\n{points}")
        monkeypatch.syspath_prepend(tmp_path)
        result = cli("plugins", "list", "--json")
        assert (result.status, result.err) == (0, "")
        assert not any(name.startswith("soft_package") for name in sys.modules)
        return {row["name"]: row for row in json.loads(result.out)["plugins"]}

    return made


def test_sentence_hooks_and_homepage_are_read_and_not_imported(listed: Callable[..., dict[str, Any]], cli: Cli) -> None:
    rows = listed(
        "soft = soft_package.laws:Soft\nhanded = soft_package:Soft\nbare = soft_package.laws:Bare\n"
        "sourced = soft_package.laws:Sourced\n",
        "Summary: All that is soft.",
        "Project-URL: Homepage, https://example.org/soft",
    )
    for name in ("soft", "handed"):
        assert rows[name]["sentence"] == "Starts softly."
        assert rows[name]["hooks"] == ["on_epoch", "on_step_end"]
        assert rows[name]["homepage"] == "https://example.org/soft"
    assert (rows["bare"]["sentence"], rows["bare"]["hooks"]) == ("All that is soft.", [])
    assert rows["sourced"]["sentence"] == "Softer (soft GAN: Doe et al. 2018, sec. 3), as of Roe et al. 2019."
    text = cli("plugins", "list").out
    assert (
        "soft               soft 1.0  https://example.org/soft\n    Starts softly.\n    at on_epoch, on_step_end\n"
        in text
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'soft = "no gain\\u001b[31m\\nseen"', ["    evidence: no gain\\x1b[31m seen"]),
        (b"soft = 3", []),
        (b"soft = ", []),
        (b"\xff", []),
    ],
)
def test_what_was_measured_stands_in_a_file_beside_the_module(
    content: bytes, said: list[str], listed: Callable[..., dict[str, Any]], tmp_path: Path, cli: Cli
) -> None:
    rows = listed("soft = soft_package.laws:Soft\nbare = soft_package.laws:Bare\n")
    assert (rows["soft"]["evidence"], rows["bare"]["evidence"]) == ("", "")
    (tmp_path / "soft_package" / "evidence.toml").write_bytes(content)
    of_soft = cli("plugins", "list").out.partition("\nsoft ")[2].splitlines()[1:3]
    assert [line for line in of_soft if "evidence" in line] == said


def test_what_cannot_be_found_is_not_said_and_stops_nobody(listed: Callable[..., dict[str, Any]], cli: Cli) -> None:
    rows = listed("gone = soft_gone.laws:Soft\nbroken = soft_package.broken:Soft\nodd = soft_package.laws:Nobody\n")
    for name in ("gone", "broken", "odd"):
        assert (rows[name]["sentence"], rows[name]["hooks"], rows[name]["homepage"]) == ("", None, "")
    assert "    at —\n" in cli("plugins", "list").out


def test_no_control_character_of_a_distribution_reaches_the_terminal(
    listed: Callable[..., dict[str, Any]], cli: Cli
) -> None:
    listed(
        "soft = soft_gone:Soft\n", f"Summary: red \x1b[31m and\x07 {'long ' * 100}", "Home-page: https://x\x1b]0;\x9b"
    )
    text = cli("plugins", "list").out
    assert "red [31m and long" in text
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert max(map(len, text.splitlines())) < 240
