"""The curve of fixed values in the plane of two distances, and how far from what it reaches a setting lies.

Both distances are the smaller the better. The curve is a line through its points, in order; what some point of the
line equals or betters in both is its region. A setting outside of the region is beyond the curve: it comes to what no
fixed value does. One inside of it is behind. On the border it comes to what a fixed value comes to as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """A line through one point or more, in order; `units` is what counts as 1 along each axis."""

    points: tuple[Point, ...]
    units: Point = (1.0, 1.0)

    @cached_property
    def border(self) -> tuple[Point, ...]:
        """The corners of the region's border, from its left end, above which it goes straight up, to its lowest."""
        return tuple((x * self.units[0], y * self.units[1]) for x, y in self._border)

    def distance(self, point: Point) -> float:
        """From the border, in units: below 0 beyond the curve, above 0 behind it."""
        x, y = point[0] / self.units[0], point[1] / self.units[1]
        there = self._nearest(x, y)
        away = math.hypot(there[0] - x, there[1] - y)
        return away if y >= self._height(x) else -away

    def nearest(self, point: Point) -> Point:
        """The point of the border that `distance` is measured to."""
        x, y = self._nearest(point[0] / self.units[0], point[1] / self.units[1])
        return x * self.units[0], y * self.units[1]

    def without(self, position: int) -> Curve:
        """The line through the other points."""
        return Curve(self.points[:position] + self.points[position + 1 :], self.units)

    @cached_property
    def _scaled(self) -> tuple[Point, ...]:
        return tuple((x / self.units[0], y / self.units[1]) for x, y in self.points)

    @cached_property
    def _segments(self) -> tuple[tuple[Point, Point], ...]:
        """Each from its left end to its right one; a single point is a segment of no length."""
        points = self._scaled if len(self._scaled) > 1 else self._scaled * 2
        return tuple((min(pair), max(pair)) for pair in pairwise(points))

    def _height(self, x: float) -> float:
        """The lowest y of the region above x; infinite left of it."""
        return min(_height(segment, x) for segment in self._segments)

    @cached_property
    def _border(self) -> tuple[Point, ...]:
        bends = sorted({x for x, _ in self._scaled} | {*self._crossings()})
        corners: list[Point] = []
        for x, following in pairwise(bends):
            height = self._height(x)
            # Straight up to the next bend, where the border may fall at once.
            corners += [(x, height), (following, 2 * self._height((x + following) / 2) - height)]
        corners.append((bends[-1], self._height(bends[-1])))
        return tuple(corner for at, corner in enumerate(corners) if at == 0 or corner != corners[at - 1])

    def _crossings(self) -> Iterator[float]:
        """Where a segment crosses another one, or the height of a point."""
        levels = [((-math.inf, y), (math.inf, y)) for _, y in self._scaled]
        for (left, low), (right, high) in self._segments:
            if left == right:
                continue
            slope = (high - low) / (right - left)
            for (begin, first), (end, last) in [*self._segments, *levels]:
                if begin == end:
                    continue
                other = (last - first) / (end - begin)
                if slope == other:
                    continue
                # Of a level, its height is the same everywhere.
                base, origin = (first, begin) if math.isfinite(begin) else (first, left)
                x = left + (base + other * (left - origin) - low) / (slope - other)
                if left < x < right:
                    yield x

    def _nearest(self, x: float, y: float) -> Point:
        (first, top), (last, bottom) = self._border[0], self._border[-1]
        ends = [((first, top), (first, max(top, y))), ((last, bottom), (max(last, x), bottom))]
        found = [_projected(segment, x, y) for segment in [*ends, *pairwise(self._border)]]
        return min(found, key=lambda point: math.hypot(point[0] - x, point[1] - y))


def units_of(points: Sequence[Point]) -> Point:
    """The range of points along each axis; where they do not differ, how large they are, or 1."""
    return _unit([x for x, _ in points]), _unit([y for _, y in points])


def _unit(values: Sequence[float]) -> float:
    size = max(abs(value) for value in values)
    spread = max(values) - min(values)
    return spread if spread > 1e-9 * size else size or 1.0


def _height(segment: tuple[Point, Point], x: float) -> float:
    """The lowest y of a segment's part left of x."""
    (left, low), (right, high) = segment
    if x < left:
        return math.inf
    if x >= right:
        return min(low, high)
    return min(low, low + (x - left) / (right - left) * (high - low))


def _projected(segment: tuple[Point, Point], x: float, y: float) -> Point:
    """The point of a segment that is nearest."""
    (x0, y0), (x1, y1) = segment
    length = (x1 - x0) ** 2 + (y1 - y0) ** 2
    part = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length if length else 0.0
    part = min(1.0, max(0.0, part))
    return x0 + part * (x1 - x0), y0 + part * (y1 - y0)
