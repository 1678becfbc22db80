"""After fine-tuning: which styles of the run before are still drawn, which rows were taken, and where none can say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.zi2zi_runs import SMALL, TWO_STYLES, arguments, call, ok

from zi2zi_model.judging.old_styles import STILL

Cli = Callable[..., Any]
NEW: dict[str, Any] = {"max_characters": 40, "held_out": 0.2, "charset": "demo"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two styles, which keeps no average, so that few steps show."""
    run = tmp_path_factory.mktemp("base") / "first"
    call(*arguments(run, 2, **SMALL, **TWO_STYLES), "--set", "train.ema_half_life=0")
    return run


def tuned(base: Path, out: Path, steps: int, lr: float, **model: Any) -> Path:
    words = arguments(out, steps, start=base, **{**NEW, **model})
    call(*words, "--set", f"train.lr={lr}", "--set", "train.ema_half_life=0")
    return out


def old(run: Path, cli: Cli) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ok(cli("zi2zi", "evaluate", run, "--json")).out)["old styles"]
    return found


def test_it_says_which_old_styles_are_still_drawn(base: Path, tmp_path: Path, cli: Cli) -> None:
    kept = old(tuned(base, tmp_path / "kept", 1, 1e-9), cli)
    assert [(style["style"], style["row"], style["run"]) for style in kept] == [
        ("target.ttf", 0, "first"),
        ("source.ttf", 1, "first"),
    ]
    for style in kept:
        assert style["still drawn"] is True
        assert style["figures"]["style distance"] == pytest.approx(0, abs=0.01)
        assert style["figures"]["content cosine"] == pytest.approx(1, abs=0.01)
    lost_run = tuned(base, tmp_path / "lost", 3, 0.1)
    for style in old(lost_run, cli):
        figures = style["figures"]
        assert style["still drawn"] is False
        assert (
            figures["style distance"] > STILL["style distance"] or figures["content cosine"] < STILL["content cosine"]
        )
    said = ok(cli("zi2zi", "evaluate", lost_run)).out
    assert "style 0 target.ttf of first: no longer drawn as there (L1 0." in said
    assert "style 0 target.ttf of first" not in ok(cli("zi2zi", "evaluate", lost_run, "--style", "8")).out


def test_a_row_that_was_taken_and_runs_before_the_one_before(base: Path, tmp_path: Path, cli: Cli) -> None:
    again = tuned(base, tmp_path / "again", 1, 1e-9, style_offset=0)
    third = tuned(again, tmp_path / "third", 1, 1e-9)
    found = [
        (style["run"], style["row"], style.get("trained as", style.get("still drawn"))) for style in old(third, cli)
    ]
    assert found == [("again", 0, True), ("first", 0, "target.ttf"), ("first", 1, True)]


def test_a_run_without_the_one_before_is_evaluated_all_the_same(base: Path, tmp_path: Path, cli: Cli) -> None:
    gone = shutil.copytree(base, tmp_path / "gone")
    run = tuned(gone, tmp_path / "run", 1, 1e-9)
    shutil.rmtree(gone)
    said = ok(cli("zi2zi", "evaluate", run)).out
    assert "what is left of the styles of gone cannot be said: " in said


def test_a_start_names_the_styles_that_it_leaves(base: Path, tmp_path: Path, cli: Cli) -> None:
    words = [word for word in arguments(tmp_path / "run", 1, start=base, **NEW) if word != "--quiet"]
    said = ok(cli(*words))
    assert "its styles 0 (target.ttf), 1 (source.ttf) keep their rows and are not trained" in said.out + said.err
    drawn = ok(cli("zi2zi", "infer", tmp_path / "run", "--text", "永", "--style", "1", "--out", tmp_path / "drawn"))
    assert "row 1 is not a style that this run was trained on; of those of first, evaluate says which" in drawn.err
