"""What a hook must leave as it finds it: random states, tensors, networks, the process; and a clock that lies."""

from __future__ import annotations

import contextlib
import datetime
import gc
import io
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

# A check's name and what was seen.
Seen = tuple[str, str]
CLOCKS: Final = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time")
WRITES: Final = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.move", "shutil.rmtree"}
LEAVES: Final = {"subprocess.Popen", "os.system", "os.fork", "socket.connect"}

# What audited calls of a hook under way did; None between hooks. An audit hook cannot be taken off again.
_audited: list[str] | None = None
_auditing = False


class Surroundings:
    """A look at everything around a hook, taken before it; `changes` says what is different after it."""

    def __init__(self, tensors: Mapping[str, Tensor], networks: Mapping[str, nn.Module]) -> None:
        self._networks: Final = networks
        self._given: Final = tensors
        self._tensors: Final = {name: value.detach().clone() for name, value in tensors.items()}
        self._flags: Final = {name: _flags(value) for name, value in tensors.items()}
        self._parts: Final = dict(_parts(networks))
        self._random: Final = torch.get_rng_state(), random.getstate(), np.random.get_state()
        self._process: Final = _process()

    def changes(self, where: str) -> Iterator[Seen]:
        """What the hook changed, by check."""
        for name, before in self._tensors.items():
            if not _equal(before, self._given[name].detach()):
                yield "tensors", f"{where} changes {name} in place: work on a copy"
            for what, flag in _flags(self._given[name]).items():
                if flag != self._flags[name][what]:
                    yield "tensors", f"{where} changes {what} of {name}: work on {name}.detach()"
        for index, what in enumerate(("values", "gradient", "requires_grad")):
            parts = self._parts.items()
            moved = [name for name, (value, before) in parts if not _equal(before[index], _part(value)[index])]
            if moved:
                yield "tensors", f"{where} changes the {what} of {moved[0]}: a plugin touches no network"
        of_torch, of_python, of_numpy = self._random
        if not torch.equal(of_torch, torch.get_rng_state()):
            yield "random state", f"{where} draws from torch's global generator: use generator=self.rng"
        if of_python != random.getstate():
            yield "random state", f"{where} draws from Python's global random: use self.rng"
        if any(not np.array_equal(a, b) for a, b in zip(of_numpy, np.random.get_state(), strict=True)):
            yield "random state", f"{where} draws from NumPy's global generator: use self.rng"
        for name, value in _process().items():
            if self._process[name] != value:
                yield "process", f"{where} changes {name}: it belongs to the training script"
        # So that what follows is not misled.
        torch.set_grad_enabled(self._process["whether gradients are recorded"])
        torch.set_default_dtype(self._process["torch's default dtype"])


def _flags(value: Tensor) -> dict[str, Any]:
    return {"requires_grad": value.requires_grad, "the gradient hooks": len(value._backward_hooks or {})}


def _parts(networks: Mapping[str, nn.Module]) -> Iterator[tuple[str, tuple[Tensor, tuple[Any, ...]]]]:
    for role, network in networks.items():
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            yield f"{role}.{name}", (value, tuple(None if x is None else _copy(x) for x in _part(value)))


def _part(value: Tensor) -> tuple[Any, ...]:
    return value.detach(), value.grad, value.requires_grad


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return one.shape == two.shape and bool(((one == two) | ((one != one) & (two != two))).all())
    return bool((one is None) == (two is None) and (one is None or one == two))


def _process() -> dict[str, Any]:
    return {
        "the environment's variables": dict(os.environ),
        "the working directory": Path.cwd(),
        "the module path": list(sys.path),
        "torch's default dtype": torch.get_default_dtype(),
        "whether gradients are recorded": torch.is_grad_enabled(),
        "the number of threads": torch.get_num_threads(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "anomaly detection": torch.is_anomaly_enabled(),
        "whether autocast is on": torch.is_autocast_enabled("cpu"),
        "the precision of matrix products": torch.get_float32_matmul_precision(),
        "cuDNN's settings": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "Python's trace function": sys.gettrace(),
        "Python's hook for exceptions": sys.excepthook,
        "whether garbage is collected": gc.isenabled(),
        "what signals do": tuple(signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)),
        "the root logger": (logging.root.level, list(logging.root.handlers)),
    }


