"""Hostile pictures through every command that takes pictures: of glyphs, of pairs, in packages, sheets of a run."""

from __future__ import annotations

import hashlib
import json
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from faults.hostile.bases import Bases
from faults.hostile.pictures import PLACES, Put, changed, glyphs, put, saved, strange
from faults.hostile.trial import Case
from zi2zi_model.data import dataset

SMALL = ("--set", "model.charset=text.txt", "--set", "model.image_size=64", "--set", "train.batch_size=4")
TRAIN = ("train", "--quiet", "--device", "cpu", "--plugins", "", "--steps", 1, "--out", "run", *SMALL)
BUILD = ("zi2zi", "data", "build", "--out", "data", "--held-out", 0.3)


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """So many; data sets are every tenth."""
    choice = random.Random(seed)
    bases = Bases(folder)
    single, pairs = glyphs(), glyphs(wide=True)
    files = [*((what, put(data)) for what, data in strange(single["永"])), *PLACES.items()]
    wide = [*((what, put(data)) for what, data in strange(pairs["永"])), *PLACES.items()]
    sets = [*wrong_data_sets()]
    # Each strange file through each command; then changed ones.
    commands = (_targets, _trained, _pairs, _package, _source, _sheet)
    queue = [(number % len(commands), kind) for number in range(len(files)) for kind in range(2)]
    choice.shuffle(sets)
    for number in range(count):
        if number % 10 == 9 and sets:
            what, change = sets.pop()
            yield of_data_set(bases, what, change)
            continue
        command = commands[number % len(commands)]
        paired = command in (_pairs, _package)
        there = wide if paired else files
        if number < len(queue) * 2:
            what, write = there[(number * 7 + number // len(there)) % len(there)]
        else:
            good = (pairs if paired else single)["永"]
            whole = saved(good, choice.choice(("PNG", "JPEG")))
            what, data = changed(whole, choice)
            write = put(data)
        yield command(bases, f"picture, {what} {number}", write, choice)


def _folder(folder: Path, write: Put, choice: random.Random, *, wide: bool = False) -> None:
    """Good pictures and a hostile one among them."""
    folder.mkdir()
    for number, (character, picture) in enumerate(glyphs(wide=wide).items()):
        name = f"0_{number}" if wide else character
        picture.save(folder / f"{name}.png")
    taken = choice.choice(("0_0", "0_1")) if wide else choice.choice("永和")
    path = folder / f"{taken}.png"
    path.unlink(missing_ok=True)
    write(path)


def _text(folder: Path) -> None:
    (folder / "text.txt").write_text("".join(glyphs()))


def _targets(bases: Bases, name: str, write: Put, choice: random.Random) -> Case:
    def lay(folder: Path) -> None:
        _text(folder)
        _folder(folder / "pictures", write, choice)

    return Case(
        f"{name}, targets", (*BUILD, "--targets", "pictures", "--source", bases.font, "--charset", "text.txt"), lay
    )


def _trained(bases: Bases, name: str, write: Put, choice: random.Random) -> Case:
    def lay(folder: Path) -> None:
        _text(folder)
        _folder(folder / "pictures", write, choice)

    sets = ("--set", f"model.source={bases.font}", "--set", "model.targets=pictures", "--set", "model.held_out=0.3")
    return Case(f"{name}, train", (*TRAIN, *sets), lay)


def _pairs(bases: Bases, name: str, write: Put, choice: random.Random) -> Case:
    return Case(
        f"{name}, pairs",
        (*BUILD, "--pairs", "pictures"),
        lambda folder: _folder(folder / "pictures", write, choice, wide=True),
    )


def _package(bases: Bases, name: str, write: Put, choice: random.Random) -> Case:
    def lay(folder: Path) -> None:
        write(folder / "one")
        data = (
            (folder / "one").read_bytes()
            if (folder / "one").is_file() and (folder / "one").stat().st_size < 2**30
            else b""
        )
        with (folder / "a.obj").open("wb") as file:
            for picture in (data, *map(saved, glyphs(wide=True).values())):
                pickle.dump((0, picture), file)
        if (folder / "one").is_dir() and not (folder / "one").is_symlink():
            (folder / "one").rmdir()
        else:
            (folder / "one").unlink()

    return Case(f"{name}, package", (*BUILD, "--obj", "a.obj"), lay)


def _source(bases: Bases, name: str, write: Put, choice: random.Random) -> Case:
    command = choice.choice(("infer", "font"))
    out = ("--out", "drawn") if command == "infer" else ("--out", "f.ttf")
    return Case(
        f"{name}, {command} --source",
        ("zi2zi", command, bases.glyphs, "--text", "永和人", "--source", "pictures", *out),
        lambda folder: _folder(folder / "pictures", write, choice),
    )


def _sheet(bases: Bases, name: str, write: Put, choice: random.Random) -> Case:
    def lay(folder: Path) -> None:
        shutil.copytree(bases.glyphs, folder / "run")
        sheet = sorted((folder / "run" / "sheets").glob("*.png"))[-1]
        sheet.unlink()
        write(sheet)

    return Case(f"{name}, sheet of a report", ("report", "run", "--out", "r.html"), lay)


# Data sets under a right seal.

Change = Callable[[dict[str, Any], dict[str, Any]], object]


def wrong_data_sets() -> Iterator[tuple[str, Change]]:
    """What is wrong with a manifest or with arrays, whose digests are right."""
    wrong = (None, [], {}, "x", -1, 2**70, float("nan"), "\x1b[2J", [[[]]], True)
    for key in ("size", "counts", "styles", "typefaces", "pairs", "missing", "clipped", "held_out", "characters"):
        for value in random.Random(key).sample(wrong, 3):
            yield f"{key} = {value!r}", lambda body, arrays, key=key, value=value: body.update({key: value})
        yield f"without {key}", lambda body, arrays, key=key: body.pop(key)
    for key, value in (("scale", float("nan")), ("scale", 0.0), ("scale", 1e300), ("x", "a"), ("y", None)):
        yield (
            f"placement {key} = {value}",
            lambda body, arrays, key=key, value=value: body["typefaces"][0]["placement"].update({key: value}),
        )
    for name in ("source", "target", "target_index", "held_out"):
        for what, make in (
            ("of no size", lambda a: a[:0]),
            ("flat", lambda a: a.reshape(-1)),
            ("of floats", lambda a: np.full(a.shape, np.nan)),
            ("of text", lambda a: a.astype("U8")),
            ("cut", lambda a: a[:-1]),
            ("far off", lambda a: np.full(a.shape, 2**40 if a.dtype == np.int64 else 1, a.dtype)),
            ("broadcast large", lambda a: np.zeros((2**26,), np.uint8)),
        ):
            yield f"{name} {what}", lambda body, arrays, name=name, make=make: arrays.update({name: make(arrays[name])})
        yield f"without {name}", lambda body, arrays, name=name: arrays.pop(name)


def of_data_set(bases: Bases, what: str, change: Change) -> Case:
    def lay(folder: Path) -> None:
        shutil.copytree(bases.data, folder / "data")
        body = json.loads((folder / "data" / dataset.MANIFEST).read_text())
        body.pop("sha256")
        with np.load(folder / "data" / dataset.GLYPHS) as held:
            arrays = dict(held)
        change(body, arrays)
        file = BytesIO()
        np.savez_compressed(file, **arrays)
        (folder / "data" / dataset.GLYPHS).write_bytes(file.getvalue())
        body["glyphs"] = {"file": dataset.GLYPHS, "sha256": hashlib.sha256(file.getvalue()).hexdigest()}
        text = json.dumps({**body, "sha256": dataset._seal(body)})
        (folder / "data" / dataset.MANIFEST).write_text(text)

    args = ("zi2zi", "data", "show", "data") if len(what) % 2 else (*TRAIN[: -len(SMALL)], "--set", "model.data=data")
    return Case(f"data set, {what}", args, lay)
