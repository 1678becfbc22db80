"""What every figure says of glyphs of which it is known what is wrong, on embedded fonts that no judge was trained on.

docs/figures.md shows the same table.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.known_cases import RIGHT_CONTENT, RIGHT_STYLE, known_cases, stroked

from zi2zi_model.data.font_data import from_fonts
from zi2zi_model.data.sheet import evenly_spaced
from zi2zi_model.judges.figures import FIGURES, Targets

PAGE = Path(__file__).parents[3] / "docs" / "figures.md"
STYLE = ("style distance", "Fréchet distance", "kernel distance")
CONTENT = ("content cosine", "content margin")
Table = dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def table() -> Table:
    """Figures by case: 75 characters, the other 181 of the demo as what they might be taken for."""
    data = from_fonts()
    chosen = evenly_spaced(np.arange(len(data.characters)), 75)
    others = np.setdiff1d(np.arange(len(data.characters)), chosen)
    names = data.characters
    targets = Targets([names[i] for i in chosen], data.target[chosen], data.target[others], [names[i] for i in others])
    cases = known_cases(data.source[chosen], data.target[chosen], stroked(data.source[chosen]))
    return {case: targets.measure(output).figures for case, output in cases.items()}


def far(table: Table, case: str, figure: str) -> float:
    """How far from the target a figure finds a case."""
    return FIGURES[figure].distance(table[case][figure])


def nearer(table: Table, better: str, worse: str, figure: str) -> bool:
    """Whether a figure finds the better one nearer to the target, by a tenth of how far the worse one is."""
    return far(table, better, figure) < 0.9 * far(table, worse, figure)


def test_nothing_is_nearer_to_the_target_than_itself(table: Table) -> None:
    for name in FIGURES:
        # Not of another target, so the margin has no value of its own; the unbiased distance is about 0.
        expected = {"content margin": table["target"][name], "kernel distance": 0.0}.get(name, FIGURES[name].best)
        assert table["target"][name] == pytest.approx(expected, abs=0.05 if name == "kernel distance" else 1e-4), name
        assert all(far(table, "target", name) <= far(table, case, name) + 0.05 for case in table), name


@pytest.mark.parametrize("case", [*RIGHT_CONTENT, *RIGHT_STYLE, "noise", "white page"])
def test_every_fault_is_seen(table: Table, case: str) -> None:
    # The content margin of a target is not what an output reaches at best, so no share of it tells much.
    seen = [name for name in FIGURES if name != "content margin" and nearer(table, "target", case, name)]
    assert len(seen) >= 3


def test_more_blur_is_farther_by_every_figure_but_accuracy(table: Table) -> None:
    for name in FIGURES:
        assert name.startswith("content a") or far(table, "blurred 0.7 px", name) < far(table, "blurred 1.5 px", name)


@pytest.mark.parametrize("figure", CONTENT)
def test_content_asks_what_is_drawn_and_not_how(table: Table, figure: str) -> None:
    """Blur, weight, grey, a move, another font: less than a band of strokes, and that less than the whole character."""
    right = max(far(table, case, figure) for case in RIGHT_CONTENT)
    damaged = [far(table, case, figure) for case in ("strokes invented", "strokes missing")]
    assert right < min(damaged)
    assert max(damaged) < min(far(table, case, figure) for case in ("wrong character", "noise", "white page"))
    plain = ("blurred 0.7 px", "blurred 1.5 px", "bolder", "thinner", "half grey", "moved 1 px")
    assert all(
        nearer(table, case, worse, "content cosine") for case in plain for worse in ("source as it is", "wrong style")
    )


@pytest.mark.parametrize("figure", STYLE)
def test_style_asks_how_it_is_drawn_and_not_what(table: Table, figure: str) -> None:
    for case in ("blurred 0.7 px", "bolder", "half grey", "moved 1 px", "wrong character", "strokes invented"):
        assert far(table, case, figure) < 0.6 * far(table, "wrong style", figure), case
    assert far(table, "source as it is", figure) < far(table, "wrong style", figure)
    for case in ("moved 1 px", "wrong character"):
        assert far(table, case, figure) < 0.1
    assert min(far(table, case, figure) for case in ("noise", "white page")) > 1


def test_what_each_figure_is_blind_to(table: Table) -> None:
    # L1 and SSIM: a band of foreign strokes is less to them than a move by one pixel.
    assert nearer(table, "strokes invented", "moved 1 px", "L1")
    assert nearer(table, "strokes invented", "moved 1 px", "SSIM")
    # Sharpness: anything that is as sharp, and half grey is as bad to it as strong blur.
    for case in ("source as it is", "moved 1 px", "wrong character", "wrong style"):
        assert table[case]["edge sharpness"] == pytest.approx(1, abs=0.06), case
    assert table["half grey"]["edge sharpness"] < 0.3
    # Accuracy: all that leaves a glyph legible.
    assert all(table[case]["content accuracy"] > 0.97 for case in RIGHT_CONTENT)


def test_the_page_shows_this_table(table: Table) -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if " | " in line]
    first = next(index for index, row in enumerate(rows) if row == [*FIGURES])
    shown = {row[0]: [float(value.replace(",", "")) for value in row[1:]] for row in rows[first + 1 :][: len(table)]}
    assert [*shown] == [*table]
    for case, values in shown.items():
        assert values == pytest.approx([table[case][name] for name in FIGURES], rel=0.05, abs=0.01), case


def test_the_page_says_of_each_figure_what_it_is_blind_to() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"\n| {name} | {figure.meaning} | {figure.blind} |\n" in text for name, figure in FIGURES.items())
