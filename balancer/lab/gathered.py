"""The results that a file's runs have so far, from its folder and further files; what belongs to others is counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from balancer.errors import ConfigError
from balancer.lab.plan import Plan
from balancer.lab.results import Result, read_results
from balancer.lab.run import RUNS


class Found(NamedTuple):
    """A result, and the folder in which its run lies if it is still there."""

    result: Result
    run: Path


@dataclass(frozen=True)
class Gathered:
    """Results of a plan's runs.

    Attributes:
        found: of each run that has ended its result; one with figures where there are several.
        others: how many results are of other settings than the file has now.
        disagreeing: how many runs have several results, whose figures differ.
    """

    found: Mapping[tuple[object, ...], Found]
    others: int
    disagreeing: int


def gathered(plan: Plan, sources: Iterable[Path]) -> Gathered:
    """Read the results in files, or in the folders of comparisons.

    Raises:
        ConfigError: one of them cannot be read, or none holds a result of these settings.
    """
    folders = {job.key: job.folder for job in plan.jobs}
    found: dict[tuple[object, ...], Found] = {}
    others, disagreeing, read = set(), set(), []
    for source in sources:
        folder = source if source.is_dir() else source.parent
        read.append(str(source))
        for result in read_results(source):
            if result.key not in folders:
                others.add(result.key)
                continue
            before = found.get(result.key)
            if before is not None and result.error:
                continue
            if before is not None and not before.result.error and before.result.figures != result.figures:
                disagreeing.add(result.key)
            found[result.key] = Found(result, folder / RUNS / folders[result.key])
    if not any(result.task for result, _ in found.values()):
        of_others = f" ({len(others)} are of other settings)" if others else ""
        raise ConfigError(
            f"{plan.path}: none of its runs has a result in {', '.join(read)}{of_others}: balancer lab run {plan.path}"
        )
    return Gathered(found, len(others), len(disagreeing))
