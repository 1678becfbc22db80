"""A run draws with the average of G's weights, or with G where it has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.zi2zi_runs import SMALL, arguments, ok, state

from zi2zi_model.drawing.inference import trained_run

Cli = Callable[..., Any]


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_run_draws_with_its_average(norm: str, tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    ok(cli(*arguments(run, 4, **SMALL, norm=norm), "--set", "train.ema_half_life=100"))
    kept = state(run)
    drawn_with = trained_run(run).generator.state_dict()
    assert kept["average"] is not None
    for key, value in drawn_with.items():
        assert torch.equal(value, kept["average"][f"module.{key}"]), key
    assert not torch.equal(drawn_with["embedding.weight"], kept["generator"]["embedding.weight"])
    assert not torch.equal(drawn_with["decoder.0.conv.weight"], kept["generator"]["decoder.0.conv.weight"])


def test_a_run_without_an_average_draws_with_g(trained: Path) -> None:
    raw = state(trained)["generator"]
    assert all(torch.equal(value, raw[key]) for key, value in trained_run(trained).generator.state_dict().items())
