"""Hostile files of weights: checkpoints under a right or a wrong seal, and pickles of ports that would run code."""

from __future__ import annotations

import copy
import itertools
import json
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from support.hostile_states import hostile_states, seal

from balancer.record import checkpoint
from faults.hostile.bases import Bases
from faults.hostile.pickles import cut, flipped, port_cases
from faults.hostile.pictures import PLACES
from faults.hostile.trial import Case

Files = dict[str, bytes]
# Commands that read a run's checkpoint.
COMMANDS: dict[str, tuple[object, ...]] = {
    "resume": ("train", "--resume", "run", "--quiet", "--steps", 8),
    "infer": ("zi2zi", "infer", "run", "--text", "永和", "--out", "drawn"),
    "font": ("zi2zi", "font", "run", "--text", "永和", "--out", "f.ttf"),
    "evaluate": ("zi2zi", "evaluate", "run"),
    "compare": ("zi2zi", "compare", "run", "run"),
    "explain": ("explain", "run", "--step", 1),
    "start": (
        "train", "--quiet", "--device", "cpu", "--plugins", "", "--steps", 1, "--out", "new",
        "--set", "model.start=run", "--set", "train.batch_size=4", "--set", "model.max_characters=24",
        "--set", "model.charset=demo",
    ),
}  # fmt: skip


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """So many: a quarter each of states of points, of states of zi2zi, of files, and of pickles of ports."""
    choice = random.Random(seed)
    bases = Bases(folder)
    queues = [
        _states(bases.points, choice, ["resume"]),
        _states(bases.glyphs, choice),
        _files(bases, choice),
        port_cases(choice),
    ]
    for number in range(count):
        yield next(queues[number % 4])


# States, under a right seal.


def _states(run: Path, choice: random.Random, commands: list[str] | None = None) -> Iterator[Case]:
    """Whole runs whose checkpoint holds what no run writes."""
    at = checkpoint.load_latest(run / "checkpoints")
    while True:
        # One in some, since all of them together would fill memory.
        states = itertools.chain(hostile_states(at.state, at.step), _tensors(at.state))
        for number, (what, state) in enumerate(states):
            if choice.random() > 0.2:
                continue
            command = choice.choice(commands or [*COMMANDS])

            def lay(folder: Path, state: Any = state) -> None:
                shutil.copytree(run, folder / "run")
                seal(folder / "run" / "checkpoints" / at.path.name, state, at.step)

            yield Case(f"state, {what}, {command} {number}", COMMANDS[command], lay)


