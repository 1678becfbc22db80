"""The runs of a comparison on other machines: workers that an engine starts, all on one folder that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import submitit

from balancer.errors import ConfigError
from balancer.lab.job import Job
from balancer.lab.run import run_jobs
from balancer.train.stopping import stop_requests

Engine = Literal["slurm", "local"]
WORKERS: Final = "workers"


@dataclass(frozen=True)
class Worker:
    """What one worker does: the runs that nobody else is at, `at_once` side by side, until none is left.

    Runs are claimed by locks of the shared folder's file system. Where the engine takes the machine away, another
    worker is queued in its place, and goes on from the checkpoints.
    """

    jobs: Sequence[str]
    folder: Path
    at_once: int

    def __call__(self) -> int:
        """Work; returns how many runs have a result."""
        done: list[int] = []
        with stop_requests(quiet=True) as stop:
            jobs = [Job.from_json(text) for text in self.jobs]
            run_jobs(
                jobs, self.folder, at_once=self.at_once, stop=stop, ended=lambda progress: done.append(progress.done)
            )
        return len(done)

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Submitit's question what to queue when time is up."""
        return submitit.helpers.DelayedSubmission(self)


def submitted(
    jobs: Sequence[Job],
    folder: Path,
    *,
    engine: Engine,
    workers: int,
    at_once: int,
    options: Mapping[str, Any],
) -> list[submitit.Job[int]]:
    """Queue `workers` workers; `options` are Submitit's, such as slurm_partition.

    Raises:
        ConfigError: the engine is not there, or does not take an option.
    """
    try:
        executor = submitit.AutoExecutor(folder=folder.resolve() / WORKERS, cluster=engine)
        executor.update_parameters(name="balancer-lab", cpus_per_task=at_once, **options)
    except (RuntimeError, ValueError, NameError) as error:
        raise ConfigError(f"--on {engine}: {error}") from None
    worker = Worker([job.as_json() for job in jobs], folder.resolve(), at_once)
    with executor.batch():
        return [executor.submit(worker) for _ in range(workers)]
