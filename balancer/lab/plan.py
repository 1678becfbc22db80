"""The file of a comparison: tasks, arms, seeds and starting points, and the runs that it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pydantic import Field, field_validator

from balancer.contract.model import FigureSpec
from balancer.contract.registry import load_model
from balancer.contract.settings import Settings
from balancer.errors import BalancerError, ConfigError, suggestion
from balancer.lab.job import START, Job, Tables
from balancer.record.run_config import check_shape, make_config, read_toml, validated

NULL: Final = "the reference again"
# Added to a seed for the run that is the reference over again.
_OTHER_SEED: Final = 1_000_003


class LabSettings(Settings):
    """`[lab]`: what is compared with what, how often, and by which figures of the model."""

    model: str = Field(description="the model that every run trains")
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="a run of each arm for each of these seeds")
    reference: str = Field(description="the arm that differences are taken against")
    axes: tuple[str, str] = Field(
        description="two figures of the model, one of structure, one of realism, in whose plane the curve lies"
    )
    shown: tuple[str, ...] = Field((), description="further figures for the tables; none given: all of the model's")

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len({*seeds}) < len(seeds) or min(seeds) < 0 or max(seeds) >= _OTHER_SEED:
            raise ValueError(f"must be different numbers from 0 to {_OTHER_SEED - 1}")
        return seeds


class StartSettings(Settings):
    """A run that is made once for each of its seeds, for others to go on from: `{start}` is its folder there."""

    task: str | None = Field(None, description="the task whose settings it has, beneath its own")
    start: str | None = Field(None, description="another start that it goes on from, of the same seed")
    plugins: tuple[str, ...] = Field((), description="its plugins")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="a starting point for each of these seeds")


class TaskSettings(Settings):
    """What every arm is tried on."""

    start: str | None = Field(None, description="the start that its runs go on from; none: from scratch")
    arms: tuple[str, ...] = Field((), description="the arms tried on it; none given: all")
    seeds: tuple[int, ...] = Field((), description="seeds of its own; none given: those of [lab]")
    about: str = Field("", description="a sentence for the report")


class ArmSettings(Settings):
    """A setting that is tried."""

    plugins: tuple[str, ...] = Field((), description="its plugins")
    curve: float | None = Field(None, description="its place on the curve of fixed values")
    length: float = Field(
        1.0, gt=0, description="steps of its runs as a multiple of the task's, to compare at equal cost"
    )
    about: str = Field("", description="a sentence for the report")


@dataclass(frozen=True)
class Plan:
    """A validated file. `base`, `starts`, `tasks` and `arms` each hold settings and the tables of a run's config."""

    path: Path
    lab: LabSettings
    base: Tables
    starts: Mapping[str, tuple[StartSettings, Tables]]
    tasks: Mapping[str, tuple[TaskSettings, Tables]]
    arms: Mapping[str, tuple[ArmSettings, Tables]]

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """Every run, starts first, then seed by seed, so that what is there early is of all arms."""
        starts = {name: self._start_jobs(name) for name in self.starts}
        runs: list[Job] = []
        for task, (settings, _) in self.tasks.items():
            for position, seed in enumerate(settings.seeds or self.lab.seeds):
                for start in self.starts_of(task) or (None,):
                    runs += [self._run(task, arm, start, seed, position) for arm in self.arms_of(task)]
                    again = self._run(task, self.lab.reference, start, seed + _OTHER_SEED, position)
                    runs.append(again.named(arm=NULL, seed=seed))
        runs.sort(key=lambda job: job.position)
        return tuple([job for jobs in starts.values() for job in jobs] + runs)

    def arms_of(self, task: str) -> tuple[str, ...]:
        """The arms that a task is tried with, the reference among them."""
        chosen = self.tasks[task][0].arms or tuple(self.arms)
        return chosen if self.lab.reference in chosen else (self.lab.reference, *chosen)

    @property
    def curve(self) -> dict[str, float]:
        """The arms on the curve of fixed values, in order."""
        places = {name: arm.curve for name, (arm, _) in self.arms.items() if arm.curve is not None}
        return dict(sorted(places.items(), key=lambda item: item[1]))

    def starts_of(self, task: str) -> list[Job]:
        """The starting points of a task; none where it begins from scratch."""
        start = self.tasks[task][0].start
        return [] if start is None else self._start_jobs(start)

    def starts_needed(self, *jobs: Job) -> list[Job]:
        """The starts that these runs go on from, and those that these do, first things first."""
        starts = {job.folder: job for job in self.jobs if job.is_start}
        needed: list[Job] = []
        wanted = {job.after for job in jobs if job.after}
        while wanted:
            found = [starts[name] for name in starts if name in wanted and starts[name] not in needed]
            needed = found + needed
            wanted = {job.after for job in found if job.after}
        return needed

    def check(self) -> None:
        """Validate the config of every run, before any begins.

        Raises:
            ConfigError, PluginError, CompositionError: names the task, the arm or the start.
        """
        seen = set()
        for job in self.jobs:
            if (job.task, job.arm) not in seen:
                seen.add((job.task, job.arm))
                # Settings that take a start's folder can be judged once that start was made.
                known = {name: table for name, table in job.tables.items() if START not in str(table)}
                try:
                    config = make_config(known, {}, plugins=job.plugins, model=job.model)
                    if config.train.steps is None:
                        raise ConfigError("train.steps: give the length of its runs in steps")
                except BalancerError as error:
                    error.add_note(f"{self.path}, {job.title}")
                    raise
        self.figures()

    def figures(self) -> dict[str, FigureSpec]:
        """The figures that the tables show, the two axes first.

        Raises:
            ConfigError: one that is named is not among the model's.
            PluginError: no such model.
        """
        known = load_model(self.lab.model)[0].figures()
        for key, names in (("axes", self.lab.axes), ("shown", self.lab.shown)):
            for name in names:
                if name not in known:
                    what = f"{self.path}: lab.{key}: {name!r} is no figure of the model {self.lab.model}"
                    raise ConfigError(f"{what}: {suggestion(name, [*known])}")
        return {name: known[name] for name in dict.fromkeys((*self.lab.axes, *(self.lab.shown or known)))}

    def _start_jobs(self, name: str) -> list[Job]:
        settings, tables = self.starts[name]
        beneath = () if settings.task is None else (self.tasks[settings.task][1],)
        before = {} if settings.start is None else {job.seed: job for job in self._start_jobs(settings.start)}
        made = merged(self.base, *beneath, tables)
        return [
            Job.made(self.lab.model, "", name, before.get(seed), seed, settings.plugins, made, position)
            for position, seed in enumerate(settings.seeds)
        ]

    def _run(self, task: str, arm: str, start: Job | None, seed: int, position: int) -> Job:
        settings, tables = self.arms[arm]
        made = merged(self.base, self.tasks[task][1], tables)
        if settings.length != 1 and "steps" in made.get("train", {}):
            made["train"]["steps"] = max(1, round(made["train"]["steps"] * settings.length))
        return Job.made(self.lab.model, task, arm, start, seed, settings.plugins, made, position)


