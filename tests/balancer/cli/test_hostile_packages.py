"""Packages of others: two recipes of one name, and an extension that ends the process."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.refusals import Cli, assert_refused

pytestmark = pytest.mark.usefixtures("here")


def installed(folder: Path, name: str, group: str, value: str, code: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\nhostile = {value}\n")
    (folder / name / "recipes").mkdir(parents=True)
    (folder / name / "__init__.py").write_text(code)
    (folder / name / "recipes" / "twice.toml").write_text("")


def test_a_recipe_that_two_packages_bring_is_refused_and_nothing_is_imported(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one_pack", "other_pack"):
        installed(tmp_path / "site", name, "balancer.recipes", name, "raise SystemExit(0)")
    monkeypatch.syspath_prepend(tmp_path / "site")
    listed = cli("plugins", "list")
    assert (listed.status, "twice" in listed.out) == (0, False)
    message = assert_refused(*cli("plugins", "check", "--config", "twice"))
    assert "one_pack 1.0 and other_pack 1.0" in message


def test_an_extension_that_exits_does_not_end_a_diagnosis_as_if_all_were_well(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import sys
from balancer.diagnosis import Extension, LineParser

class Parser(LineParser):
    def feed(self, line):
        return {"step": int(line.split()[1]), "d_loss": 0.5} if line.startswith("mine") else None

class Hostile(Extension):
    name = "hostile"
    def parser(self):
        return Parser()
    def units(self, history, source, stated):
        sys.exit(0)

hostile = Hostile()
"""
    installed(tmp_path / "site", "exit_pack", "balancer.diagnosis", "exit_pack:hostile", code)
    monkeypatch.syspath_prepend(tmp_path / "site")
    Path("log.txt").write_text("".join(f"mine {step}\n" for step in range(60)))
    message = assert_refused(*cli("diagnose", "log.txt", "--fail-on", "any"))
    assert "exit_pack 1.0" in message
