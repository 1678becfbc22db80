"""Hostile run directories: links, pipes and devices for files, folders for files, odd names, JSON that is none."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from faults.hostile.bases import Bases
from faults.hostile.pictures import PLACES
from faults.hostile.trial import Case
from faults.hostile.weights import COMMANDS as OF_CHECKPOINTS

Change = Callable[[Path], object]
LOGS = ("compositions.jsonl", "decisions.jsonl", "signals.json", "signals.bin")
COMMANDS: dict[str, tuple[object, ...]] = {
    "resume": OF_CHECKPOINTS["resume"],
    "report": ("report", "run", "--out", "r.html"),
    "explain": OF_CHECKPOINTS["explain"],
    "diagnose": ("diagnose", "run"),
    "replay": ("replay", "run", "--plugins", "d_skip"),
    "evaluate": OF_CHECKPOINTS["evaluate"],
}
LINES = (
    b"[" * 100_000, b"{", b"\xff\xfe\x00", b"null\n" * 1000, b"[]\n" * 1000, b'"x"\n', b"9" * 5000 + b"\n",
    b"\0" * 10_000,
    b"NaN\n", b'{"step": 1e999}\n', b'{"step": -1}\n', b'{"step": [1]}\n', b'{"a": ' * 500 + b"1" + b"}" * 500 + b"\n",
    b'{"step": 0, "knobs": {"\\u001b[2J": 1}, "plugins": "\\u001b[2J", "host": null}\n', b"{}\n" * 1000,
    b'{"step": 0, "plugin": "\\u001b]0;x\\u0007", "knob": "lambda_adv", "kind": "set", "old": null, "new": 1}\n',
    b'{"step": 0, "note_kind": "\\u001b[2J", "text": "\\u001b[2J"}\n', b"x" * 10**6,
)  # fmt: skip
COLUMNS = (
    [], {}, None, {"file": "../../outside/victim"}, {"file": "/dev/zero"}, {"columns": []}, {"columns": "abc"},
    {"columns": [["\x1b[2J", "x"]] * 5}, {"columns": [["d", "d_adv"]] * 10**5}, {"columns": [[]]}, {"format": 99},
    {"dtype": "O"}, {"dtype": "<f8"}, {"file": ""}, {"file": "signals.\x1b.bin"}, {"columns": [[1, 2]]},
)  # fmt: skip
CONFIGS = (
    b"", b"[run]\n", b"\xff", b"x = " + b"[" * 3000, b"[run]\nmodel = 'points'\nplugins = ['\\u001b']\n", b"#" * 10**7,
    b'[run]\nmodel = "\\u001b[2J"\nplugins = []\n', b"[run]\nmodel = 'zi2zi'\nplugins = []\n[model]\nstyles = 10000\n",
    b"[run]\nmodel = 'points'\nplugins = ['x']\n[run.files.x]\nplugin = '/dev/zero:X'\nsha256 = 'a'\n",
    b"[run]\nmodel = 'points'\nplugins = ['x']\n[run.files.x]\nplugin = 'evil.py:X'\nsha256 = 'a'\n",
    b'[run]\nmodel = "points"\nplugins = []\n[run.versions]\n"\\u001b[2J" = "\\u001b[2J"\n[train]\nsteps = 9\n',
    b'[run]\nmodel = "points"\nplugins = []\n[train]\n"\\u001b[2J" = 1\n', b"[train]\nsteps = 1e999\n",
)  # fmt: skip


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """So many directories, each through every command that reads one."""
    choice = random.Random(seed)
    bases = Bases(folder)
    changes = [*_changes(bases)]
    choice.shuffle(changes)
    for number, (what, change) in enumerate(changes[:count]):
        base = bases.glyphs if number % 3 == 0 else bases.points
        for name, command in COMMANDS.items():

            def lay(folder: Path, change: Change = change, base: Path = base) -> None:
                shutil.copytree(base, folder / "run")
                change(folder / "run")

            yield Case(f"run, {what}, {name}", command, lay)


def _changes(bases: Bases) -> Iterator[tuple[str, Change]]:
    named = ("config.toml", *LOGS, "checkpoints", "sheets", "events", ".lock", ".holder.json", "traceback.txt")
    for name in named:
        for what, place in random.Random(name).sample([*PLACES.items()], 3):
            yield f"{name} is {what}", lambda run, name=name, place=place: _replaced(run, name, place)
        yield f"without {name}", lambda run, name=name: _gone(_path(run, name))
    for name in LOGS:
        for line in random.Random(name).sample(LINES, 6):
            yield f"{name} is {line[:30]!r}", lambda run, name=name, line=line: (run / name).write_bytes(line)
            yield f"{name} and {line[:30]!r}", lambda run, name=name, line=line: _longer(run / name, line)
    for columns in COLUMNS:
        yield f"columns {str(columns)[:40]!r}", lambda run, columns=columns: _columns(run, columns)
    for config in CONFIGS:
        yield f"config {config[:60]!r}", lambda run, config=config: (run / "config.toml").write_bytes(config)
        yield (
            f"earlier config {config[:60]!r}",
            lambda run, config=config: (run / "config.until_00000001.toml").write_bytes(config),
        )
    yield "200 sheets that are none", lambda run: [(run / "sheets" / f"step_{n:08d}.png").touch() for n in range(200)]
    yield "5,000 folders", lambda run: [(run / f"folder{n}").mkdir() for n in range(5000)]
    yield "folders 200 deep", lambda run: Path(run, *["d"] * 200).mkdir(parents=True)
    yield "a name that is not UTF-8", lambda run: os.mkdir(os.fsencode(run) + b"/events.out.tfevents.\xff\x1b[2J")
    yield "a step of many digits", lambda run: (run / "checkpoints" / f"step_{'9' * 100}").mkdir(parents=True)
    yield "a step that steers", lambda run: (run / "checkpoints" / "step_\x1b[2J").mkdir()
    yield "no plain folder", lambda run: (shutil.rmtree(run), run.write_text("a file"))
    yield "a pipe for a run", lambda run: (shutil.rmtree(run), os.mkfifo(run))
    yield "a device for a run", lambda run: (shutil.rmtree(run), run.symlink_to("/dev/zero"))
    yield "a link to itself", lambda run: (shutil.rmtree(run), run.symlink_to(run))
    yield "huge rows", lambda run: os.truncate(run / "signals.bin", 2**27)
    yield "huge events", lambda run: os.truncate(next(run.glob("events.*")), 2**40)
    yield "events of noise", lambda run: next(run.glob("events.*")).write_bytes(random.Random(0).randbytes(10**5))
    yield (
        "a record of 2^60 bytes",
        lambda run: next(run.glob("events.*")).write_bytes((2**60).to_bytes(8, "little") * 9),
    )


def _path(run: Path, name: str) -> Path:
    return next(run.glob("events.*")) if name == "events" else run / name


def _gone(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _replaced(run: Path, name: str, place: Change) -> None:
    path = _path(run, name)
    _gone(path)
    place(path)


def _longer(path: Path, line: bytes) -> None:
    path.write_bytes(path.read_bytes() + line)


def _columns(run: Path, columns: object) -> None:
    path = run / "signals.json"
    held = json.loads(path.read_bytes())
    path.write_text(json.dumps({**held, **columns} if isinstance(columns, dict) and columns else columns))
