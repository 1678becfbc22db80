"""What a plugin decides at an epoch's end belongs to the epoch's last step, and holds from the next one on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from balancer import Plugin, RunInfo, hookimpl
from balancer.record.signals import read_signals
from balancer.testing import toy_trainer
from balancer.train.loop import Trainer
from balancer.train.progress import Progress


class Fading(Plugin):
    """Halves lambda_adv at the end of each epoch."""

    name = "fading"
    writes = {"lambda_adv": ("set",)}

    @hookimpl
    def on_epoch_end(self, run: RunInfo, epoch: int) -> None:
        self.knobs["lambda_adv"].set(0.5 ** (epoch + 1))


def fading(folder: Path) -> Trainer:
    """Three steps an epoch."""
    return toy_trainer([Fading], {"model": {"points": 96}}, folder, checkpoint_every=3, keep=9)


def decided(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "decisions.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_decision_at_an_epochs_end_has_its_last_step(tmp_path: Path) -> None:
    assert fading(tmp_path).run(8, Progress(8, quiet=True))
    rows = [(row["step"], row["epoch"], row["moment"], row["new"]) for row in decided(tmp_path)]
    assert rows == [(2, 0, "on_epoch_end", 0.5), (5, 1, "on_epoch_end", 0.25)]
    assert read_signals(tmp_path)["lambda_adv"].tolist() == [1.0] * 3 + [0.5] * 3 + [0.25] * 2


@pytest.mark.parametrize("stop", [3, 4, 6])
def test_a_run_that_stopped_after_it_keeps_it_when_it_goes_on(tmp_path: Path, stop: int) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fading(whole).run(8, Progress(8, quiet=True))
    first = fading(parts)
    first.run(stop, Progress(stop, quiet=True))
    second = fading(parts)
    second.load_state_dict(first.state_dict())
    second.run(8, Progress(8, quiet=True))
    assert decided(parts) == decided(whole)
    assert read_signals(parts)["lambda_adv"].tolist() == read_signals(whole)["lambda_adv"].tolist()
