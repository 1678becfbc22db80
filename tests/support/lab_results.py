"""Results of a comparison's runs as a test makes them up: figures by task, arm and pair, without a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from balancer.lab.job import Job
from balancer.lab.plan import Plan
from balancer.lab.results import Result, append, result_of

Made = Callable[[Job], Mapping[str, Mapping[str, float]]]


def result(job: Job, figures: Mapping[str, Mapping[str, float]], **more: Any) -> Result:
    """A run's result with these figures."""
    return result_of(
        job,
        **{
            "steps": 40,
            "seconds": 2.0,
            "figures": figures,
            "signals": {"d_adv": 0.5, "d_adv in 0.1–0.4": 0.25},
            "versions": {"torch": "2.10.0"},
            **more,
        },
    )


def written(plan: Plan, folder: Path, made: Made) -> None:
    """A result of every run but those of starts."""
    for job in plan.jobs:
        if not job.is_start:
            append(folder, result(job, made(job)))


def places(job: Job, at: Mapping[str, tuple[float, float]]) -> dict[str, dict[str, float]]:
    """The points model's two figures, the same in two groups but for what evens out."""
    x, y = at[job.arm]
    return {
        "class 0": {"class error": x - 0.25, "energy distance": y + 0.5},
        "class 1": {"class error": x + 0.25, "energy distance": y - 0.5},
    }
