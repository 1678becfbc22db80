"""results.jsonl: one line for each run that has ended, appended as it ends; what a kill cut short is no line."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from balancer.contract.input_files import MOST_TEXT_BYTES, read_input
from balancer.errors import ConfigError
from balancer.lab.job import Job

RESULTS: Final = "results.jsonl"
# Among a result's signals: the share of steps in which D's loss is in the source document's healthy band.
IN_BAND: Final = "d_adv in 0.1–0.4"
Figures = Mapping[str, Mapping[str, float]]
# Task, arm, seed of the start, seed, digest.
Key = tuple[str, str, int | None, int, str]


@dataclass(frozen=True)
class Result:
    """What one run came to.

    Attributes:
        run: the name of its folder; `plugins` and `tables`: its settings. Results that are kept small lack the three:
            the digest tells of which settings they are.
        figures: of each group (in zi2zi a style) the model's figures by name.
        signals: of some signals and knobs by name the median over the last quarter of the run.
        seconds: of computing (CPU time), or None where the run was broken off and resumed.
        machine: its processor and number of cores, or "" of results from before it was recorded.
        error: why there are no figures, in a line.
    """

    task: str
    arm: str
    start_seed: int | None
    seed: int
    digest: str
    run: str = ""
    plugins: Sequence[str] = ()
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    steps: int = 0
    seconds: float | None = None
    figures: Figures = field(default_factory=dict)
    signals: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""
    error: str = ""

    @property
    def key(self) -> Key:
        """As the job's."""
        return self.task, self.arm, self.start_seed, self.seed, self.digest


def this_machine() -> str:
    """Its processor and number of cores, as results say it."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text(encoding="utf-8", errors="replace").splitlines() if cpus.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


_AS_WRITTEN: Final = TypeAdapter(Result)


def result_of(job: Job, **found: Any) -> Result:
    """The result of a job."""
    return Result(job.task, job.arm, job.start_seed, job.seed, job.digest, job.folder, job.plugins, job.tables, **found)


def append(folder: Path, result: Result) -> None:
    """Put a result into the folder's file, durably, by one write; several processes may do so.

    Raises:
        OSError: it cannot be written.
    """
    line = json.dumps(vars(result), ensure_ascii=False, allow_nan=False).encode() + b"\n"
    path = folder / RESULTS
    with FileLock(folder / f".{RESULTS}.lock"), path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            line = (b"" if file.read(1) == b"\n" else b"\n") + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_results(path: Path) -> Iterator[Result]:
    """The results in a file, or in a comparison's folder, in the order they came; none where it is not there yet.

    Raises:
        ConfigError: it cannot be read.
    """
    file = path / RESULTS if path.is_dir() else path
    try:
        lines = read_input(file, MOST_TEXT_BYTES).splitlines()
    except FileNotFoundError:
        if path.is_dir():
            return
        raise ConfigError(f"{path}: no results there") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    for line in lines:
        try:
            yield _AS_WRITTEN.validate_json(line)
        except ValidationError:
            continue  # cut short by a kill: the run is made again


def newest(results: Iterator[Result]) -> dict[Key, Result]:
    """Of each run its last result."""
    return {result.key: result for result in results}
