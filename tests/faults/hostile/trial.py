"""One command on hostile input, in a process of its own with little time and memory, and what is wrong with its end."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import resource
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from faults import runs
from faults.operations import Operations

SECONDS = 20  # of computing
WAITS = 60  # seconds until a command counts as waiting for what never comes, on a machine that does other work too
MORE_BYTES = 2**30  # that a command may need beyond what the process held that it was forked from
_REFUSED_BYTES = 8 * 2**30  # the machine's own memory is never at stake
_MEMORY = re.compile(r"MemoryError|[Uu]nable to allocate|can't allocate|out of memory|bad_alloc")
# What says who is there, and what a claimed folder keeps.
_LOCKS = (".lock", ".holder.json")


class Case(NamedTuple):
    """Hostile input: what lays it into the working folder, and the arguments of a command that takes it.

    `befalls` is what happens to operations on files there (see `Operations`), if anything does. `statuses` are those
    of a command that did what it should; 1 is the verdict of one that judges.
    """

    name: str
    args: tuple[object, ...]
    lay: Callable[[Path], object]
    befalls: Callable[[int, str, str], None] | None = None
    statuses: tuple[int, ...] = (0, 2)


class Bench:
    """A folder to work in, and beside it what no command may touch."""

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.outside = folder / "outside"
        self.outside.mkdir(parents=True)
        (self.outside / "victim").write_text("mine")
        self._before = tree(self.outside)

    def tried(self, case: Case) -> str:
        """What is wrong with how a command ended; empty where nothing is."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        case.lay(self.work)
        before = tree(self.work)
        with tempfile.TemporaryFile("w+b") as printed:
            ended = runs.command(*case.args, within=lambda: _bounds(self.work, printed.fileno(), case.befalls))
            printed.seek(0)
            out = printed.read().decode(errors="replace")
        return _fault(ended.status, case.statuses, out, ended.err) or self._touched(ended.status, before)

    def _touched(self, status: int, before: dict[str, str]) -> str:
        if tree(self.outside) != self._before:
            shutil.rmtree(self.outside)
            self.outside.mkdir()
            (self.outside / "victim").write_text("mine")
            return "code ran, or a file outside was touched"
        after = tree(self.work)
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        return f"refused, and {', '.join(changed)} changed" if status and changed else ""


def tree(folder: Path) -> dict[str, str]:
    """Every path below, with what tells it from another; locks are passed over."""
    found = {}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if path.name in _LOCKS:
            continue
        if stat.S_ISLNK(mode):
            what = os.readlink(path)
        elif stat.S_ISREG(mode):
            with path.open("rb") as file:
                what = f"{path.stat().st_size} {hashlib.sha256(file.read(2**22)).hexdigest()}"
        else:
            what = str(stat.S_IFMT(mode))
        found[str(path.relative_to(folder))] = what
    return found


@contextlib.contextmanager
def _bounds(folder: Path, out: int, befalls: Callable[[int, str, str], None] | None) -> Iterator[None]:
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    os.dup2(out, 1)
    Path("/proc/self/clear_refs").write_text("5")  # so that the peak is this process's own
    held = _kilobytes("VmHWM")
    resource.setrlimit(resource.RLIMIT_AS, (_kilobytes("VmSize") * 1024 + _REFUSED_BYTES,) * 2)
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(WAITS)
    try:
        with contextlib.nullcontext() if befalls is None else Operations(folder, befalls):
            yield
    finally:
        sys.stdout.flush()
        if (more := (_kilobytes("VmHWM") - held) * 1024) > MORE_BYTES:
            print(f"MemoryError: {more / 2**20:,.0f} MiB were needed", file=sys.stderr)


def _kilobytes(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0])


def _fault(status: int, statuses: tuple[int, ...], out: str, err: str) -> str:
    if status in (-signal.SIGALRM, -signal.SIGPROF):
        return f"not done after {SECONDS} s of computing, or {WAITS} s"
    lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
    if status not in statuses:
        return f"exit status {status}: {err[-400:]}"
    if "Traceback" in err or _MEMORY.search(err):
        return err[-400:]
    if any(not c.isprintable() and c != "\n" for c in out + err):
        return f"control characters: {(out + err)[-400:]!r}"
    if status == 2 and (len(lines) != 1 or not lines[0].startswith("balancer: ") or len(lines[0]) > 3000):
        return f"not one line: {err[-400:]}"
    return ""
