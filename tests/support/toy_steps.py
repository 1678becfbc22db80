"""Steps of the toy trainer, and weights before and after them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from balancer.train.loop import Trainer
from support.built_in import BUILT_IN

BUILT_INS = BUILT_IN
# Every plugin has something to do within a few steps of 4 steps an epoch.
BUSY: dict[str, dict[str, Any]] = {
    "model": {"points": 64},
    "adversarial_start": {"step": 2, "d_warmup": 2, "ramp": 2},
    "d_skip": {"every": 2, "accuracy_above": 0.7},
    "dynamic_lambda": {"warmup_steps": 2, "bands": [[0.6, 0.1], [0.69, 0.3]], "above": 0.5},
    "freeze_head": {"until": 5, "clock": "step"},
    "instance_noise": {"steps": 8},
    "lambda_schedule": {"steps": [[0, 0.1], [1, 0.2], [2, 0.4]]},
    "r1": {"every": 3},
}


def advance(trainer: Trainer, steps: int) -> Trainer:
    for _ in range(steps):
        trainer.step(trainer.next_batch())
    return trainer


def weights(trainer: Trainer) -> dict[str, Tensor]:
    """A copy of everything that the networks hold."""
    nets = {"G": trainer.G, "D": trainer.D}
    return {f"{net}.{name}": value.clone() for net in nets for name, value in nets[net].state_dict().items()}


def equal(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
