"""The figures that laws will be judged by, on cases whose answer is known, and the judges behind them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from balancer.errors import DataError
from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS, from_fonts
from zi2zi_model.data.glyphs import Pixels
from zi2zi_model.data.pairs import GlyphData
from zi2zi_model.judging import judges
from zi2zi_model.judging.evaluation import figures_of

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def data() -> GlyphData:
    return from_fonts()


def blurred(pictures: Pixels, radius: float = 1.0) -> Pixels:
    return np.stack([np.asarray(Image.fromarray(p).filter(ImageFilter.GaussianBlur(radius))) for p in pictures])


def figures(data: GlyphData, output: Pixels) -> tuple[dict[str, float], list[str]]:
    """Of outputs for all characters; each is to be found among source and target glyphs of all."""
    references = np.concatenate([data.source, data.target])
    return figures_of(output, data.target, data.characters, references, [*data.characters, *data.characters])


def test_the_target_itself_scores_best(data: GlyphData) -> None:
    best, taken = figures(data, data.target)
    assert best == pytest.approx(
        {"L1": 0, "SSIM": 1, "edge sharpness": 1, "style distance": 0, "content accuracy": 1}, abs=1e-6
    )
    assert taken == list(data.characters)


@pytest.mark.parametrize("radius", [0.7, 1.0, 1.5])
def test_a_blurred_target_loses_and_wins_nothing(data: GlyphData, radius: float) -> None:
    soft, _ = figures(data, blurred(data.target, radius))
    assert soft["edge sharpness"] < 0.8
    assert soft["style distance"] > 0.4
    assert soft["L1"] > 0
    assert soft["SSIM"] < 1
    assert soft["content accuracy"] > 0.98  # it is still the right character


def test_more_blur_loses_more(data: GlyphData) -> None:
    rows = [figures(data, blurred(data.target, radius))[0] for radius in (0.7, 1.0, 1.5)]
    for name, worse in (("edge sharpness", -1), ("style distance", 1), ("L1", 1), ("SSIM", -1)):
        values = [worse * row[name] for row in rows]
        assert values == sorted(values), name


def test_another_font_loses_on_style(data: GlyphData) -> None:
    """These two are both plain sans faces: a short way, but longer than from one half of a font to the other."""
    other, _ = figures(data, data.source)
    half = judges.style_distance(data.target[::2], data.target[1::2])
    assert other["style distance"] > 2 * half
    assert other["content accuracy"] > 0.98
    heavy = np.stack([np.asarray(Image.fromarray(p).filter(ImageFilter.MinFilter(3))) for p in data.target])
    assert figures(data, heavy)[0]["style distance"] > 0.5


def test_another_character_loses_on_content_alone(data: GlyphData) -> None:
    wrong, taken = figures(data, np.roll(data.target, 1, axis=0))
    assert wrong["content accuracy"] == 0
    assert taken == [data.characters[-1], *data.characters[:-1]]
    assert wrong["style distance"] == pytest.approx(0, abs=1e-6)
    assert wrong["edge sharpness"] == pytest.approx(1)
    assert wrong["L1"] > 0.1


def test_sets_of_twenty_glyphs_of_one_font_are_near(data: GlyphData) -> None:
    order = np.random.default_rng(0).permutation(256)
    distances = [
        judges.style_distance(data.target[order[i : i + 20]], data.target[order[i + 20 : i + 40]])
        for i in range(0, 200, 40)
    ]
    assert max(distances) < 0.3


def test_size_hardly_matters(data: GlyphData) -> None:
    large = from_fonts(size=128)
    taken = judges.recognise(large.target, large.characters, data.source, data.characters)
    assert np.mean([one == two for one, two in zip(taken, large.characters, strict=True)]) > 0.98


def test_every_glyph_of_the_unseen_target_is_recognised_by_the_source_alone(data: GlyphData) -> None:
    taken = judges.recognise(data.target, data.characters, data.source, data.characters)
    assert np.mean([one == two for one, two in zip(taken, data.characters, strict=True)]) > 0.98


def test_the_weights_are_those_of_the_record() -> None:
    record = json.loads((judges.WEIGHTS / judges.RECORD).read_text(encoding="utf-8"))
    for name in judges.JUDGES:
        data = (judges.WEIGHTS / f"{name}.safetensors").read_bytes()
        assert hashlib.sha256(data).hexdigest() == record[name]["sha256"]
        assert len(data) == record[name]["bytes"] < 1_500_000
        assert record[name]["command"] == f"python benchmarks/train_judges.py {name}"
    unseen = [font["file"] for font in record["fonts"] if not font["trained on"]]
    assert any("Droid" in file for file in unseen)
    assert any("MTLmr3m" in file for file in unseen)


def test_damaged_weights_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(judges.WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(judges, "WEIGHTS", tmp_path / "weights")
    judges.load.cache_clear()
    path = tmp_path / "weights" / "style.safetensors"
    contents = bytearray(path.read_bytes())
    contents[5000] ^= 1
    path.write_bytes(contents)
    try:
        with pytest.raises(DataError, match=r"style\.safetensors: are not those that judges\.json names"):
            judges.load("style")
        path.unlink()
        with pytest.raises(DataError, match="cannot be read: No such file"):
            judges.load("style")
    finally:
        judges.load.cache_clear()


def test_a_run_is_evaluated_worst_first(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    targets = f"model.targets={EMBEDDED_TARGETS[0]},{EMBEDDED_SOURCE}"
    train = ["train", "--plugins", "", "--steps", "3", "--quiet", "--device", "cpu", "--out", run]
    made = cli(*train, "--set", targets, "--set", f"model.source={EMBEDDED_SOURCE}", "--set", "model.charset=demo")
    assert made.status == 0, made.err
    result = json.loads(cli("zi2zi", "evaluate", run, "--json").out)
    assert list(result["styles"]) == ["target.ttf", "source.ttf"]
    for style in result["styles"].values():
        assert style["characters"] == len(style["glyphs"]) == 21
        wrong = [glyph["taken for"] != glyph["character"] for glyph in style["glyphs"]]
        assert wrong == sorted(wrong, reverse=True)
        for group in (True, False):
            values = [glyph["L1"] for glyph, bad in zip(style["glyphs"], wrong, strict=True) if bad == group]
            assert values == sorted(values, reverse=True)
        assert np.mean([glyph["L1"] for glyph in style["glyphs"]]) == pytest.approx(style["figures"]["L1"], abs=1e-6)
    # The second style is the source font, so the source as it is has nothing to lose.
    assert result["styles"]["source.ttf"]["source as it is"]["L1"] == pytest.approx(0, abs=0.01)
    with Image.open(run / "evaluation.png") as sheet:
        assert sheet.height > 64 * 6
    one = cli("zi2zi", "evaluate", run, "--style", "1", "--out", tmp_path / "one.png")
    assert "style 1 source.ttf: 21 held-out characters" in one.out
    assert "target.ttf" not in one.out
    assert cli("zi2zi", "evaluate", run, "--style", "5").status == 2
