"""The plane shows the curve and the null pair whatever lies far off, and says what it draws at its frame."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.comparisons import TOY
from support.lab_results import places, written

from balancer.lab.gathered import gathered
from balancer.lab.plan import NULL, read_plan
from balancer.lab.plane import Plane, plane
from balancer.lab.tables import tables

AT = {"lambda 1": (1.0, 2.0), "lambda 3": (2.0, 1.0), "ratio": (1.2, 1.2), NULL: (1.1, 1.9)}


def drawn(folder: Path, at: dict[str, tuple[float, float]]) -> Plane:
    (folder / "toy.toml").write_text(TOY)
    plan = read_plan(folder / "toy.toml")
    written(plan, folder, lambda job: places(job, at))
    (task,) = tables(plan, gathered(plan, [folder]))
    made = plane(task, 900, 560)
    assert made is not None
    return made


def width(made: Plane) -> float:
    """Of the curve, as a part of the frame."""
    fixed = [mark.x for mark in made.marks if "fixed" in mark.kind]
    return (max(fixed) - min(fixed)) / (made.frame.right - made.frame.left)


def test_an_arm_far_off_is_at_the_frame_and_named_and_leaves_the_curve_its_width(tmp_path: Path) -> None:
    made = drawn(tmp_path, {**AT, "ratio": (300.0, 1.2)})
    assert made.outside == ["ratio"] and width(made) > 0.6
    assert max(mark.x for mark in made.marks) == made.frame.right


@pytest.mark.parametrize("null", [(1.1, 1.9), (30.0, 1.9)])
def test_the_null_pair_is_always_within(null: tuple[float, float], tmp_path: Path) -> None:
    made = drawn(tmp_path, {**AT, NULL: null})
    (mark,) = (mark for mark in made.marks if mark.kind == "null")
    assert NULL not in made.outside and made.frame.left < mark.x < made.frame.right
    assert (width(made) < 0.1) == (null[0] > 2)


def test_an_arm_leads_to_the_border_and_has_its_distance_beside_its_name(tmp_path: Path) -> None:
    """Both ranges are 1, so (1.2, 1.2) is 0.6 / √2 beyond x + y = 3."""
    made = drawn(tmp_path, AT)
    marks = {mark.title.partition(":")[0]: mark for mark in made.marks}
    assert marks["ratio"].way and not marks["lambda 1"].way and "−0.424 from the curve" in marks["ratio"].title
    texts = {label.text for label in made.labels}
    assert {"ratio −0.42", "lambda 1", "lambda 3"} <= texts and len(texts) == 4 and not made.unnamed
