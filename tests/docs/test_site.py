"""Every page is in the site and in the index; docs/cli.md is what the commands say; CONTRIBUTING names what exists."""

from __future__ import annotations

import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def listed(nav: Any) -> Iterator[str]:
    """The pages of a table of contents, in order."""
    if isinstance(nav, str):
        yield nav
        return
    for below in nav.values() if isinstance(nav, dict) else nav:
        yield from listed(below)


def laid_out() -> set[str]:
    """The pages that `make site` lays out."""
    (patterns,) = re.findall(r"^PAGES := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {path for pattern in patterns.split() for path in ROOT.glob(pattern)}
    pages = found | {page for path in found if path.is_dir() for page in path.rglob("*.md")}
    return {path.relative_to(ROOT).as_posix() for path in pages if path.suffix == ".md"}


def test_the_sites_contents_list_every_page_once() -> None:
    project = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(listed(project["nav"])) == sorted(laid_out())


def test_the_index_of_docs_links_to_every_page_and_every_card() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    linked = {(DOCS / target).resolve() for target in re.findall(r"\]\(([^)#]+\.md)\)", index)}
    assert linked >= {*DOCS.glob("*.md"), *(ROOT / "plugins" / "cards").glob("*.md")} - {DOCS / "README.md"}


def test_the_page_of_the_command_line_is_what_the_commands_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    page = runpy.run_path(str(DOCS / "make_cli_page.py"))["page"]()
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == page, "write it anew: make docs-cli"


def test_the_page_of_the_command_line_has_every_command() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", page, flags=re.MULTILINE)
    assert {"balancer train", "balancer diagnose", "balancer plugins check", "balancer zi2zi data build"} <= {*headings}
    assert re.findall(r"^Usage: (balancer[a-z0-9 ]*[a-z])", page, flags=re.MULTILINE) == headings


def test_the_files_that_contributing_names_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## A release")[0]
    named = {code for code in re.findall(r"`([\w.-]+/[\w./-]*)`", text) if "NAME" not in code and code != "build/site"}
    assert len(named) > 10
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
