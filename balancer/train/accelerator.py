"""Device, precision and process group of a run."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, ProjectConfiguration

from balancer.contract.compose import Composition
from balancer.engine.ranks import rank
from balancer.errors import say
from balancer.record.folder import TRACKERS
from balancer.record.train_settings import TrainSettings

GRACE: Final = 2.0  # seconds that torch's own time-out has, which says more


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
    with _meeting_within(train.timeout):
        return Accelerator(
            cpu=train.device == "cpu",
            mixed_precision="bf16" if train.precision == "bf16" else "no",
            kwargs_handlers=[distributed, group],
            log_with=None if folder is None else train.trackers,
            project_config=ProjectConfiguration(logging_dir=None if folder is None else str(folder / TRACKERS)),
        )


@contextlib.contextmanager
def _meeting_within(seconds: float) -> Iterator[None]:
    """End this process where the ranks do not find each other: torch waits for ever for a first rank that was stopped.

    What torch itself notices in time is an error as any other.
    """

    def leave() -> None:
        say(
            f"balancer: rank {rank()} has not met the others within train.timeout: see what rank 0 said last, and "
            "whether it still runs",
            file=sys.stderr,
        )
        sys.stderr.flush()
        os._exit(2)

    timer = threading.Timer(seconds + GRACE, leave)
    timer.daemon = True
    if os.environ.get("WORLD_SIZE", "1") != "1":
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
