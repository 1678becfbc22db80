"""A frozen encoder: not a bit of it changes, and everything else is trained."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from support.zi2zi_runs import SMALL, arguments, ok, state, zi2zi_trainer

Cli = Callable[..., Any]
PIECES: list[dict[str, Any]] = [{"norm": "batch", "decoder": "transposed"}, {"attention": "3", "shuffle_labels": True}]


@pytest.mark.parametrize("pieces", PIECES, ids=["batch norm", "attention"])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_frozen_encoder_stays_to_the_bit(pieces: dict[str, Any], parts: int) -> None:
    trainer = zi2zi_trainer(model={"freeze_encoder": True, **pieces}, micro_batches=parts, ema_half_life=50.0)
    before = deepcopy(trainer.G.state_dict())
    for _ in range(3):
        trainer.step(trainer.next_batch())
    after = trainer.G.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert not [key for key in changed if key.startswith("encoder.")]
    assert {f"decoder.{index}.conv.weight" for index in range(5)} | {"embedding.weight"} < changed
    if "norm" in pieces:
        assert "decoder.0.norm.running_mean" in changed


def test_an_encoder_that_is_not_frozen_is_trained() -> None:
    trainer = zi2zi_trainer(model={"norm": "batch", "decoder": "transposed"})
    before = deepcopy(trainer.G.state_dict())
    trainer.step(trainer.next_batch())
    changed = {key for key, value in trainer.G.state_dict().items() if not torch.equal(before[key], value)}
    assert {"encoder.0.conv.weight", "encoder.1.norm.running_mean"} < changed


def test_a_frozen_run_is_resumed_to_the_same_bits(tmp_path: Path, cli: Cli) -> None:
    model = {**SMALL, "freeze_encoder": True, "norm": "batch"}
    for name, steps in (("whole", 5), ("parts", 2)):
        ok(cli(*arguments(tmp_path / name, steps, **model)))
    ok(cli("train", "--resume", tmp_path / "parts", "--steps", "5", "--quiet"))
    one, two = (state(tmp_path / name)["generator"] for name in ("whole", "parts"))
    assert all(torch.equal(one[key], two[key]) for key in one)
