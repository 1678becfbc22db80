"""Device, precision and process group of a run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, ProjectConfiguration

from balancer.contract.compose import Composition
from balancer.record.folder import TRACKERS
from balancer.record.train_settings import TrainSettings


def make_accelerator(train: TrainSettings, composition: Composition, folder: Path | None = None) -> Accelerator:
    """Device, precision and process group of a run, from its settings and torchrun's environment.

    Its trackers, where it has a run directory, are yet to begin.
    """
    # A frozen head gets no gradients, and a reducer that waits for them would stall. D runs twice before
    # its backward pass, so its buffers must not be overwritten in between.
    freezes = bool(composition.writers("d_frozen"))
    distributed = DistributedDataParallelKwargs(find_unused_parameters=freezes, broadcast_buffers=False)
    # What equals accelerate's own default, 600 s, it would not hand on, and gloo's is another: hence the millisecond.
    group = InitProcessGroupKwargs(timeout=timedelta(seconds=train.timeout, milliseconds=1))
    return Accelerator(
        cpu=train.device == "cpu",
        mixed_precision="bf16" if train.precision == "bf16" else "no",
        kwargs_handlers=[distributed, group],
        log_with=None if folder is None else train.trackers,
        project_config=ProjectConfiguration(logging_dir=None if folder is None else str(folder / TRACKERS)),
    )
