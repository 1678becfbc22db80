"""Writes docs/cli.md, the reference of the command line, from the commands themselves: python docs/make_cli_page.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from balancer.cli.app import app
from balancer.contract.registry import COMMANDS, entries

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 100  # characters a line, whatever the terminal

INTRODUCTION = """\
# The command line

<!-- Written by docs/make_cli_page.py from the commands; `make docs-cli` writes it anew, and a test compares it. -->

Every command of `balancer`, as `--help` prints it. A wrong setting, file or composition is one line on standard error
and exit status 2; `--debug`, anywhere on the line, prints the error's traceback too. `--version` prints the version.

| command | what it does |
|---|---|
"""


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that this distribution ships, by its words; those of other installed models are left out."""
    root: Any = typer.main.get_command(app)
    foreign = {entry.name for entry in entries(COMMANDS) if entry.distribution != "balancer"}
    yield from _below("balancer", root, without=foreign)


def _below(words: str, group: Any, without: set[str]) -> Iterator[tuple[str, Any]]:
    context = typer.Context(group, info_name=words)
    for name in group.list_commands(context):
        if name in without:
            continue
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from _below(f"{words} {name}", command, set())
        else:
            yield f"{words} {name}", command


def page() -> str:
    """The whole page."""
    found = dict(commands())
    rows = [f"| [{words}](#{words.replace(' ', '-')}) | {_summary(command)} |" for words, command in found.items()]
    return INTRODUCTION + "\n".join(rows) + "\n" + "".join(_section(*item) for item in found.items())


def _summary(command: Any) -> str:
    return " ".join(command.help.split()).replace("|", r"\|")


def _section(words: str, command: Any) -> str:
    command.rich_markup_mode = None  # plain lines, without frames and colours
    text = command.get_help(typer.Context(command, info_name=words, terminal_width=WIDTH, max_content_width=WIDTH))
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return f"\n## {words}\n\n```text\n{lines}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
