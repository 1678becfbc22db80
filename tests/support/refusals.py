"""Commands that must be refused: with one line, exit status 2, no traceback, and nothing half-written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Cli = Callable[..., Any]
POINTS = ("--model", "points", "--device", "cpu")
RUN = (*POINTS, "--plugins", "", "--steps", 3, "--quiet")


def everything(folder: Path) -> dict[str, bytes | None]:
    """Every path below, hidden ones too, with what is in it."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def assert_refused(status: int, out: str, err: str) -> str:
    assert err.startswith("balancer: "), err
    assert err.count("\n") == 1, err
    assert err.endswith("\n")
    assert (status, out) == (2, "")
    assert len(err) < 1500
    return err.removeprefix("balancer: ").strip()


def refused(cli: Cli, *args: object) -> str:
    """Run it where it must be refused, and see that it left everything as it was; returns the message."""
    before = everything(Path.cwd())
    message = assert_refused(*cli("train", *args))
    assert everything(Path.cwd()) == before
    return message
