"""`balancer zi2zi evaluate` on a short run: what it compares with what, and in which order it shows glyphs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS
from zi2zi_model.judges.figures import FIGURES

Cli = Callable[..., Any]


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
        assert list(style["figures"]) == list(style["source as it is"]) == list(FIGURES)
        wrong = [glyph["taken for"] != glyph["character"] for glyph in style["glyphs"]]
        assert wrong == sorted(wrong, reverse=True) == [glyph["content margin"] < 0 for glyph in style["glyphs"]]
        for group in (True, False):
            found = zip(style["glyphs"], wrong, strict=True)
            values = [glyph["content cosine"] for glyph, bad in found if bad == group]
            assert values == sorted(values)
        for name in ("L1", "content cosine", "content margin"):
            mean = np.mean([glyph[name] for glyph in style["glyphs"]])
            assert mean == pytest.approx(style["figures"][name], abs=1e-6), name
        assert style["figures"]["content accuracy"] == pytest.approx(1 - np.mean(wrong))
    # The second style is the source font, so the source as it is has nothing to lose there.
    untouched = result["styles"]["source.ttf"]["source as it is"]
    assert untouched["L1"] == pytest.approx(0, abs=0.01)
    assert untouched["content cosine"] == pytest.approx(1, abs=0.01)
    assert result["styles"]["target.ttf"]["source as it is"]["content cosine"] < 0.97
    with Image.open(run / "evaluation.png") as sheet:
        # Of each style a line with its name, then two bands of three rows of glyphs.
        assert sheet.height == 2 * (6 * (64 + 4) + 26) - 4 + 16
    one = cli("zi2zi", "evaluate", run, "--style", "1", "--out", tmp_path / "one.png")
    assert "style 1 source.ttf: 21 held-out characters" in one.out
    assert "target.ttf" not in one.out
    for name, figure in FIGURES.items():
        assert f"\n{name:<18}" in one.out and f"({figure.meaning})" in one.out
    assert cli("zi2zi", "evaluate", run, "--style", "5").status == 2


def test_a_single_held_out_glyph_has_no_spread(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    few = ("--set", "model.max_characters=8", "--set", "model.held_out=0.1")
    made = cli("train", "--plugins", "", "--steps", 1, "--quiet", "--device", "cpu", "--out", run, *few)
    assert made.status == 0, made.err
    (style,) = json.loads(cli("zi2zi", "evaluate", run, "--json").out)["styles"].values()
    assert style["characters"] == 1
    assert {*FIGURES} - {*style["figures"]} == {"Fréchet distance", "kernel distance"}
