"""The figures of `balancer zi2zi compare` on cases whose answer is known, and the sentence it draws from them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from zi2zi_model.data.font_data import from_fonts
from zi2zi_model.judging.compare import closer_of, who_came_closer
from zi2zi_model.judging.measures import measure


@pytest.fixture(scope="module")
def glyphs() -> Any:
    return from_fonts(max_characters=60)


def blurred(pixels: Any) -> Any:
    return np.stack([np.asarray(Image.fromarray(one).filter(ImageFilter.GaussianBlur(2))) for one in pixels])


def test_the_target_itself_scores_best(glyphs: Any) -> None:
    figures = measure(glyphs.target, glyphs.target)
    assert figures["L1"] == 0 and figures["patch distance"] == 0
    assert figures["SSIM"] == pytest.approx(1)
    assert figures["edge sharpness"] == 1


def test_a_blurred_target_loses_on_sharpness_and_on_stroke_style(glyphs: Any) -> None:
    figures = measure(blurred(glyphs.target), glyphs.target)
    assert figures["edge sharpness"] < 0.5
    # Further from the target's strokes than another typeface is.
    assert figures["patch distance"] > measure(glyphs.source, glyphs.target)["patch distance"]


def test_stroke_style_does_not_ask_which_characters_they_are(glyphs: Any) -> None:
    shuffled = np.roll(glyphs.target, 7, axis=0)
    figures = measure(shuffled, glyphs.target)
    assert figures["patch distance"] < 0.2 * measure(glyphs.source, glyphs.target)["patch distance"]
    assert figures["L1"] > measure(glyphs.source, glyphs.target)["L1"]


def test_who_is_closer() -> None:
    assert closer_of("L1", 0.08, 0.09) == 0
    assert closer_of("SSIM", 0.7, 0.8) == 1
    assert closer_of("edge sharpness", 1.3, 0.9) == 1
    assert closer_of("L1", 0.0900, 0.0901) is None


def test_the_sentence_names_what_speaks_for_and_against() -> None:
    labels = ["baseline", "with plugins"]
    lost = who_came_closer(labels, {"L1": 0, "SSIM": 0, "patch distance": 1, "edge sharpness": None})
    assert lost.startswith("baseline came closer to the target, by L1 and SSIM, but not by patch distance.")
    assert who_came_closer(labels, {"L1": 0, "SSIM": 1}).startswith("Neither came closer")


def test_runs_that_cannot_be_compared(tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("--set", "model.max_characters=24", "--steps", 1, "--device", "cpu", "--plugins", "", "--quiet")
    assert cli("train", *small, "--out", "one").status == 0
    assert cli("train", *small, "--out", "raw", "--set", "model.align=none").status == 0
    for second, message in (
        ("one", "one and the same run"),
        ("raw", "differ in their glyph data"),
        ("nowhere", "no run there"),
    ):
        result = cli("zi2zi", "compare", "one", second)
        assert result.status == 2
        assert message in result.err and result.err.count("\n") == 1
    assert not Path("compare.png").exists()
