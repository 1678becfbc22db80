"""All runs of a comparison side by side, each in a process of its own, until none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from balancer.errors import ConfigError
from balancer.lab.job import Job
from balancer.lab.results import Key, Result, newest, read_results
from balancer.train.stopping import StopRequests

RUNS: Final = "runs"
BUSY: Final = 75
_WAIT: Final = 0.5
# Between two looks at what another process is at.
_BUSY_WAIT: Final = 5.0
# One thread each: side by side they would take each other's cores, and bits depend on their number.
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Progress(NamedTuple):
    """What a run that has just ended came to, and how many have."""

    result: Result
    done: int
    of: int


def run_jobs(
    jobs: Sequence[Job],
    folder: Path,
    *,
    at_once: int,
    stop: StopRequests,
    ended: Callable[[Progress], None],
    retry: bool = False,
) -> bool:
    """Do all jobs that have no result yet, `at_once` side by side; False if a signal ended it before.

    Several processes, on several machines too, may work on one folder that they share. A run that was broken off goes
    on from its checkpoint. One that failed is left, but with `retry`.

    Raises:
        ConfigError: the folder cannot be used.
    """
    try:
        (folder / RUNS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be used: {error.strerror}") from None
    known = newest(read_results(folder))
    failed = {key for key, result in known.items() if result.error}
    # Failures of before that are tried again count once they have ended again.
    again = failed if retry else set()
    told = {*known} - again
    children: dict[subprocess.Popen[bytes], Job] = {}
    waiting: dict[str, float] = {}
    stop.begin()
    while True:
        results = newest(read_results(folder))
        fresh = {key: result for key, result in results.items() if key not in again}
        for job in jobs:
            if job.key in fresh and job.key not in told:
                told.add(job.key)
                ended(Progress(fresh[job.key], sum(job.key in told for job in jobs), len(jobs)))
        left = [job for job in jobs if job.key not in told and job not in children.values()]
        made = _made(jobs, results)
        blocked = [job for job in left if made.get(job.after) is False]
        if not children and len(left) == len(blocked):
            return True
        for job in left:
            if len(children) >= at_once or stop.number:
                break
            if (job.after and not made.get(job.after)) or time.monotonic() < waiting.get(job.folder, 0):
                continue
            children[begun(job, folder)] = job
        for child in [child for child in children if child.poll() is not None]:
            job = children.pop(child)
            if child.returncode == BUSY:
                waiting[job.folder] = time.monotonic() + _BUSY_WAIT
            elif not child.returncode:
                again.discard(job.key)
            elif child.returncode and not stop.number:
                raise ConfigError(
                    f"{job.title}: its process ended with status {child.returncode}; see {log_of(job, folder)}"
                )
        if stop.number:
            for child in children:
                child.send_signal(signal.SIGTERM)
            for child in children:
                child.wait()
            return False
        time.sleep(_WAIT)


def _made(jobs: Sequence[Job], results: Mapping[Key, Result]) -> dict[str, bool]:
    """Of each start that has ended, or never will, whether there is something to go on from.

    Starts come before those that go on from them.
    """
    made: dict[str, bool] = {}
    for job in jobs:
        if job.is_start and job.key in results:
            made[job.folder] = not results[job.key].error
        elif job.is_start and made.get(job.after) is False:
            made[job.folder] = False
    return made


def begun(job: Job, folder: Path) -> subprocess.Popen[bytes]:
    """A process at work on a job, with one thread; what it says goes into a file beside the run's folder."""
    command = [sys.executable, "-m", "balancer.lab.cell", str(folder)]
    with log_of(job, folder).open("ab") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, env={**os.environ, **_ONE_THREAD}
        )
    assert child.stdin is not None
    with child.stdin as pipe:
        pipe.write(job.as_json().encode())
    return child


def log_of(job: Job, folder: Path) -> Path:
    return folder / RUNS / f"{job.folder}.log"
