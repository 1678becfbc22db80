"""`[tune]`: which settings of an arm are searched, by which figure, and when a trial is given up early."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from balancer.contract.registry import load_model
from balancer.contract.settings import Settings
from balancer.errors import ConfigError
from balancer.lab.job import Job
from balancer.lab.plan import Plan, merged
from balancer.record.run_config import validated


class Range(Settings):
    """The values that one setting may take: a range, or choices."""

    low: float | None = Field(None, description="the smallest value")
    high: float | None = Field(None, description="the largest value")
    log: bool = Field(False, description="whether values are spread by their logarithm")
    whole: bool = Field(False, description="whether values are whole numbers")
    choices: tuple[str | float | bool, ...] = Field((), description="these values, instead of a range")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.choices:
            if self.low is not None or self.high is not None or self.log or self.whole:
                raise ValueError("choices go without low, high, log and whole")
        elif self.low is None or self.high is None or not self.low < self.high:
            raise ValueError("low and high are needed, low the smaller, or choices")
        elif self.log and self.low <= 0:
            raise ValueError("with log, low must be above 0")
        return self


class TuneSettings(Settings):
    """`[tune]`."""

    task: str = Field(description="the task that trials run on")
    arm: str = Field(description="the arm whose settings are searched")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="a trial is a run for each of these seeds")
    figure: str = Field(
        description="the model's figure whose distance to its best is to be small, as a mean over groups"
    )
    guard: dict[str, float] = Field(
        default_factory=dict, description="figures whose distance to their best a trial may not exceed"
    )
    prune_by: str | None = Field(
        None,
        description="a signal, such as val/structure_error, by whose size a run is given up early; none given: never",
    )
    startup: int = Field(4, ge=1, description="trials that are to have ended before one is given up")
    space: dict[str, Range] = Field(min_length=1, description="of each setting, as TABLE.KEY, what it may be")


def read_search(plan: Plan, tables: Mapping[str, Any]) -> TuneSettings:
    """`[tune]` of a plan's file.

    Raises:
        ConfigError: names the key.
    """
    if "tune" not in tables:
        raise ConfigError(f"{plan.path}: tune: there is no such table, which says what to search")
    search: TuneSettings = validated(TuneSettings, tables["tune"], f"{plan.path}: tune")
    for key, name, known in (("task", search.task, plan.tasks), ("arm", search.arm, plan.arms)):
        if name not in known:
            raise ConfigError(f"{plan.path}: tune.{key} = {name!r} is not there")
    figures = load_model(plan.lab.model)[0].figures()
    for name in (search.figure, *search.guard):
        if name not in figures:
            raise ConfigError(
                f"{plan.path}: tune: model {plan.lab.model} has no figure {name!r}; it has {', '.join(figures)}"
            )
    for key in search.space:
        if key.count(".") != 1 or not all(key.split(".")):
            raise ConfigError(
                f"{plan.path}: tune.space: {key!r} is not of the form TABLE.KEY, such as train.lambda_adv"
            )
    return search


def trial_jobs(plan: Plan, search: TuneSettings, values: Mapping[str, Any]) -> list[Job]:
    """The runs of a trial with these settings, for each seed and from each starting point of the task."""
    settings, tables = plan.arms[search.arm]
    chosen: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        table, _, name = key.partition(".")
        chosen.setdefault(table, {})[name] = value
    made = merged(plan.base, plan.tasks[search.task][1], tables, chosen)
    starts = plan.starts_of(search.task)
    return [
        Job.made(plan.lab.model, search.task, "tuned", start, seed, settings.plugins, made, position)
        for position, seed in enumerate(search.seeds)
        for start in starts or (None,)
    ]
