"""On a terminal no command shows control characters that come from what it reads, whatever colours it uses itself."""

from __future__ import annotations

import json
import os
import pty
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import runs
from support.distributions import distribution
from support.point_runs import ran

STEERING = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
# What Rich itself sends to a terminal: colours, and the lines and the cursor of a progress bar.
OWN = re.compile(r"\x1b\[(\?25[lh]|[0-9;]*m|[0-9]*[AK]|2K)")


def shown(*args: object) -> tuple[int, str]:
    """How a command ends, and what it sends to a terminal."""
    ours, its = pty.openpty()
    parts: list[bytes] = []
    reader = threading.Thread(target=lambda: parts.extend(_read(ours)), daemon=True)
    reader.start()

    class Terminal:
        def __enter__(self) -> None:
            os.environ["TERM"] = "xterm-256color"
            os.environ["COLUMNS"] = "200"
            os.dup2(its, 1)
            os.dup2(its, 2)

        def __exit__(self, *_: object) -> None:
            sys.stdout.flush()

    ended = runs.command(*args, within=Terminal)
    os.close(its)
    reader.join(30)
    os.close(ours)
    return ended.status, b"".join(parts).decode(errors="replace")


def _read(end: int) -> Iterator[bytes]:
    while True:
        try:
            part = os.read(end, 65536)
        except OSError:  # what Linux answers once nobody has the other end
            return
        if not part:
            return
        yield part


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in whose every log somebody has put what steers a terminal."""
    folder = ran(tmp_path_factory.mktemp("runs") / "run", "dynamic_lambda,d_skip", steps=20)
    name = json.dumps(f"dynamic_lambda{STEERING}")
    for log in ("decisions.jsonl", "compositions.jsonl"):
        path = folder / log
        path.write_text(path.read_text().replace('"dynamic_lambda"', name))
    columns = folder / "signals.json"
    columns.write_text(columns.read_text().replace('"g_loss"', json.dumps(f"g_loss{STEERING}")))
    with (folder / "decisions.jsonl").open("a") as file:
        file.write(json.dumps({"step": 3, "note_kind": STEERING, "text": STEERING, "plugin": STEERING}) + "\n")
    config = folder / "config.toml"
    config.write_text(config.read_text() + f"[{json.dumps(f'd{STEERING}')}]\nx = {json.dumps(STEERING)}\n")
    return folder


COMMANDS = (
    ("diagnose", "run"), ("explain", "run", "--step", 5), ("explain", "run", "--step", "0:19"),
    ("replay", "run", "--plugins", "d_skip"), ("report", "run", "--out", "page.html"),
    ("train", "--resume", "run", "--steps", 22), ("diagnose", "log.csv"), ("diagnose", "log.jsonl"),
    ("diagnose", "log.txt"), ("plugins", "list"), ("plugins", "show", "wild"), ("plugins", "check", "wild"),
    ("train", "--config", f"{STEERING}.toml"), ("diagnose", STEERING), ("plugins", "check", "--config", "c.toml"),
    ("train", "--model", "points", "--device", "cpu", "--steps", 3, "--plugins", "says.py:Says", "--out", "new"),
)  # fmt: skip


@pytest.mark.parametrize("args", COMMANDS, ids=[f"{' '.join(map(str, args[:2]))!a:.30}" for args in COMMANDS])
def test_nothing_that_is_read_steers_a_terminal(
    args: tuple[object, ...], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("run").symlink_to(run)
    rows = [(step, 0.5 + step % 3 / 10) for step in range(60)]
    Path("log.csv").write_text(f"step,d_loss,x{STEERING}\n" + "".join(f"{s},{v},{v}\n" for s, v in rows))
    Path("log.jsonl").write_text("".join(json.dumps({"step": s, "d_loss": v, STEERING: v}) + "\n" for s, v in rows))
    Path("log.txt").write_text("".join(f"step {s} d_loss {v} {STEERING}g_loss {v}\n" for s, v in rows))
    Path("c.toml").write_text(f"[run]\nplugins = [{json.dumps(STEERING)}]\n")
    head = "from balancer import Plugin, hookimpl\n\n\n"
    Path("says.py").write_text(
        f"{head}class Says(Plugin):\n    name = 'says'\n\n    @hookimpl\n    def after_d_step(self, ctx):\n"
        f"        raise RuntimeError({STEERING!r})\n"
    )
    Path("wild.py").write_text(f"{head}class Wild(Plugin):\n    '''Wild{STEERING}.'''\n\n    name = 'wild'\n")
    metadata = f"Metadata-Version: 2.1\nName: wild{STEERING}\nVersion: 1{STEERING}\nSummary: {STEERING}\n"
    points = f"[balancer.plugins]\nwild = wild:Wild\nx{STEERING} = y{STEERING}:Z\n"
    distribution(tmp_path, "wild", {"METADATA": metadata, "entry_points.txt": points})
    status, text = shown(*args)
    assert status in (0, 1, 2)
    assert text.strip()
    plain = OWN.sub("", text).replace("\r", "")
    assert [c for c in plain if not c.isprintable() and c not in "\n\u3000"] == []
