"""The judges alone, at every size of picture, on the embedded fonts, which neither was trained on.

`test_zi2zi_evaluation.py` has the known cases as `evaluate` judges them. A bound is looser than what was measured,
which the comment beside it gives for 64, 128 and 256 pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageFilter

from balancer.errors import DataError
from zi2zi_model.data.charsets import load_charset
from zi2zi_model.data.font import Font
from zi2zi_model.data.glyphs import Pixels, draw_glyph
from zi2zi_model.data.placement import align_to_source, centre_in_frame
from zi2zi_model.judging import judges

FONTS = Path(judges.__file__).parents[1] / "fonts"


class Drawn(NamedTuple):
    """The demo characters, and their pictures (256, S, S) in the embedded source and target font."""

    characters: tuple[str, ...]
    source: Pixels
    target: Pixels

    def accuracy(self, output: Pixels) -> float:
        """Share of outputs taken for their characters, among all in the source font alone."""
        taken = judges.recognise(output, self.characters, self.source, self.characters)
        return float(np.mean([one == other for one, other in zip(taken, self.characters, strict=True)]))


@pytest.fixture(scope="module", params=[64, 128, 256])
def drawn(request: pytest.FixtureRequest) -> Drawn:
    characters = load_charset("demo")
    source, target = Font(FONTS / "source.ttf"), Font(FONTS / "target.ttf")
    mean = source.mean_box(characters)
    placement = centre_in_frame(mean)
    aligned = align_to_source(target.mean_box(characters), mean, placement)
    pictures = [
        np.stack([draw_glyph(font, character, request.param, place) for character in characters])
        for font, place in ((source, placement), (target, aligned))
    ]
    return Drawn(characters, *pictures)


def blurred(pictures: Pixels, share: float) -> Pixels:
    """Softened by a Gaussian whose radius is a share of the side."""
    radius = share * pictures.shape[-1]
    return np.stack([np.asarray(Image.fromarray(p).filter(ImageFilter.GaussianBlur(radius))) for p in pictures])


def test_a_glyph_is_taken_for_its_character_by_another_font(drawn: Drawn) -> None:
    assert drawn.accuracy(drawn.target) >= 0.99  # 1, 1, 1


def test_blur_moves_style_long_before_content(drawn: Drawn) -> None:
    slight, strong = blurred(drawn.target, 1 / 128), blurred(drawn.target, 1 / 64)
    near, far = (judges.style_distance(soft, drawn.target) for soft in (slight, strong))
    assert near >= 0.2  # 0.31, 0.24, 0.26
    assert far >= 0.7  # 0.82, 0.79, 0.80
    assert drawn.accuracy(strong) >= 0.99  # 1, 1, 1


@pytest.mark.parametrize("count", [20, 60, 128])
def test_other_characters_of_one_font_are_near(drawn: Drawn, count: int) -> None:
    order = np.random.default_rng(0).permutation(len(drawn.characters))
    one, two = drawn.target[order[:count]], drawn.target[order[count : 2 * count]]
    assert judges.style_distance(one, two) <= 0.2  # 0.12 at most with 20, 0.10 with 60, 0.06 with 128, of ten draws


def test_what_is_not_a_glyph_has_neither_character_nor_style(drawn: Drawn) -> None:
    noise = np.random.default_rng(0).integers(0, 256, drawn.target.shape, dtype=np.uint8)
    for pictures in (noise, np.full_like(drawn.target, 255)):
        assert drawn.accuracy(pictures) <= 0.02  # 0.004, one of 256: chance
        assert judges.style_distance(pictures, drawn.target) >= 1  # 1.3 and more


def test_features_do_not_depend_on_what_is_judged_beside_them(drawn: Drawn) -> None:
    for judge in judges.JUDGES:
        together, alone = judges.features(judge, drawn.target), judges.features(judge, drawn.target[-3:])
        assert np.allclose(together[-3:], alone, atol=1e-5)


@pytest.mark.parametrize("text", ["", "{", None])
def test_a_damaged_record_is_refused(text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if text is not None:
        (tmp_path / judges.RECORD).write_text(text)
    monkeypatch.setattr(judges, "WEIGHTS", tmp_path)
    judges.record.cache_clear()
    try:
        with pytest.raises(
            DataError, match=r"^judge record .*judges\.json: missing or damaged; install balancer again$"
        ):
            judges.record()
    finally:
        judges.record.cache_clear()
