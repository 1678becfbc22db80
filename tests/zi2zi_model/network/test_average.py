"""A run draws with the average of G's weights, or with G where it has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.zi2zi_runs import SMALL, arguments, ok, state

from balancer.record.run_config import make_config
from zi2zi_model.drawing.inference import trained_run

Cli = Callable[..., Any]


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_run_draws_with_its_average(norm: str, tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    ok(cli(*arguments(run, 4, **SMALL, norm=norm)))
    kept = state(run)
    drawn_with = trained_run(run).generator.state_dict()
    assert kept["average"] is not None
    for key, value in drawn_with.items():
        assert torch.equal(value, kept["average"][f"module.{key}"]), key
    assert not torch.equal(drawn_with["embedding.weight"], kept["generator"]["embedding.weight"])
    assert not torch.equal(drawn_with["decoder.0.conv.weight"], kept["generator"]["decoder.0.conv.weight"])


def test_a_run_without_an_average_draws_with_g(tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    ok(cli(*arguments(run, 2, **SMALL), "--set", "train.ema_half_life=0"))
    raw = state(run)["generator"]
    assert all(torch.equal(value, raw[key]) for key, value in trained_run(run).generator.state_dict().items())
    assert state(run)["average"] is None


@pytest.mark.parametrize(("preset", "half_life"), [("tiny", 800), ("zi2zi", 10_000), ("classic", 10_000)])
def test_every_preset_keeps_one(preset: str, half_life: float) -> None:
    made = make_config({"model": {"preset": preset}}, {}, model="zi2zi")
    assert made.resolved()["train"]["ema_half_life"] == half_life


def test_who_draws_is_said(tmp_path: Path, cli: Cli) -> None:
    for name, half_life in (("with", 800), ("without", 0)):
        words = ("--set", f"train.ema_half_life={half_life}")
        ok(cli(*arguments(tmp_path / name, 2, **SMALL), *words))
    said = " at step 2, drawn with the average of G's weights\n"
    assert said in ok(cli("zi2zi", "evaluate", tmp_path / "with")).out
    assert "\nwithout at step 2\n" in "\n" + ok(cli("zi2zi", "evaluate", tmp_path / "without")).out
    compared = ("zi2zi", "compare", tmp_path / "without", tmp_path / "with", "--out", tmp_path / "two.png")
    assert "with alone draws with an average of G's weights" in ok(cli(*compared)).out
