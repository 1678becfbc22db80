"""Lines that differ in their figures only, read hundreds at a time: most of a long log is such lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from balancer.reading.families import LineParser
from balancer.reading.lines import NumberedLines

if TYPE_CHECKING:
    from balancer.reading.series import Floats

SEGMENT: Final = 2048  # lines that are read at once, or
SMALLEST: Final = 256  # so many, where one among them is another
PATIENCE: Final = 4  # segments in a row that are not alike, before fewer are tried
REST: Final = 16  # segments that are then passed over
HIGHEST_COUNT: Final = 1e9  # a counter beyond it is left to the parser
_FIGURE: Final = re.compile(rb"-?\d{1,400}+(?:\.\d{0,400}+)?+")
_TOKEN: Final = re.compile(rb"[0-9.\-]{1,1000}+")
_EXPONENT: Final = re.compile(rb"\d\.?[eE][-+]?\d")
_CHANGES: Final = b"0123456789- "  # what may differ between lines that are alike
_END: Final = b"\x01"  # stands between lines, so that each has as many figures as the first
_BLANK: Final = bytes(code if chr(code) in "0123456789.-\x01" else 32 for code in range(256))


# The number of the first line, the lines, and their values by name where they are alike.
Segment = tuple[int, list[str], "dict[str, Floats] | None"]


class Alike:
    """Reads segments of lines that are alike, once a line of a parser's was learned.

    A segment is taken as a whole or not at all: where one line of it has other letters, signs or points, another count
    of figures, another figure within a name, or counters that do not go on as they should, it is left to the parser.
    """

    def __init__(self, parser: LineParser) -> None:
        self._parser: Final = parser
        self._skeleton = b""
        # How many figures a line has; those within names, as they are; the places of those that are values.
        self._count = 0
        self._fixed: dict[int, bytes] = {}
        self._places: dict[str, int] = {}
        # How far before the end of a line its last point stands; 0 where that does not matter.
        self._tail = 0
        self._failures = 0

    def learn(self, line: str) -> None:
        """Take a line that the parser has just read as a row."""
        self._skeleton = b""
        places = self._parser.places(line)
        if places is None or not line.isascii():
            return
        text = line.encode()
        found = list(_TOKEN.finditer(text))
        at = {match.start(): place for place, match in enumerate(found)}
        if self._parser.ends_alike and b"." not in found[-1][0]:
            return
        if _EXPONENT.search(text) or _END in text or not all(_FIGURE.fullmatch(match[0]) for match in found):
            return
        if not all(start in at for start in places.values()):
            return
        self._places = {name: at[start] for name, start in places.items()}
        self._fixed = {place: match[0] for place, match in enumerate(found) if _within_name(text, match)}
        self._count = len(found) + 1
        self._skeleton = text.translate(None, _CHANGES) + _END
        # The blank before what stands between lines is one more letter.
        self._tail = len(text) - text.rfind(b".") + 1 if self._parser.ends_alike else 0

    def segments(self, blocks: Iterable[NumberedLines], ready: Callable[[], bool]) -> Iterator[Segment]:
        """The lines of a log in segments, each with its values where its lines are alike.

        Args:
            ready: whether lines may be read at once now; asked before each segment.
        """
        for first, block in blocks:
            if not block:
                yield first, block, None
            for at in range(0, len(block), SEGMENT):
                yield from self._segments(first + at, block[at : at + SEGMENT], ready)

    def _segments(self, first: int, lines: list[str], ready: Callable[[], bool]) -> Iterator[Segment]:
        if self._failures > PATIENCE:
            self._failures = (self._failures + 1) % (PATIENCE + REST)
            yield first, lines, None
            return
        table = self._read(lines) if self._skeleton and ready() else None
        half = len(lines) // 2
        if table is not None or half < SMALLEST:
            self._failures = 0 if table is not None or not self._skeleton else self._failures + 1
            yield first, lines, table
        else:
            yield from self._segments(first, lines[:half], ready)
            yield from self._segments(first + half, lines[half:], ready)

    def _read(self, lines: Sequence[str]) -> dict[str, Floats] | None:
        """The values of these lines by name, of shape (lines,); None where they are not alike."""
        try:
            text = " \x01 ".join([*lines, ""]).encode("ascii")
        except UnicodeEncodeError:
            return None
        if text.translate(None, _CHANGES) != self._skeleton * len(lines):
            return None
        tokens, count = text.translate(_BLANK).split(), self._count
        if len(tokens) != count * len(lines) or set(tokens[count - 1 :: count]) != {_END}:
            return None
        if any(set(tokens[place::count]) != {figure} for place, figure in self._fixed.items()):
            return None
        if self._tail:
            letters = np.frombuffer(text, dtype=np.uint8)
            if (letters[np.flatnonzero(letters == _END[0]) - self._tail] != ord(".")).any():
                return None
        try:
            table = {
                name: np.fromiter(map(float, tokens[place::count]), dtype=float, count=len(lines))
                for name, place in self._places.items()
            }
        except ValueError:
            return None
        return table if _counts(table, self._parser.steps_per_epoch) else None


def _counts(table: dict[str, Floats], per_epoch: float | None) -> bool:
    """Put the step in where it follows from the batch; whether the counters are as the parser would take them."""
    for name in ("step", "epoch", "batch", "batches"):
        if name in table and not ((table[name] >= 0) & (table[name] < HIGHEST_COUNT)).all():
            return False
    if "batches" in table:
        batches = table.pop("batches")
        if per_epoch is None or per_epoch < 1 or (batches != per_epoch).any():
            return False
        if "batch" in table:
            batch = table.pop("batch")
            table["step"] = table["epoch"] * batches + batch
            return bool((batch <= batches).all())
    return True


def _within_name(text: bytes, match: re.Match[bytes]) -> bool:
    """Whether a figure may be part of a name, such as in D_1 or 2d; one with a point that letters follow has a unit."""
    around = text[max(match.start() - 1, 0) : match.start()]
    if b"." not in match[0]:
        around += text[match.end() : match.end() + 1]
    return any(letter in b"_" or bytes([letter]).isalpha() for letter in around)
