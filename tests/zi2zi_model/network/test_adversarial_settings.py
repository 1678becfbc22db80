"""zi2zi trains with every adversarial loss, and refuses the one that does not go with label shuffling."""

from __future__ import annotations

import math
from typing import Any

import pytest

from balancer.errors import ConfigError
from balancer.record.run_config import RunConfig, make_config
from balancer.train.loop import Trainer
from balancer.train.run import build


def config(**model: Any) -> RunConfig:
    train = {"steps": 1, "device": "cpu", "batch_size": 2}
    return make_config({"run": {"model": "zi2zi"}, "train": train, "model": {"max_characters": 8, **model}}, {})


def stepped(made: RunConfig) -> Trainer:
    trainer = build(made, None)
    for _ in range(2):
        trainer.step(trainer.next_batch())
    return trainer


@pytest.mark.parametrize("adversarial", ["wasserstein", "relativistic", "relativistic_average"])
def test_a_step_is_taken_with_each(adversarial: str) -> None:
    made = config(adversarial=adversarial)
    assert made.resolved()["model"]["adversarial"] == adversarial
    row = stepped(made).balance.last_row
    critic = adversarial == "wasserstein"
    assert ("signal/critic_gap" in row, "signal/d_adv" in row) == (critic, not critic)
    assert math.isfinite(row["loss/adv"])


def test_label_shuffling_goes_with_averages_and_not_with_pairs() -> None:
    shuffled = {"shuffle_labels": True, "styles": 3}
    stepped(config(adversarial="relativistic_average", **shuffled))
    with pytest.raises(
        ConfigError, match="model zi2zi: the relativistic loss pairs each real image with one generated"
    ):
        config(adversarial="relativistic", **shuffled)
