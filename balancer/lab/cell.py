"""One run of a comparison in a process of its own: claimed, trained or gone on with, measured, its result appended.

`python -m balancer.lab.cell FOLDER` takes the job from standard input. It ends with 0 when its result stands in the
folder's results, with BUSY where another process has the job, and as `balancer train` does at a signal.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from filelock import FileLock, Timeout

from balancer.contract.notes import Note
from balancer.errors import BalancerError, CheckpointError, one_line
from balancer.lab.job import START, Job
from balancer.lab.results import IN_BAND, Result, append, newest, read_results, result_of, this_machine
from balancer.lab.run import BUSY, RUNS
from balancer.record.checkpoint import load_latest
from balancer.record.checkpoint import steps as checkpointed
from balancer.record.decisions import read_notes
from balancer.record.folder import CHECKPOINTS
from balancer.record.run_config import make_config
from balancer.record.signals import read_signals
from balancer.train.run import config_for_resume, train
from balancer.train.stopping import Stopped, stop_requests

if TYPE_CHECKING:
    from balancer.record.run_config import RunConfig
    from balancer.train.stopping import StopRequests

# Signals and knobs whose medians a result keeps.
KEPT_SIGNALS: Final = ("d_adv", "lambda_adv", "lr_d", "val/csim", "val/grad_ratio")


def main() -> int:
    """Do the job that standard input says, in the folder that is named."""
    folder, job = Path(sys.argv[1]), Job.from_json(sys.stdin.read())
    lock = FileLock(folder / RUNS / f"{job.folder}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return BUSY
    with lock, stop_requests(quiet=True) as stop:
        known = newest(read_results(folder)).get(job.key)
        if known is not None and not known.error:
            return 0  # another process did it meanwhile
        try:
            result = done(job, folder, stop)
        except Stopped:
            return 128 + stop.number
        except Exception as error:
            traceback.print_exc()
            why = one_line(f"{error}" if isinstance(error, BalancerError) else f"{type(error).__name__}: {error}")
            result = result_of(job, error=why)
        if result is None:
            return 128 + stop.number
        append(folder, result)
    return 0


def done(job: Job, folder: Path, stop: StopRequests) -> Result | None:
    """Train the run to its end, and measure it; None where a signal ended it before."""
    run = folder / RUNS / job.folder
    config = make_config(job.filled(_places(job, folder)), {}, plugins=job.plugins, model=job.model)
    whole = _trained(run, config)
    resumed = False
    if not whole:
        resumed = _has_checkpoint(run)
        config = config_for_resume(run, None, {}, None, ()) if resumed else config
        train(config, out=None if resumed else run, resume=run if resumed else None, quiet=True, stop=stop)
        if stop.number:
            return None
    figures = config.family.measure(run)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return result_of(
        job,
        steps=_steps(run),
        seconds=None if whole or resumed else round(used.ru_utime + used.ru_stime, 1),
        figures={group: dict(values) for group, values in figures.items()},
        signals=_medians(run),
        versions=dict(config.versions),
        machine=this_machine(),
    )


def _places(job: Job, folder: Path) -> dict[str, str]:
    return {START: str((folder / RUNS / job.after).resolve())} if job.after else {}


def _has_checkpoint(run: Path) -> bool:
    return run.is_dir() and bool(checkpointed(run / CHECKPOINTS))


def _steps(run: Path) -> int:
    return load_latest(run / CHECKPOINTS).step


def _trained(run: Path, config: RunConfig) -> bool:
    """Whether a run has reached its end: its length, or where a plugin ended it."""
    if not _has_checkpoint(run):
        return False
    with contextlib.suppress(CheckpointError):
        step = _steps(run)
        return step >= (config.train.steps or step + 1) or any(_ends(note, step) for note in read_notes(run))
    return False


def _ends(note: Note, step: int) -> bool:
    return note.kind == "request" and note.text.startswith("end:") and note.step == step - 1


def _medians(run: Path) -> dict[str, float]:
    """Of a run's last quarter: medians of signals and knobs, and the share of steps in which d_adv is in a band."""
    columns = read_signals(run)
    found = {}
    for name in KEPT_SIGNALS:
        values = columns.get(name, np.empty(0))
        values = values[len(values) * 3 // 4 :]
        values = values[np.isfinite(values)]
        if len(values):
            found[name] = round(float(np.median(values)), 6)
            if name == "d_adv":
                found[IN_BAND] = round(float(np.mean((values >= 0.1) & (values <= 0.4))), 4)
    return found


if __name__ == "__main__":
    sys.exit(main())
