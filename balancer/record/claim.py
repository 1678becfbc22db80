"""A run directory taken by one process: a new one made and claimed in one step, and locked while it trains there."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from balancer.errors import ConfigError
from balancer.record import checkpoint, files
from balancer.record.config_files import read_own
from balancer.record.folder import (
    CHECKPOINTS,
    COLUMNS,
    COMPOSITIONS,
    CONFIG,
    HOLDER,
    LOCK,
    SHEETS,
    default_names,
    is_own_file,
    refuse_misplaced,
    refuse_used,
    sheet_step,
)
from balancer.record.run_config import read_toml

EARLY: Final = "held a run that stopped before its first checkpoint; it is begun anew"


def hold(folder: Path) -> FileLock:
    """Keep other processes from writing in a run directory, until `let_go`; what killed writes left there is deleted.

    The lock is the operating system's: it goes with the process that holds it, however that ends. Within a process it
    counts: whoever trains there logs there too.

    Raises:
        ConfigError: another process writes there (which, where, since when).
        OSError: the directory cannot be written.
    """
    refuse_misplaced(folder)
    lock = FileLock(folder / LOCK, is_singleton=True, thread_local=False)
    held = lock.is_locked
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"run directory {folder} is in use: {_holder(folder)}; wait for its end, or stop it"
        ) from None
    if not held:
        try:
            _begin(folder)
        except BaseException:
            let_go(folder, lock)
            raise
    return lock


def let_go(folder: Path, lock: FileLock) -> None:
    """Let other processes write there, once for each `hold`."""
    if lock.lock_counter == 1:
        with contextlib.suppress(OSError):
            files.delete(folder, HOLDER)
    lock.release()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Hold a run directory meanwhile.

    Raises:
        ConfigError: another process trains there (which, where, since when), or the directory cannot be written.
    """
    refuse_misplaced(folder)
    before = files.listed(folder)
    try:
        lock = hold(folder)
    except OSError as error:
        _forget(folder, before)
        raise ConfigError(f"run directory {folder} cannot be written: {error.strerror}") from None
    try:
        yield folder
    except BaseException:
        _forget(folder, before)
        raise
    finally:
        let_go(folder, lock)


def _forget(folder: Path, before: Sequence[str]) -> None:
    """Delete the lock's file where it was not there before.

    Beside a config that was written meanwhile it stays: by both, a run is known that hardly began.
    """
    with contextlib.suppress(OSError):
        if LOCK not in before and (CONFIG in before or CONFIG not in files.listed(folder)):
            files.delete(folder, LOCK)


@contextlib.contextmanager
def new_run(out: Path | None, model: str, plugins: Sequence[str]) -> Iterator[tuple[Path, list[str]]]:
    """A locked directory to begin a run in: `out`, or a default one that no other process gets; and what to say of it.

    A directory in which a run stopped before its first checkpoint is emptied of what that run wrote. One that was made
    here goes again where an error leaves nothing in it.

    Raises:
        ConfigError: it is in use, holds something else, or cannot be made.
    """
    folder, made = (out, _made(out)) if out is not None else _claimed(model, plugins)
    try:
        with locked(folder):
            # Once more, now that nobody else writes there.
            early = _is_early(folder)
            if early:
                _clear_early(folder)
            else:
                refuse_used(folder)
            yield folder, [f"{folder} {EARLY}"] if early else []
    except BaseException:
        with contextlib.suppress(OSError):
            for path in made:
                path.rmdir()
        raise


def refuse_begun(out: Path) -> None:
    """Refuse a directory in which no run can be begun.

    Raises:
        ConfigError: it holds something else than a run that stopped before its first checkpoint.
    """
    if not _is_early(out):
        refuse_used(out)


def _made(out: Path) -> list[Path]:
    """Make a run directory that was named; returns those that were not there, it first."""
    refuse_begun(out)
    missing: list[Path] = []
    try:
        missing = [path for path in (out, *out.parents) if not path.exists()]
        files.make_run(out)
    except OSError as error:
        raise ConfigError(f"run directory {out} cannot be made: {error.strerror}") from None
    return missing


def _claimed(model: str, plugins: Sequence[str]) -> tuple[Path, list[Path]]:
    """Make the first default folder that is not there: of several processes at once, each gets its own."""
    folder = next(default_names(model, plugins))
    missing = [path for path in folder.parents if not path.exists()]
    try:
        files.make_run(folder.parent)
        for folder in default_names(model, plugins):
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                files.sync(folder.parent)
                break
    except OSError as error:
        raise ConfigError(f"run directory {folder} cannot be made: {error.strerror}") from None
    return folder, [folder, *missing]


def _begin(folder: Path) -> None:
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    files.delete_unfinished(folder)
    if files.exists(folder, SHEETS, folder=True):
        files.delete_unfinished(folder, SHEETS)
    files.replace(folder, HOLDER, json.dumps(holder).encode())


def _holder(folder: Path) -> str:
    """Who holds the lock, as far as it says so."""
    try:
        said: dict[str, Any] = json.loads(files.read(folder, HOLDER))
        return f"process {int(said['pid'])} on {said['host']!s:.100} has trained there since {said['since']!s:.40}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process trains there"


def _is_early(folder: Path) -> bool:
    """Whether a run of ours stopped there before its first checkpoint: its config and something that it wrote."""
    try:
        names = files.listed(folder)
        if CONFIG not in names or checkpoint.steps(folder / CHECKPOINTS):
            return False
        written = {LOCK, COLUMNS, COMPOSITIONS} & {*names} or any(name.startswith("events.out.") for name in names)
        versions = read_toml(folder / CONFIG, read_own).get("run", {}).get("versions", {})
        return bool(written) and "balancer" in versions
    except (OSError, ConfigError, AttributeError, TypeError):
        return False


def _clear_early(folder: Path) -> None:
    """Delete what a run wrote, but for its config: by it the directory is known until the new one takes its place.

    What is not a run's own file stays.
    """
    kept = (CONFIG, LOCK, HOLDER)
    own = [name for name in files.listed(folder) if is_own_file(name) and name not in kept]
    if files.exists(folder, SHEETS, folder=True):
        own += [f"{SHEETS}/{name}" for name in files.listed(folder, SHEETS) if sheet_step(name) is not None]
    try:
        for name in own:
            files.delete(folder, name)
    except OSError as error:
        raise ConfigError(f"run directory {folder} cannot be cleared: {error.strerror}") from None