@contextlib.contextmanager
def audited(where: str, module: Any, lying: bool) -> Iterator[list[Seen]]:
    """Run a hook with its output caught and its files, processes and (where `lying`) its clock in sight."""
    global _audited
    seen: list[Seen] = []
    _install()
    caught, reads = io.StringIO(), list[str]()
    _audited = []
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(caught))
            reads = stack.enter_context(lying_clock(module)) if lying else []
            yield seen
    finally:
        done, _audited = _audited or [], None
        seen += [
            ("process", f"{where} {what}: a plugin has no file, process or connection of its own") for what in done
        ]
        if caught.getvalue():
            line = caught.getvalue().strip().splitlines()[:1]
            seen.append(
                ("process", f"{where} prints to standard output ({' '.join(line)[:60]!r}): commands print JSON there")
            )
        seen += [("clock", f"{where} reads {clock}") for clock in dict.fromkeys(reads)]


def _install() -> None:
    global _auditing
    if not _auditing:
        _auditing = True
        sys.addaudithook(_on_event)


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if _audited is None:
        return
    if event == "open":
        path, mode, flags = (*arguments, None, None, None)[:3]
        writes = bool(flags and int(flags) & (os.O_WRONLY | os.O_RDWR)) or bool(set(str(mode or "")) & set("wax+"))
        text = str(path)
        if writes and not text.startswith("/dev/") and "__pycache__" not in text and not isinstance(path, int):
            _audited.append(f"writes to {text}")
    elif event in WRITES or event in LEAVES:
        text = " ".join(str(argument) for argument in arguments[:1])
        if "__pycache__" not in text:
            _audited.append(f"calls {event} ({text})")


@contextlib.contextmanager
def lying_clock(module: Any) -> Iterator[list[str]]:
    """Every look at a clock is an hour later than the one before; yields which clocks were read."""
    reads: list[str] = []
    real = {name: getattr(time, name) for name in CLOCKS}

    def lie(name: str) -> Any:
        def read() -> Any:
            reads.append(f"time.{name}")
            hours = 3600 * len(reads)
            return real[name]() + (hours * 10**9 if name.endswith("_ns") else hours)

        return read

    class Lying(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            reads.append("datetime.now")
            return datetime.datetime.fromtimestamp(real["time"]() + 3600 * len(reads), tz)

    fakes = {name: lie(name) for name in CLOCKS}
    names = vars(module) if module is not None else {}
    swapped = (
        {name: value for name, value in names.items() if value in (*real.values(), datetime.datetime)} if names else {}
    )
    true_datetime = datetime.datetime
    try:
        for name, fake in fakes.items():
            setattr(time, name, fake)
        datetime.datetime = Lying  # type: ignore[misc]
        for name, value in swapped.items():
            names[name] = Lying if value is true_datetime else fakes[value.__name__]
        yield reads
    finally:
        for name, function in real.items():
            setattr(time, name, function)
        datetime.datetime = true_datetime  # type: ignore[misc]
        names.update(swapped)


class Leftovers:
    """Threads and open files of now; `found` says which there are more of later."""

    def __init__(self) -> None:
        self._threads: Final = set(threading.enumerate())
        self._files: Final = set(_open_files())

    def found(self) -> Iterator[str]:
        """What was left behind."""
        gc.collect()
        for thread in threading.enumerate():
            if thread not in self._threads and thread.is_alive():
                yield f"a thread is left running ({thread.name}): end it in on_run_end"
        for path in _open_files():
            if path not in self._files:
                yield f"a file is left open ({path}): a plugin has no files of its own"


def _open_files() -> list[str]:
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return []
    found = []
    for link in folder.iterdir():
        with contextlib.suppress(OSError):
            if (target := link.readlink()).is_file():
                found.append(str(target))
    return found
