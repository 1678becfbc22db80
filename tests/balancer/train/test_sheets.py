"""Who draws the sheet of held-out samples, and how the networks stand meanwhile and afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from balancer.testing import toy_trainer


@pytest.mark.parametrize("half_life", [None, 64.0])
def test_the_average_draws_where_there_is_one(tmp_path: Path, half_life: float | None) -> None:
    trainer = toy_trainer([], folder=tmp_path, ema_half_life=half_life)
    seen: list[Any] = []

    def sheet(generator: torch.nn.Module) -> None:
        seen.append((generator, generator.training, trainer.D.training, torch.is_grad_enabled()))

    trainer.model.sheet = sheet  # type: ignore[method-assign]
    with trainer.balance:
        trainer.step(trainer.next_batch())
        trainer.draw_sheet(1)
    drawer = trainer.G if trainer.average is None else trainer.average.module
    assert (drawer is trainer.G) == (half_life is None)
    assert seen == [(drawer, False, False, False)]
    assert trainer.G.training and trainer.D.training
