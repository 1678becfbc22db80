"""Configs and settings that nobody could mean: TOML files, values of `--set`, and files that settings name."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

from faults.hostile.trial import Case

DEEP = "[" * 3000 + "]" * 3000
# Literals of TOML.
VALUES = (
    DEEP, "9" * 5000, "-1", "0", "1", "9223372036854775807", "-9223372036854775808", "18446744073709551616", "1e308",
    "1e999", "-1e999", "nan", "-nan", "inf", "-inf", "-0.0", "5e-324", "true", '""', '"\\u0000"', '"\\u001b[2J"',
    f'"{"a" * 100_000}"', '"\\U0010FFFF"', "'../outside/victim'", "'/dev/zero'", "'pipe'", "'/'", "'.'", "'link'",
    "2020-01-01", "2020-01-01T00:00:00Z", "25:61:00", "23:59:59.999999999", "[]", "[[]]", "[nan]", "[[nan, nan]]",
    "[[1e308, 1e308], [1, 1]]", "{}", "{a = 1}", "{a = {a = {a = {}}}}", "['a', 1]", "0x" + "f" * 5000, "0b1", "1_0",
    "'" + "," * 5000 + "'", "'%s%n'", "'*'", "'~root'", "'http://localhost'", "['/dev/zero', '/dev/zero']",
)  # fmt: skip
KEYS = (
    "train.batch_size", "train.lambda_adv", "train.lr", "train.lr_d", "train.lr_decay", "train.lr_floor", "train.beta1",
    "train.g_updates", "train.micro_batches", "train.ema_half_life", "train.steps", "train.epochs", "train.seed",
    "train.device", "train.precision", "train.threads", "train.timeout", "train.log_every", "train.trackers",
    "train.gradients_every", "train.sheet_every", "train.on_nan", "train.checkpoint_every", "train.keep", "run.model",
    "run.plugins", "run.files", "run.versions", "run.sizes", "model.points", "model.modes", "model.width",
    "model.adversarial", "model.head", "model.norm", "model.lambda_category", "dynamic_lambda.preset",
    "dynamic_lambda.bands", "dynamic_lambda.above", "dynamic_lambda.warmup_steps", "d_skip.every", "log.adversarial",
    "log.weights", "d_lr_ratio.ratio", "lambda_schedule.steps",
)  # fmt: skip
GLYPH_KEYS = (
    "charset", "targets", "source", "pairs", "data", "start", "image_size", "downs", "channels", "g_channels",
    "max_channels", "styles", "style_dim", "attention", "style_offset", "held_out", "max_characters", "dropout",
    "preset", "augment_shift", "lambda_l1", "d_channels",
)  # fmt: skip
FILES = (
    b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf[train]\nsteps = 1\n", b"[train", b"[train]\n[train]\n", b"train = 1\n",
    b"[train]\rsteps = 1\r", b"a." * 5000 + b"a = 1\n", b'"' + b"k" * 100_000 + b'" = 1\n',
    b"[" + b"t" * 100_000 + b"]\n", b"[[train]]\nsteps = 1\n",
    b'"\\u001b[2J" = 1\n', b'["\\u001b]0;x\\u0007"]\na = 1\n', b'[train]\n"\\u001b[2J" = 1\n',
    b"[run]\nplugins = ['\\u001b[2J']\n", b'[run]\nplugins = ["\\u001b[2J.py:X"]\n', b'[run]\nmodel = "\\u001b[2J"\n',
    b"[run]\nplugins = ['dynamic_lambda', 'dynamic_lambda']\n", b"x = " + b"{a = " * 2000 + b"1" + b"}" * 2000,
    b"[train]\n" + b"".join(b"k%d = 1\n" % n for n in range(100_000)), b"#" * (5 * 2**20), b"x = '''" + b"\n" * 10**6,
    b"[train]\nsteps = 1\nsteps = 2\n", b"[train.steps]\nx = 1\n", b"[train]\n'' = 1\n", b"[__proto__]\nx = 1\n",
    b"[run.files.x]\nplugin = '/dev/zero:X'\nsha256 = ''\n[run]\nplugins = ['x']\n",
    b"[run]\nplugins = ['x']\n[run.files.x]\nplugin = 'pipe.py:X'\nsha256 = 'no'\n",
)  # fmt: skip
CHECK = ("plugins", "check", "--config", "c.toml")
TRAIN = ("train", "--quiet", "--device", "cpu", "--out", "run", "--steps", 1)
GOOD = b"""[run]
model = "points"
plugins = ["dynamic_lambda", "d_lr_ratio"]

