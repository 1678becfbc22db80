"""A short version of the fault matrix (`make faults` tries all of it), and broken savers, which it must catch."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from balancer.record import files, handles, outputs
from balancer.record.handles import NEW, sync_handle
from faults import runs
from faults.hostile import rows as hostile
from faults.hostile.trial import MORE_BYTES, Bench, Case
from faults.matrix import Matrix
from faults.processes import Processes
from faults.ranks import Ranks

# Of so many cases of a kind one is tried here.
SHORT = {
    "configs and settings": 30, "pictures and data sets": 150, "fonts": 40, "weights": 75, "plugin distributions": 60,
    "run directories": 100, "full disks": 27,
}  # fmt: skip


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    return Matrix(tmp_path_factory.mktemp("faults"), every=30, seed=1)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory, matrix: Matrix) -> Processes:
    return Processes(tmp_path_factory.mktemp("processes"), matrix.whole, share=0.02)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    return Ranks(tmp_path_factory.mktemp("ranks"), share=0.06)


def test_nothing_is_lost_at_some_operations(matrix: Matrix) -> None:
    tried = 0
    for row in matrix.rows():
        assert row.lost == []
        assert row.tried >= 3
        tried += row.tried
    assert tried > 50


@pytest.mark.parametrize(
    "kind", ["killed at random moments, some twice", "a signal at a random moment", "a second signal"]
)
def test_nothing_is_lost_at_some_moments(processes: Processes, kind: str) -> None:
    row = processes.row(kind)
    assert row.lost == []
    assert row.tried >= 1


def test_two_commands_at_once_lose_nothing(processes: Processes) -> None:
    row = processes.row("two commands at once")
    assert row.lost == []
    assert row.tried == 6


@pytest.mark.parametrize("kind", ["a signal to it alone", "NaN in its gradients, rolled back"])
def test_two_ranks_lose_nothing_when_something_befalls_one(ranks: Ranks, kind: str) -> None:
    row = ranks.row(kind)
    assert row.lost == []
    assert row.tried >= 1


# Savers of a whole file, each with its fault.


@contextlib.contextmanager
def no_fsync(handle: int, name: str, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Trusts the file system to bring it to the disk."""
    with os.fdopen(os.open(".new.tmp", NEW, dir_fd=handle), "wb") as file:
        yield file
    os.replace(".new.tmp", name, src_dir_fd=handle, dst_dir_fd=handle)


@contextlib.contextmanager
def no_rename(handle: int, name: str, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Writes over what is there."""
    with os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=handle), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def wrong_order(handle: int, name: str, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Takes the name first and writes then."""
    with os.fdopen(os.open(".new.tmp", NEW, dir_fd=handle), "wb") as file:
        os.replace(".new.tmp", name, src_dir_fd=handle, dst_dir_fd=handle)
        yield file
        file.flush()
        os.fsync(file.fileno())
    sync_handle(handle)


@pytest.mark.parametrize(
    ("saver", "fault"),
    [(no_fsync, "contents"), (no_rename, "killed"), (wrong_order, "killed")],
    ids=["no fsync", "no rename", "wrong order"],
)
def test_a_broken_saver_is_caught(saver: object, fault: str, matrix: Matrix, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (handles, files, outputs):
        monkeypatch.setattr(module, "put", saver)
    trials = matrix.killed if fault == "killed" else matrix.cut(fault)
    assert matrix.row("killed", fault, trials, until=1).lost


@pytest.mark.parametrize("kind", hostile.KINDS)
def test_some_hostile_input_is_refused_in_one_line(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    tried, lost = hostile.tried(tmp_path_factory.getbasetemp() / "hostile", kind, every=SHORT[kind], seed=3)
    assert lost == []
    assert tried >= 2


@pytest.mark.parametrize(
    ("within", "fault"),
    [
        (lambda: sys.stderr.write("Traceback\n"), "Traceback"),
        (lambda: Path("../outside/ran").touch(), "a file outside was touched"),
        (lambda: Path("left").touch(), "left changed"),
        (lambda: os._exit(1), "exit status 1"),
        (lambda: print("\x1b[2J"), "control characters"),
        (lambda: bytearray(MORE_BYTES + 2**27), "MemoryError"),
        (lambda: os.kill(os.getpid(), signal.SIGPROF), "not done"),
    ],
    ids=["traceback", "outside", "left", "status", "steers", "memory", "time"],
)  # fmt: skip
def test_a_command_that_does_harm_is_caught(
    within: Callable[[], object], fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def harms(*args: object, within: Callable[[], Any], act: Callable[[], object] = within) -> runs.Ended:
        return real(*args, within=lambda: Acting(within(), act))

    real = runs.command
    monkeypatch.setattr(runs, "command", harms)
    refused = Case("harm", ("plugins", "check", "--config", "none.toml"), lambda folder: None)
    assert fault in Bench(tmp_path).tried(refused)


class Acting:
    """Does something as soon as the command begins."""

    def __init__(self, bounds: Any, act: Callable[[], object]) -> None:
        self._bounds, self._act = bounds, act

    def __enter__(self) -> None:
        self._bounds.__enter__()
        self._act()

    def __exit__(self, *error: Any) -> None:
        self._bounds.__exit__(*error)
