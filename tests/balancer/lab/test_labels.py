"""Names in a picture lie neither over each other nor over points, however crowded it is."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from balancer.lab.labels import Box, labels

FRAME = Box(50.0, 20.0, 850.0, 520.0)


@pytest.mark.parametrize(("count", "spread"), [(5, 300), (20, 100), (40, 30)])
def test_names_lie_apart_and_each_is_there_or_said_to_be_left_out(count: int, spread: int) -> None:
    random = np.random.default_rng(count)
    at = np.clip(random.normal((400, 250), spread, (count, 2)), (50, 20), (850, 520))
    named, unnamed = labels([((f"an arm {i}", "+0.12"), float(x), float(y)) for i, (x, y) in enumerate(at)], FRAME)
    assert len(named) + len(unnamed) == count and len(named) >= min(count, 15)
    for one, other in combinations(named, 2):
        assert not one.box.meets(other.box), (one, other)
    for label in named:
        assert FRAME.holds(label.box)
        assert not any(label.box.left < x < label.box.right and label.box.top < y < label.box.bottom for x, y in at)


def test_a_name_that_stands_off_has_a_line_to_its_point_and_a_long_one_is_cut() -> None:
    points = [(("n" * 100, ""), 400.0, 250.0), *(((f"{i}", ""), 400.0 + i, 250.0) for i in range(8))]
    named, unnamed = labels(points, FRAME)
    assert not unnamed and len(named[0].text) == 24 and named[0].text.endswith("…")
    assert any(label.leader and label.leader[1] == (400.0 + int(label.text), 250.0) for label in named[1:])