[train]
steps = 1
lr = 1e-3
batch_size = 16

[model]
width = 8

[dynamic_lambda]
bands = [[0.1, 0.2], [0.3, 0.4]]
warmup_steps = 5
"""
LENGTHS = (2**31, 2**53 - 1)
ENDS = """from balancer import Plugin, hookimpl


class Ends(Plugin):
    name = "ends"
    requests = ("end",)

    @hookimpl
    def on_step_end(self, ctx):
        self.request("end", "enough")
"""


def cases(count: int, seed: int) -> Iterator[Case]:
    """So many: whole files, values in files, values of `--set`, and flipped bytes of a good file, in turn."""
    choice = random.Random(seed)
    values = [(key, value) for key in KEYS for value in VALUES]
    glyphs = [(f"model.{key}", value) for key in GLYPH_KEYS for value in VALUES]
    choice.shuffle(values)
    choice.shuffle(glyphs)
    files = choice.sample(FILES, len(FILES))
    yield from map(_long, LENGTHS)
    for number in range(count - len(LENGTHS)):
        kind = ("file", "value", "set", "glyphs", "bytes", "value", "set", "glyphs")[number % 8]
        if kind == "file" and number // 8 < len(files):
            content = files[number // 8]
            yield _file(f"config {content[:40]!r}", content, choice)
        elif kind == "set":
            key, value = values.pop()
            yield _set(key, value, "points")
        elif kind == "glyphs":
            key, value = glyphs.pop()
            yield _set(key, value, "zi2zi")
        elif kind == "bytes":
            changed = bytearray(GOOD)
            for _ in range(choice.choice((1, 2, 8))):
                changed[choice.randrange(len(changed))] = choice.choice(b"\x00\x1b\"'[]{}=.\n\xff9eE-_")
            yield _file(f"config with bytes changed {number}", bytes(changed), choice)
        else:
            key, value = values.pop()
            table, _, name = key.partition(".")
            content = f"[{table}]\n{name} = {value}\n"
            if table not in ("run", "train", "model", "log"):
                content = f"[run]\nplugins = ['{table}']\n{content}"
            yield _file(f"config {key} = {value[:40]}", content.encode(), choice)


def _long(steps: int) -> Case:
    """A run of many steps, which a plugin ends: nothing at its start may take as long as it is."""

    def lay(folder: Path) -> None:
        (folder / "ends.py").write_text(ENDS)

    args = ("train", "--quiet", "--device", "cpu", "--out", "run", "--model", "points", "--plugins", "ends.py:Ends")
    return Case(f"a run of {steps:,} steps", (*args, "--set", f"train.steps={steps}"), lay)


def _file(name: str, content: bytes, choice: random.Random) -> Case:
    def lay(folder: Path) -> None:
        (folder / "c.toml").write_bytes(content)
        beside(folder)

    if choice.random() < 0.5:
        return Case(f"{name}, check", CHECK, lay)
    # What is read rightly is not to be a long or a large run.
    small = ("--set", "model.points=64", "--set", "model.width=8", "--set", "train.batch_size=16")
    return Case(f"{name}, train", (*TRAIN, "--model", "points", "--config", "c.toml", *small), lay)


def _set(key: str, value: str, model: str) -> Case:
    table = key.partition(".")[0]
    plugins = table if table not in ("run", "train", "model", "log") else ""
    args = (*TRAIN, "--model", model, "--plugins", plugins, "--set", f"{key}={value}")
    if model == "zi2zi":
        args += ("--set", "model.charset=demo") if key != "model.charset" else ()
        args += ("--set", "model.max_characters=16") if key != "model.max_characters" else ()
    return Case(f"--set {key}={value[:40]} ({model})", args, beside)


def beside(folder: Path) -> None:
    """What settings may name that is no file."""
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.py")
    (folder / "link").symlink_to("/dev/zero")
