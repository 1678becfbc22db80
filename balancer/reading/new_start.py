"""Whether rows whose counter starts over from the very beginning go on with the run before them, or are another run."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from balancer.reading.source import Fact

FIRST_ROWS: Final = 5  # rows that tell how a run begins
LAST_ROWS: Final = 10  # rows that tell how it stood when it ended
KEPT_TEXTS: Final = 1000  # lines of other text that are kept, and
LONGEST_TEXT: Final = 200  # characters of each
# The text says that something of a run was loaded,
_LOADS: Final = re.compile(
    r"\b(?:resum|restor|reload|continuing)\w{0,12}\b"
    r"|\bload(?:ed|ing|s)?\b.{0,80}?(?:\b(?:model|checkpoint|ckpt|weights|state|snapshot|network|net)s?\b|\.(?:pth?|ckpt)\b)",
    re.IGNORECASE,
)
# unless it denies that, is an option that is off, or names somebody else's network.
_DENIES: Final = re.compile(
    r"\b(?:false|none|null|no|not|fail\w{0,8}|cannot|sav\w{0,8}|vgg\w{0,8}|lpips|inception|pretrained)\b|[:=]\s{0,8}0?\s{0,8}\Z",
    re.IGNORECASE,
)


class NewStart:
    """Remembers what a log prints before a counter starts over.

    A run goes on where the text between its rows says that something was loaded, or where most of its losses are
    nearer to how they stood at the end than to how they began. Else it is another run.
    """

    def __init__(self) -> None:
        self._first: Final[list[Mapping[str, float]]] = []
        self._last: Final[deque[Mapping[str, float]]] = deque(maxlen=LAST_ROWS)
        self._texts: Final[deque[tuple[int, str]]] = deque(maxlen=KEPT_TEXTS)

    def put(self, row: Mapping[str, float]) -> None:
        """Take the next row."""
        if len(self._first) < FIRST_ROWS:
            self._first.append(row)
        self._last.append(row)

    def put_text(self, rows: int, text: str) -> None:
        """Take a line of other text that comes after so many rows."""
        self._texts.append((rows, text[:LONGEST_TEXT]))

    def put_facts(self, rows: int, facts: Iterable[Fact]) -> None:
        """Take what a line says that comes after so many rows."""
        self._texts.extend((rows, "resumed") for fact in facts if fact.kind == "resumed")

    def goes_on(self, rows: int, row: Mapping[str, float]) -> bool:
        """Whether a row, after so many others, goes on with their run."""
        said = (text for after, text in self._texts if after == rows)
        return any(_LOADS.search(text) and not _DENIES.search(text) for text in said) or self._as_it_stood(row)

    def _as_it_stood(self, row: Mapping[str, float]) -> bool:
        votes = 0
        for name, value in row.items():
            first, last = _of(name, self._first), _of(name, self._last)
            if name in ("epoch", "step") or not first or not last:
                continue
            began, ended = sum(first) / len(first), sum(last) / len(last)
            # What moved no further than it swings tells nothing.
            if abs(began - ended) > 2 * (max(last) - min(last)):
                votes += 1 if abs(value - ended) < abs(value - began) else -1
        return votes > 0


def _of(name: str, rows: Iterable[Mapping[str, float]]) -> Sequence[float]:
    return [row[name] for row in rows if name in row]
