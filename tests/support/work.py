"""How much work something is: the lines of Python that it runs, as many on every machine however busy it is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def lines_run(action: Callable[[], object]) -> int:
    """How many lines of Python the action runs, in this thread."""
    count = 0

    def note(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return note

    before = sys.gettrace()
    sys.settrace(note)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def assert_in_proportion(action: Callable[[int], object], size: int) -> None:
    """An input twice as large may be twice the work, with something to spare, but not four times."""
    action(size)  # what is done once, such as imports, is done here
    one, two, four = (lines_run(lambda times=times: action(times * size)) for times in (1, 2, 4))  # type: ignore[misc]
    assert two <= 3 * one and four <= 3 * two, (one, two, four)
