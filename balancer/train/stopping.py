"""Ctrl-C and SIGTERM end a run at the next step boundary."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class StopRequests:
    """Whether Ctrl-C or SIGTERM has asked for an end at the next step boundary; a second Ctrl-C breaks off."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Catch both signals while a run goes on, where this is the main thread."""
    stop = StopRequests()
    try:
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        yield stop
        return
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