def read_plan(path: Path) -> Plan:
    """Read a comparison's file.

    Raises:
        ConfigError: not readable, or a key of it is wrong; one line names the key.
    """
    tables = read_toml(path)
    for key in tables:
        if key not in ("lab", "base", "starts", "tasks", "arms", "tune"):
            raise ConfigError(f"{path}: {key}: {suggestion(key, ['lab', 'base', 'starts', 'tasks', 'arms', 'tune'])}")
    check_shape(tables)
    lab = validated(LabSettings, tables.get("lab", {}), f"{path}: lab")
    base = dict(tables.get("base", {}))
    _require_tables(base, f"{path}: base")
    plan = Plan(
        path,
        lab,
        base,
        dict(_parts(path, tables, "starts", StartSettings)),
        dict(_parts(path, tables, "tasks", TaskSettings)),
        dict(_parts(path, tables, "arms", ArmSettings)),
    )
    _require_names(plan)
    return plan


def merged(*parts: Tables) -> dict[str, dict[str, Any]]:
    """Tables put over each other, the last uppermost."""
    result: dict[str, dict[str, Any]] = {}
    for tables in parts:
        for name, table in tables.items():
            result[name] = {**result.get(name, {}), **table}
    return result


def _parts(path: Path, tables: Mapping[str, Any], kind: str, settings: type[Settings]) -> Iterator[tuple[str, Any]]:
    """Each start, task or arm: what it says of itself, and the tables of a run's config that it holds."""
    for name, part in tables.get(kind, {}).items():
        where = f"{path}: {kind}.{name}"
        if not isinstance(part, Mapping):
            raise ConfigError(f"{where}: must be a table")
        if "," in name or name != name.strip():
            raise ConfigError(f"{where}: a name has no comma, by which options separate names")
        own = {key: value for key, value in part.items() if key in settings.model_fields}
        rest = {key: value for key, value in part.items() if key not in own}
        _require_tables(rest, where)
        yield name, (validated(settings, own, where), rest)


def _require_tables(part: Mapping[str, Any], where: str) -> None:
    for key, value in part.items():
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}.{key}: settings stand in tables, such as {where.rpartition(' ')[2]}.train")
        if key == "run":
            raise ConfigError(f"{where}.run: plugins stand beside the tables, and [lab] names the model")


def _require_names(plan: Plan) -> None:
    """See that what is named is there.

    Raises:
        ConfigError: names the key.
    """
    named: list[tuple[str, str, Mapping[str, Any]]] = [("lab.reference", plan.lab.reference, plan.arms)]
    for name, (task, _) in plan.tasks.items():
        named += [(f"tasks.{name}.start", task.start, plan.starts)] if task.start is not None else []
        named += [(f"tasks.{name}.arms", arm, plan.arms) for arm in task.arms]
    for name, (start, _) in plan.starts.items():
        named += [(f"starts.{name}.task", start.task, plan.tasks)] if start.task is not None else []
        named += [(f"starts.{name}.start", start.start, plan.starts)] if start.start is not None else []
    if not plan.tasks:
        raise ConfigError(f"{plan.path}: no task: name one, such as [tasks.scratch]")
    for key, name, known in named:
        if name not in known:
            raise ConfigError(f"{plan.path}: {key} = {name!r} is not there: {suggestion(name, [*known])}")
    if NULL in plan.arms:
        raise ConfigError(f"{plan.path}: arms.{NULL}: the name is taken by the pair that shows what seeds differ by")
    for name, (start, _) in plan.starts.items():
        passed = [name]
        while start.start is not None:
            if start.start in passed:
                raise ConfigError(f"{plan.path}: starts.{name}: goes on from itself, by way of {', '.join(passed)}")
            passed.append(start.start)
            further = plan.starts[start.start][0]
            if missing := [seed for seed in start.seeds if seed not in further.seeds]:
                raise ConfigError(f"{plan.path}: starts.{passed[-2]}.seeds: {passed[-1]} has no seed {missing[0]}")
            start = further
