"""Signals that ask for an end: at once before training, then at the next step boundary, with a checkpoint."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

# Of a shell, a scheduler, a terminal that closes, and Slurm before its limit; Windows lacks some.
SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
# Within this many seconds further signals are the same request: torchrun and timeout hand one on twice.
SAME_REQUEST: Final = 1.0


class Stopped(SystemExit):
    """A signal came before anything was trained; the exit status is 128 and its number, as a shell has it."""


class StopRequests:
    """The signal that asked for an end, if one did. Another one, a second or more later, ends the process at once.

    Attributes:
        number: the signal's number, 0 for none.
        quiet: whether nothing is said of an end after the step.
        early: what is said where it comes before there is anything to keep.
        at_end: what these signals call from the end of catching on; None for what they called before.
    """

    def __init__(self, quiet: bool = True) -> None:
        self.number = 0
        self.quiet = quiet
        self.early = ""
        self.at_end: Callable[[int, FrameType | None], None] | None = None
        self._training = False
        self._first = 0.0

    @property
    def name(self) -> str:
        """The signal's name."""
        return signal.Signals(self.number).name

    @property
    def broke_off(self) -> bool:
        """Whether it came before there was anything to keep."""
        return self.number > 0 and not self._training

    def begin(self) -> None:
        """From here on there is something to keep: a signal waits for the next step boundary.

        Raises:
            Stopped: one came already, where Python passes over what a signal raises.
        """
        if self.number:
            raise Stopped(128 + self.number)
        self._training = True

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if number == getattr(signal, "SIGHUP", None):
            leave_terminal()
        if not self.number:
            self.number, self._first = number, time.monotonic()
            if not self._training:
                if self.early:
                    self._say(f"{self.name}: {self.early}")
                if _imports(frame):
                    os._exit(128 + number)
                raise Stopped(128 + number)
            if not self.quiet:
                self._say(
                    f"{self.name}: ending after this step, with a checkpoint; another signal ends the run at once"
                )
        elif time.monotonic() - self._first > SAME_REQUEST:
            # Nothing is half-written: whatever is named as a checkpoint is whole.
            self._say("ended at once; the newest checkpoint is whole" if self._training else "ended at once")
            os._exit(128 + number)

    def _say(self, text: str) -> None:
        """Write past Python's own buffers, which may be in use right now; a bar has hidden the cursor."""
        with contextlib.suppress(OSError):
            cursor = "\x1b[?25h\n" if os.isatty(2) else ""
            os.write(2, f"{cursor}{text}\n".encode())


@contextlib.contextmanager
def stop_requests(*, quiet: bool = True) -> Iterator[StopRequests]:
    """Catch these signals meanwhile, where this is the main thread; one that is ignored (nohup) stays so.

    Where they are caught already, such as from the start of the command line, that goes on.
    """
    handlers = [signal.getsignal(getattr(signal, name)) for name in SIGNALS if hasattr(signal, name)]
    if caught := [handler for handler in handlers if isinstance(handler, StopRequests)]:
        caught[0].quiet = quiet
        yield caught[0]
        return
    stop = StopRequests(quiet)
    before = {}
    try:
        for name in SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, stop)
    except ValueError:  # another thread may not
        pass
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, stop.at_end or handler)


def end_at_once(number: int, frame: FrameType | None) -> None:
    """End this process at a signal, with the exit status that a shell gives it."""
    os._exit(128 + number)


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported: some pass over an exception there, and go on half-made."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def ignore_requests() -> None:
    """Pass over these signals from here on: the work is done, and the process leaves."""
    for name in SIGNALS:
        with contextlib.suppress(AttributeError, ValueError):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def leave_terminal() -> None:
    """Send what is still to be printed nowhere, where the terminal is gone and refuses it."""
    for stream in (1, 2):
        try:
            os.write(stream, b"")
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream)
            os.close(nowhere)
