"""`balancer train --dry-run`: what a run would be; its memory, time and disk from real steps, small ones first."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

from balancer.record.encoding import encode
from balancer.record.run_config import RunConfig
from balancer.train.peak_memory import PeakMemory
from balancer.train.run import build, length

if TYPE_CHECKING:
    from torch import Tensor

    from balancer.train.loop import Trainer

MEASURED_ITEMS: Final = 2  # of each micro-batch in the smallest steps
WHOLE_STEPS: Final = 3  # the first of which is not timed: libraries choose their ways for a size when it comes first
MOST_SECONDS: Final = 60.0  # that steps of the whole batch may take; longer ones are worked out from small ones


class _Took(NamedTuple):
    items: int
    seconds: float
    peak: int


def dry_run(config: RunConfig) -> dict[str, Any]:
    """Build everything, take a few steps and draw a sheet without writing anything.

    Steps of a few items come first. Those of the whole batch follow, unless by the small ones they take more memory
    than is free or more than a minute: then what they take is worked out from steps of two sizes.

    Returns parameters of G and D, data counts, the peak of memory in bytes (of the process; on a GPU what torch holds
    there), its parts that can be counted (weights, gradients, Adam's two moments, activations kept for the backward
    pass, the average of G's weights), bytes of a checkpoint and of those that are kept, and seconds.
    """
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    trainer = build(config, None)
    endless = not (config.train.steps or config.train.epochs)
    total = trainer.steps_per_epoch if endless else length(config, trainer.steps_per_epoch)
    items, parts = trainer.batch_size // ranks, config.train.micro_batches
    small, double = (min(items, times * MEASURED_ITEMS * parts) for times in (1, 2))
    memory = PeakMemory(trainer.accelerator.device)
    kept = _kept_by_a_step(trainer, small) / parts  # micro-batches come one after the other
    _step(trainer, double, memory)
    one, two = (_step(trainer, size, memory) for size in (small, double))
    whole = _worked_out(one, two, items, kept / small)
    free = memory.free()
    fits = (free is None or whole.peak - two.peak < free) and WHOLE_STEPS * whole.seconds < MOST_SECONDS
    if items > double and all(trainer.gather(fits)):
        steps = [_step(trainer, items, memory) for _ in range(WHOLE_STEPS)]
        seconds = sum(step.seconds for step in steps[1:]) / (WHOLE_STEPS - 1)
        whole = _Took(items, seconds, max(step.peak for step in steps))
    state: dict[str, Tensor] = {}
    text = encode(trainer.state_dict(), "state", state)
    checkpoint = len(str(text)) + sum(_bytes(tensor) for tensor in state.values())
    memory.begin()
    _draw(trainer)
    # A save copies no more than one tensor at a time.
    besides = memory.bytes() + max(map(_bytes, state.values()))
    weights = [p for net in (trainer.G, trainer.D) for p in net.parameters()]
    counted = {
        "weights, gradients and Adam": 4 * sum(map(_bytes, weights)),
        "activations, at most": round(kept * items / small),
    }
    if trainer.average is not None:
        counted["average of G"] = sum(map(_bytes, trainer.average.parameters()))
    return {
        "parameters": {
            "generator": sum(p.numel() for p in trainer.G.parameters()),
            "discriminator": sum(p.numel() for p in trainer.D.parameters()),
        },
        "data": trainer.model.counts(),
        "remarks": list(trainer.model.remarks()),
        "steps": total,
        "steps per epoch": trainer.steps_per_epoch,
        "peak memory bytes": max(whole.peak, besides, sum(counted.values())),
        "memory of": "the GPU" if memory.on_gpu else "the process",
        "memory bytes": counted,
        "checkpoint bytes": checkpoint,
        "checkpoints kept": config.train.keep,
        "seconds per step": whole.seconds,
        "seconds": whole.seconds * total,
    }


def _step(trainer: Trainer, items: int, memory: PeakMemory) -> _Took:
    """One step on the first items of this rank's batch."""
    batch = _first(trainer.next_batch(), items)
    memory.begin()
    began = time.perf_counter()
    trainer.step(batch)
    if memory.on_gpu:
        torch.cuda.synchronize()
    return _Took(items, time.perf_counter() - began, memory.bytes())


def _worked_out(small: _Took, double: _Took, items: int, kept: float) -> _Took:
    """A step of so many items, if what two smaller ones took goes on as it grew from one to the other.

    For each item memory grows by the bytes `kept` for its backward pass at least, and twice that at most: gradients of
    activations come while these go.
    """
    more = double.items - small.items
    if not more:
        return double
    seconds = (double.seconds - small.seconds) / more
    if seconds <= 0:  # by chance
        seconds = double.seconds / double.items
    beyond = items - double.items
    grown = min(max(kept, (double.peak - small.peak) / more), 2 * kept)
    return _Took(items, double.seconds + beyond * seconds, double.peak + round(beyond * grown))


def _kept_by_a_step(trainer: Trainer, items: int) -> int:
    """Bytes that a step of so many items, all its micro-batches, keeps for the backward pass."""
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
        trainer.step(_first(trainer.next_batch(), items))
    return kept


def _draw(trainer: Trainer) -> None:
    """A sheet, as a run draws them."""
    sampler: torch.nn.Module = trainer.G if trainer.average is None else trainer.average.module
    sampler.eval()
    with torch.no_grad(), trainer.accelerator.autocast():
        trainer.model.sheet(sampler)


def _first(batch: Mapping[str, Tensor], items: int) -> dict[str, Tensor]:
    # Not views, which hold the whole batch.
    return {name: value[:items].clone() for name, value in batch.items()}


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
