"""Names beside points of a picture that lie neither over each other nor over points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len

from balancer.errors import one_line

FONT: Final = 12.0  # pixels
_LETTER: Final = 0.66 * FONT  # of bold letters few are wider
_TALL: Final = FONT + 4
_MOST: Final = 24  # letters of a name
_AWAY: Final = (8.0, 16.0, 28.0, 44.0, 64.0, 90.0, 120.0)
# The right of a point is tried before its left, and sides before above and below.
_ANGLES: Final = (0, 180, 45, -45, 135, -135, 90, -90, 20, -20, 160, -160)
_POINT: Final = 5.0  # half as wide as a point is drawn


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether they lie over each other."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def holds(self, other: Box) -> bool:
        """Whether the other lies within."""
        across = self.left <= other.left and other.right <= self.right
        return across and self.top <= other.top and other.bottom <= self.bottom


class Label(NamedTuple):
    """A name in its box; (x, y) is the left end of its base line, `leader` the way to its point where that is far."""

    text: str
    x: float
    y: float
    leader: tuple[tuple[float, float], ...]
    box: Box


def labels(points: Sequence[tuple[tuple[str, str], float, float]], frame: Box) -> tuple[list[Label], list[str]]:
    """Names for points ((name, figure), x, y), within the frame; and those for which there is no room."""
    taken = [Box(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for _, x, y in points]
    found, unnamed = [], []
    for (name, figure), x, y in points:
        text = one_line(name)
        text = f"{text if len(text) <= _MOST else f'{text[: _MOST - 1]}…'} {figure}".rstrip()
        for box in _boxes(x, y, cell_len(text) * _LETTER + 4):
            if frame.holds(box) and not any(box.meets(other) for other in taken):
                taken.append(box)
                found.append(Label(text, round(box.left + 2, 1), round(box.bottom - 4, 1), _leader(box, x, y), box))
                break
        else:
            unnamed.append(name)
    return found, unnamed


def _boxes(x: float, y: float, wide: float) -> Iterator[Box]:
    """Places around a point, the nearest first."""
    for away in _AWAY:
        for angle in map(math.radians, _ANGLES):
            # To the right a name begins there, to the left it ends there, above and below it is centred.
            left = x + away * math.cos(angle) - wide * (1 - math.cos(angle)) / 2
            top = y - away * math.sin(angle) - _TALL * (1 + math.sin(angle)) / 2
            yield Box(left, top, left + wide, top + _TALL)


def _leader(box: Box, x: float, y: float) -> tuple[tuple[float, float], ...]:
    near = min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)
    return ((round(near[0], 1), round(near[1], 1)), (x, y)) if math.dist(near, (x, y)) > 14 else ()
