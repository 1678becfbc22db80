"""`balancer train --dry-run`: what a run would be, with its memory and time estimated from one small real step."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import torch

from balancer.record.run_config import RunConfig
from balancer.train.run import build, length

if TYPE_CHECKING:
    from torch import Tensor

MEASURED_ITEMS = 2
TIMED_STEPS = 2


def dry_run(config: RunConfig) -> dict[str, Any]:
    """Build everything, take a few steps on at most two items without writing anything, and scale up.

    Returns parameters of G and D, data counts, bytes of memory (weights, gradients, Adam's two moments,
    the activations kept for the backward pass, which grow with the batch, and the average of G's weights, if the run
    keeps one), and seconds.
    """
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    small = config.train.model_copy(update={"batch_size": MEASURED_ITEMS * ranks})
    measured = RunConfig(config.model_name, config.family, config.model, small, config.composition, config.versions)
    trainer = build(measured, None)
    full_batch = min(config.train.batch_size, trainer.model.train_size)
    steps_per_epoch = max(1, trainer.model.train_size // full_batch)
    total = length(config, steps_per_epoch) if config.train.steps or config.train.epochs else steps_per_epoch
    scale = full_batch / trainer.batch_size
    kept = 0
    # Weights are saved for the backward pass too, but take no memory of their own; nor does a tensor saved twice.
    counted = {p.untyped_storage().data_ptr() for net in (trainer.G, trainer.D) for p in net.parameters()}
    alive = []

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in counted:
            counted.add(storage.data_ptr())
            kept += storage.nbytes()
            alive.append(storage)  # so that no other tensor gets its address meanwhile
        return tensor

    # Step 0 trains D, whatever period a plugin gives it, so it shows what the largest step keeps.
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        trainer.step(trainer.next_batch())
    began = time.perf_counter()
    for _ in range(TIMED_STEPS):
        trainer.step(trainer.next_batch())
    seconds = (time.perf_counter() - began) / TIMED_STEPS * scale
    parameters = {
        "generator": sum(p.numel() for p in trainer.G.parameters()),
        "discriminator": sum(p.numel() for p in trainer.D.parameters()),
    }
    weights = sum(p.numel() * p.element_size() for net in (trainer.G, trainer.D) for p in net.parameters())
    memory = {"weights, gradients and Adam": 4 * weights, "activations, at most": round(kept * scale)}
    if trainer.average is not None:
        memory["average of G"] = sum(p.numel() * p.element_size() for p in trainer.G.parameters())
    return {
        "parameters": parameters,
        "data": trainer.model.counts(),
        "remarks": list(trainer.model.remarks()),
        "steps": total,
        "steps per epoch": steps_per_epoch,
        "memory bytes": memory,
        "seconds per step": seconds,
        "seconds": seconds * total,
    }
