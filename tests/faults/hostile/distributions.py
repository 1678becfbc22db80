"""Hostile plugin distributions: broken metadata, imports that fail, exit or write, values of wrong types, odd names."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from support.distributions import METADATA, distribution

from faults.hostile.pictures import PLACES
from faults.hostile.trial import Case

GROUP = "[balancer.plugins]\n"
POINT = f"{GROUP}wild = wild:Wild\n"
RAN = "open('../outside/ran', 'w').close()\n"
HEAD = "from balancer import Plugin, PluginConfig, hookimpl\n"
CLASS = f"{HEAD}class Wild(Plugin):\n    name = 'wild'\n"
TRAIN = (
    "train", "--quiet", "--device", "cpu", "--model", "points", "--plugins", "wild", "--steps", 2, "--out", "run",
    "--set", "train.batch_size=64",
)  # fmt: skip
COMMANDS: tuple[tuple[object, ...], ...] = (
    ("plugins", "list"), ("plugins", "list", "--json"), ("plugins", "test", "wild"), ("plugins", "show", "wild"),
    ("plugins", "check", "wild"), TRAIN, ("train", "--model", "wild", "--steps", 1, "--out", "run"),
    ("diagnose", "log.txt"),
)  # fmt: skip

LISTS = COMMANDS[:2]

# What the module holds.
MODULES = {
    "raises": "raise RuntimeError('\\x1b[2J' * 1000)",
    "exits": "import sys; sys.exit(0)",
    "exits with text": "import sys; sys.exit('bye')",
    "raises what is no Exception": "raise BaseException('no')",
    "raises GeneratorExit": "raise GeneratorExit",
    "interrupts": "raise KeyboardInterrupt",
    "lacks a module": "import no_such_module",
    "is no Python": "class (",
    "is nested deeply": "x = " + "(" * 5000 + ")" * 5000,
    "recurses": "def f(): f()\nf()",
    "holds a null byte": "x = 1\0",
    "is not UTF-8": "x = '\udcff'",
    "has no class": "",
    "has a number": "Wild = 1",
    "has a function": "def Wild(*a): return 1",
    "has another class": "class Wild: pass",
    "has a class of another name": f"{HEAD}class Wild(Plugin):\n    name = 'other'\n",
    "has a class without a name": f"{HEAD}class Wild(Plugin):\n    pass\n",
    "name of a number": f"{HEAD}class Wild(Plugin):\n    name = 1\n",
    "reads a number": f"{CLASS}    reads = 1\n",
    "writes text": f"{CLASS}    writes = 'lambda_adv'\n",
    "config of text": f"{CLASS}    Config = 'x'\n",
    "config that raises": (
        f"{CLASS}    class Config(PluginConfig):\n        def __init__(self, **k): raise ValueError('\\x1b')\n"
    ),
    "init that exits": f"{CLASS}    def __init__(self, config): raise SystemExit(0)\n",
    "hook that exits": f"{CLASS}    @hookimpl\n    def after_d_step(self, ctx): raise SystemExit(0)\n",
    "hook that raises": f"{CLASS}    @hookimpl\n    def on_run_start(self, run): raise KeyError\n",
    "hook of another name": f"{CLASS}    @hookimpl\n    def on_nothing(self): pass\n",
    "hook of other arguments": f"{CLASS}    @hookimpl\n    def after_d_step(self, nothing): pass\n",
    "a metaclass": (
        f"{HEAD}class M(type(Plugin)):\n    def __getattribute__(c, n): raise OSError(n)\n"
        "class Wild(Plugin, metaclass=M):\n    name = 'wild'\n"
    ),
    "a module that raises when asked": "def __getattr__(name): raise RuntimeError(name)\n",
    "a docstring that steers": f"{HEAD}class Wild(Plugin):\n    '''\x1b[2J\u202e.'''\n    name = 'wild'\n",
    "a docstring without end": f"{HEAD}class Wild(Plugin):\n    '''{'a ' * 400_000}'''\n    name = 'wild'\n",
    "deep in attributes": f"{CLASS}    x = {'a.' * 20_000}b\n",
    "deep in operators": f"{CLASS}    x = {'-' * 20_000}1\n",
    "prints": f"{CLASS}print('hello')\n",
}
# What lies in the .dist-info; `{}` ends as it should.
METADATAS: dict[str, dict[str, bytes | str]] = {
    "no metadata": {"METADATA": ""},
    "no name": {"METADATA": "Version: 1\n"},
    "metadata that is not UTF-8": {"METADATA": b"Name: \xff\xfe\nVersion: \xff\n"},
    "a byte order mark": {"METADATA": b"\xef\xbb\xbf" + METADATA.format(name="wild", version="1.0").encode()},
    "points with a byte order mark": {"entry_points.txt": b"\xef\xbb\xbf" + POINT.encode()},
    "a name that steers": {"METADATA": "Name: \x1b]0;x\x07\u202e\nVersion: \x1b[2J\nSummary: \x1b[31m\n"},
    "huge metadata": {"METADATA": METADATA.format(name="wild", version="1.0") + "Keywords: " + "a" * 10**7},
    "many lines of metadata": {"METADATA": METADATA.format(name="wild", version="1.0") + "X: y\n" * 10**5},
    "a summary of a megabyte": {"METADATA": METADATA.format(name="w", version="1") + "Summary: " + "a " * 500_000},
    "many addresses": {"METADATA": METADATA.format(name="w", version="1") + "Project-URL: a, \x1b\n" * 20_000},
    "a version of a megabyte": {"METADATA": f"Name: wild\nVersion: {'1.' * 500_000}\n"},
    "many points": {"entry_points.txt": GROUP + "".join(f"w{n} = wild:Wild\n" for n in range(20_000))},
    "points without a value": {"entry_points.txt": f"{GROUP}wild =\nwild = \n"},
    "points without an equals sign": {"entry_points.txt": f"{GROUP}wild\n"},
    "points of the same name": {"entry_points.txt": f"{POINT}wild = other:Wild\n"},
    "points that steer": {"entry_points.txt": f"{GROUP}\x1b[2J = wild:Wild\nwild\u202e = \x1b[2J:x\n"},
    "a point with a path": {"entry_points.txt": f"{GROUP}wild = ../outside/victim:Wild\n../wild = wild:Wild\n"},
    "a long point": {"entry_points.txt": f"{GROUP}{'w' * 10**6} = {'w.' * 10**5}x:Wild\n"},
    "a point with extras": {"entry_points.txt": f"{GROUP}wild = wild:Wild [a,b\n"},
    "a point deep in a module": {"entry_points.txt": f"{GROUP}wild = wild:Wild.__class__.__mro__\n"},
    "points of every group": {
        "entry_points.txt": "".join(
            f"[balancer.{group}]\nwild = wild:Wild\nlog = wild\n"
            for group in ("plugins", "models", "losses", "commands", "recipes", "diagnosis")
        )
    },
    "points that are empty": {"entry_points.txt": ""},
    "points of null bytes": {"entry_points.txt": b"\0" * 10_000},
    "points that are not UTF-8": {"entry_points.txt": b"[balancer.plugins]\nx\xff = json:loads\n"},
}


def cases(count: int, seed: int) -> Iterator[Case]:
    """Each of so many distributions through `plugins list` and two other commands."""
    choice = random.Random(seed)
    made = [*((f"module {what}", POINT, text, {}) for what, text in MODULES.items())]
    made += [(what, POINT, CLASS, files) for what, files in METADATAS.items()]
    made += [
        (f"{file} is {what}", POINT, CLASS, {file: what})
        for file in ("METADATA", "entry_points.txt")
        for what in PLACES
    ]
    choice.shuffle(made)
    for what, points, text, files in made[:count]:
        for command in (COMMANDS[0], *choice.sample(COMMANDS[1:], 2)):
            yield _case(f"distribution, {what}, {' '.join(map(str, command[:2]))}", points, text, dict(files), command)


def _case(name: str, points: str, text: str, files: dict[str, bytes | str], command: tuple[object, ...]) -> Case:
    def lay(folder: Path) -> None:
        (folder / "log.txt").write_text("".join(f"step {n} d_loss 0.5 g_loss 9.1\n" for n in range(60)))
        canary = RAN if command in LISTS else ""  # a list imports nothing
        (folder / "wild.py").write_text(canary + text, errors="surrogateescape")
        places = {file: what for file, what in files.items() if what in PLACES}
        contents = {file: what for file, what in files.items() if what not in PLACES}
        info = distribution(folder, "wild", {"entry_points.txt": points, **contents})
        for file, what in places.items():
            (info / file).unlink()
            PLACES[str(what)](info / file)

    return Case(name, command, lay, statuses=(0, 1, 2) if command[:2] == ("plugins", "test") else (0, 2))