def _tensors(state: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each network with tensors of another type, shape or name."""
    kinds = (torch.bool, torch.uint8, torch.int64, torch.float64, torch.float16, torch.bfloat16, torch.complex64)
    for network in ("generator", "discriminator"):
        names = list(state[network])
        for name in (names[0], names[-1]):
            for kind in (*kinds, torch.float8_e4m3fn):
                yield f"{network} {name} of {kind}", _put(state, network, name, state[network][name].to(kind))
            held = state[network][name]
            for shape in ((), (0,), (1,), (2**20,), (1,) * 60, (*held.shape, 1)):
                yield f"{network} {name} of shape {shape}", _put(state, network, name, torch.zeros(shape))
            for value in (float("inf"), 1e-45):
                yield f"{network} {name} of {value}", _put(state, network, name, torch.full_like(held, value))
        renamed = copy.deepcopy(state)
        renamed[network] = {f"\x1b[2J{name}": value for name, value in state[network].items()}
        yield f"{network} of other names", renamed
        yield f"{network} without one", _put(state, network, names[0], None)
        yield f"{network} with one more", _put(state, network, "x" * 10_000, torch.zeros(1))
        yield f"{network} of all float16", _all(state, network, torch.float16)
        yield f"{network} of all int64", _all(state, network, torch.int64)
    for key in ("styles", "rows", "typefaces"):
        if key in state["data"]:
            for value in ([], None, "x", [2**70], [-1], [float("nan")], [{}], ["\x1b[2J"], [[]], 1):
                yield f"data/{key} = {value!r}", _put(state, "data", key, value)


def _put(state: dict[str, Any], part: str, name: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(state)
    if value is None:
        del changed[part][name]
    else:
        changed[part][name] = value
    return changed


def _all(state: dict[str, Any], network: str, kind: torch.dtype) -> dict[str, Any]:
    changed = copy.deepcopy(state)
    changed[network] = {name: value.to(kind) for name, value in state[network].items()}
    return changed


# Files, each with its own digest right or wrong.


def _files(bases: Bases, choice: random.Random) -> Iterator[Case]:
    at = checkpoint.load_latest(bases.glyphs / "checkpoints")
    while True:
        name = choice.choice(("tensors.safetensors", "tensors.safetensors", "state.json", "manifest.json"))
        what, change = choice.choice(_CHANGES[name])
        command = choice.choice([*COMMANDS])
        sealed, number = choice.random() < 0.8, choice.randrange(2**31)

        def lay(
            folder: Path, change: Any = change, sealed: bool = sealed, number: int = number, name: str = name
        ) -> None:
            shutil.copytree(bases.glyphs, folder / "run")
            place = folder / "run" / "checkpoints" / at.path.name
            if (data := change((place / name).read_bytes(), random.Random(number))) is not None:
                (place / name).write_bytes(data)
            else:
                (place / name).unlink()
                list(PLACES.values())[number % len(PLACES)](place / name)
            if sealed and name != "manifest.json" and data is not None:
                _sealed(place, at.step)

        yield Case(f"file {name}, {what}, {command} {number}", COMMANDS[command], lay)


def _sealed(place: Path, step: int) -> None:
    files = {
        name: checkpoint._fingerprint((place / name).read_bytes()) for name in ("state.json", "tensors.safetensors")
    }
    (place / "manifest.json").write_bytes(checkpoint._seal({"format": 2, "step": step, "files": files}))


def _keys(count: int) -> bytes:
    return b'{"dict": [' + b",".join(b'["k%d", 1]' % number for number in range(count)) + b"]}"


def _header(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A safetensors file with its header changed."""
    size = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def _first(header: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = header[next(name for name in header if name != "__metadata__")]
    return found


Change = Callable[[bytes, random.Random], bytes | None]
_ANY: list[tuple[str, Change]] = [
    ("cut", cut),
    ("flipped", flipped),
    ("empty", lambda data, choice: b""),
    ("longer", lambda data, choice: data + b"\0" * 100),
    ("zeros", lambda data, choice: bytes(len(data))),
    ("no file", lambda data, choice: None),
]
_CHANGES: dict[str, list[tuple[str, Change]]] = {
    "tensors.safetensors": [
        *_ANY,
        *(
            (what, lambda data, choice, change=change: _header(data, change))
            for what, change in (
                ("dtype of none", lambda header: _first(header).update(dtype="X9")),
                ("dtype of another size", lambda header: _first(header).update(dtype="F64")),
                ("same size, other dtype", lambda header: _first(header).update(dtype="I32")),
                ("shape of 2^62", lambda header: _first(header).update(shape=[2**62, 4])),
                ("negative shape", lambda header: _first(header).update(shape=[-1])),
                ("offsets beyond", lambda header: _first(header).update(data_offsets=[0, 2**60])),
                ("offsets that overlap", lambda header: _first(header).update(data_offsets=[0, 8])),
                ("metadata that is no text", lambda header: header.update(__metadata__={"a": 1})),
                ("20,000 tensors", lambda header: header.update({f"t{n}": _first(header) for n in range(20_000)})),
            )
        ),
        ("header of 2^63 bytes", lambda data, choice: struct.pack("<Q", 2**63) + data[8:]),
        ("header of 2^30 bytes", lambda data, choice: struct.pack("<Q", 2**30) + data[8:]),
        ("header nested deeply", lambda data, choice: struct.pack("<Q", 20_000) + b"[" * 20_000),
    ],
    "state.json": [
        *_ANY,
        ("nested deeply", lambda data, choice: b"[" * 100_000 + b"]" * 100_000),
        ("nested to the limit", lambda data, choice: b"[" * 900 + b"]" * 900),
        ("a long number", lambda data, choice: b'{"dict": [["a", ' + b"9" * 5000 + b"]]}"),
        ("unhashable key", lambda data, choice: b'{"dict": [[[], 1]]}'),
        ("unknown tensor", lambda data, choice: b'{"dict": [["generator", {"tensor": "x"}]]}'),
        ("many keys", lambda data, choice: _keys(300_000)),
        ("no number", lambda data, choice: data.replace(b"1", b"NaN", 1)),
    ],
    "manifest.json": [*_ANY, ("nested deeply", lambda data, choice: b"[" * 100_000)],
}  # fmt: skip
