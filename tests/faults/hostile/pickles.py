"""Hostile pickles: files of ports that would run code, fill memory, or hold what no port writes."""

from __future__ import annotations

import io
import os
import pickle
import random
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from support import port_files

from faults.hostile.pictures import PLACES
from faults.hostile.trial import Case

CANARY = "../outside/ran"


class Runs:
    """Loading it would write the canary."""

    def __init__(self, call: Callable[..., Any], *args: Any) -> None:
        self._made = call, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self._made


def port_cases(choice: random.Random) -> Iterator[Case]:
    """Files of ports through `zi2zi import` and `diagnose --checkpoint`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        good = _good()
        made = [*_pickles(good)]
    while True:
        choice.shuffle(made)
        for number, (what, data) in enumerate(made):
            yield _port(f"pickle, {what}", data, number)
        data = _saved(good)
        for number in range(20):
            change = choice.choice((flipped, cut))
            yield _port(f"pickle, changed {number}", change(data, choice), number)


def _port(name: str, data: bytes | Callable[[Path], object], number: int) -> Case:
    def lay(folder: Path) -> None:
        path = folder / "1_net_G.pth"
        data(path) if callable(data) else path.write_bytes(data)
        (folder / "log.txt").write_text("".join(f"Epoch: [0], [{n}/99] d_loss: 0.5, g_loss: 9.1\n" for n in range(60)))

    if number % 3 == 2:
        return Case(f"{name}, diagnose", ("diagnose", "log.txt", "--checkpoint", "1_net_G.pth"), lay)
    return Case(f"{name}, import", ("zi2zi", "import", "1_net_G.pth", "--out", "run"), lay)


def _good() -> dict[str, torch.Tensor]:
    folder = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path("/tmp")
    place = folder / f"port{os.getpid()}"
    place.mkdir()
    try:
        loaded: dict[str, torch.Tensor] = torch.load(port_files.files(place, port_files.CLASSIC)[0], weights_only=True)
    finally:
        shutil.rmtree(place)
    return loaded


def _saved(state: Any, *, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def _pickles(good: dict[str, torch.Tensor]) -> Iterator[tuple[str, bytes | Callable[[Path], object]]]:
    first = next(iter(good))
    calls = {
        "mkdir": Runs(os.mkdir, CANARY),
        "system": Runs(os.system, f"touch {CANARY}"),
        "open": Runs(open, CANARY, "w"),
        "eval": Runs(eval, f"open({CANARY!r}, 'w')"),
        "exec": Runs(exec, f"open({CANARY!r}, 'w')"),
    }
    for what, call in calls.items():
        for zipped in (True, False):
            yield f"{what} {zipped}", _saved(call, zipped=zipped)
            yield f"{what} among tensors {zipped}", _saved({**good, "more": call}, zipped=zipped)
            yield f"{what} nested {zipped}", _saved({**good, first: [[[(call,)]]]}, zipped=zipped)
            yield f"{what} as key {zipped}", _saved({(call,): 1}, zipped=zipped)
        yield f"{what}, bare pickle", pickle.dumps(call)
        yield f"{what}, pickle within a tensor's state", _saved({first: Runs(getattr, call, "x")})
    for kind in (torch.int64, torch.bool, torch.complex64, torch.float16, torch.float64, torch.bfloat16, torch.uint8):
        yield f"all of {kind}", _saved({name: value.to(kind) for name, value in good.items()})
    for what, tensor in {
        "nan": torch.full_like(good[first], float("nan")),
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.empty(2**40, device="meta"),
        "quantized": torch.quantize_per_tensor(torch.ones(3), 1.0, 0, torch.qint8),
        "expanded": torch.zeros(1).expand(2**33),
        "strided far": torch.zeros(4).as_strided((2**31, 2**31), (0, 0)),
        "of no size": torch.zeros(0),
        "60 dimensions": torch.zeros((1,) * 60),
        "conjugate": torch.zeros(3, dtype=torch.complex64).conj(),
    }.items():
        yield f"a tensor, {what}", _saved({**good, first: tensor})
    width = good["model.down.0.weight"]
    for what, state in {
        "nothing": {}, "a list": [], "a number": 1, "numbers for keys": {1: torch.zeros(1)}, "itself": _itself(),
        "deep": _deep(150), "wide": {f"k{number}": torch.zeros(1) for number in range(5000)},
        "steering keys": {f"\x1b[2J{name}": value for name, value in good.items()},
        "deep modules": {**good, "model" + ".submodule" * 5000 + ".x": torch.zeros(1)},
        "wide G": {**good, "model.down.0.weight": width[:1].expand(2**20, *width.shape[1:])},
        "many styles": {**good, "embedder.weight": torch.zeros(1).expand(2**30, 16)},
        "wrapped": {f"module.{name}": value for name, value in good.items()},
        "without one": {name: value for name, value in good.items() if name != first},
    }.items():  # fmt: skip
        yield what, _saved(state)
    yield "bomb", lambda path: path.write_bytes(_bomb(good))
    yield "an archive that is none", b"PK\3\4" + b"\0" * 1000
    yield from PLACES.items()


def _itself() -> dict[str, Any]:
    itself: dict[str, Any] = {}
    itself["itself"] = itself
    return itself


def _deep(levels: int) -> Any:
    held: Any = torch.zeros(1)
    for _ in range(levels):
        held = {"a": held}
    return held


def _bomb(good: dict[str, torch.Tensor]) -> bytes:
    """A file whose tensor is 2 GiB of zeros, compressed, which torch never does."""
    file, made = io.BytesIO(_saved(good)), io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            data = old.read(entry)
            with new.open(entry.filename, "w", force_zip64=True) as out:
                for _ in range(2**7 if entry.filename.endswith("/data/0") else 0):
                    out.write(bytes(2**24))
                if not entry.filename.endswith("/data/0"):
                    out.write(data)
    return made.getvalue()


def flipped(data: bytes, choice: random.Random) -> bytes:
    """A file with some bits flipped, often in its head."""
    changed = bytearray(data)
    for _ in range(choice.choice((1, 3, 30))):
        reach = len(changed) if choice.random() < 0.5 else min(len(changed), 4000)  # of the head, which says the rest
        changed[choice.randrange(reach)] ^= 1 << choice.randrange(8)
    return bytes(changed)


def cut(data: bytes, choice: random.Random) -> bytes:
    """A file cut short."""
    return data[: choice.randrange(len(data))]
