"""What arms came to on a task, as figures: means over pairs, differences from the reference, distances from the curve.

A pair is a starting point and a seed, with which every arm runs. Differences are of how far a figure is from its best,
so that one sign means closer for each of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from balancer.contract.model import FigureSpec
from balancer.lab.curve import Curve, Point, units_of
from balancer.lab.gathered import Found, Gathered
from balancer.lab.intervals import Estimate, estimate
from balancer.lab.plan import NULL, Plan
from balancer.lab.results import Result

Pair = tuple[int | None, int]
Specs = Mapping[str, FigureSpec]
ALL: Final = ""  # for a group: the mean over all of them


class Figure(NamedTuple):
    """A figure of an arm: mean and standard deviation over pairs, and how much closer than the reference's it is.

    `differences` are those of each pair, `closer` their mean with its interval.
    """

    mean: float
    deviation: float
    differences: Sequence[float]
    closer: Estimate | None


@dataclass(frozen=True, eq=False)
class Arm:
    """An arm on a task.

    Attributes:
        place: on the curve of fixed values, or None.
        runs: what it came to, by pair; `folders`: where the runs lie if they are still there.
        failed: why there are no figures, by pair.
        figures: by group (ALL for the mean over groups) and by name.
        at: its mean distances to the best of the two axes, with their standard deviations in `spread`.
        from_curve: the signed distance from the curve, over pairs; of an arm on the curve from the rest of it.
        signals: medians over a run's last quarter, means over pairs.
        seconds: of computing a run, mean over those that were not broken off.
    """

    name: str
    about: str
    place: float | None
    runs: Mapping[Pair, Result]
    folders: Mapping[Pair, Path]
    failed: Mapping[Pair, str]
    figures: Mapping[str, Mapping[str, Figure]]
    at: Point | None
    spread: Point
    from_curve: Estimate | None
    signals: Mapping[str, float]
    seconds: float | None

    @property
    def is_null(self) -> bool:
        """Whether it is the reference over again, with other seeds."""
        return self.name == NULL


@dataclass(frozen=True)
class Task:
    """A task's arms, the reference over again last; `curve` goes through the means of the arms in `curve_arms`."""

    name: str
    about: str
    reference: str
    specs: Specs
    axes: tuple[str, str]
    pairs: tuple[Pair, ...]
    arms: tuple[Arm, ...]
    curve: Curve | None
    curve_arms: tuple[str, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """What the model's figures are given for one by one, such as styles."""
        return tuple(dict.fromkeys(group for arm in self.arms for group in arm.figures if group != ALL))

    def arm(self, name: str) -> Arm:
        """By its name."""
        return next(arm for arm in self.arms if arm.name == name)


def tables(plan: Plan, results: Gathered) -> tuple[Task, ...]:
    """The tasks of which there are results.

    Raises:
        ConfigError, PluginError: as `Plan.figures`.
    """
    specs = plan.figures()
    found = [
        task_table(plan, name, [one for one in results.found.values() if one.result.task == name], specs)
        for name in plan.tasks
    ]
    return tuple(task for task in found if any(arm.runs or arm.failed for arm in task.arms))


def task_table(plan: Plan, name: str, found: Iterable[Found], specs: Specs) -> Task:
    """A task's arms from its results, in whatever order they come."""
    names = (*plan.arms_of(name), NULL)
    runs: dict[str, dict[Pair, Result]] = {arm: {} for arm in names}
    folders: dict[str, dict[Pair, Path]] = {arm: {} for arm in names}
    failed: dict[str, dict[Pair, str]] = {arm: {} for arm in names}
    for result, folder in sorted(found, key=lambda one: _pair_of(one.result)):
        pair = _pair_of(result)
        if result.error or not result.figures:
            failed[result.arm][pair] = result.error or "it has no figures"
        else:
            runs[result.arm][pair], folders[result.arm][pair] = result, folder
    jobs = [job for job in plan.jobs if job.task == name and job.arm == plan.lab.reference]
    axes = plan.lab.axes
    places = {arm: _places(runs[arm], specs, axes) for arm in names}
    line = tuple(arm for arm in plan.curve if places.get(arm))
    curves, mean = _curves([places[arm] for arm in line])
    arms = []
    for arm in names:
        settings = None if arm == NULL else plan.arms[arm][0]
        against = {} if arm == plan.lab.reference else runs[plan.lab.reference]
        at = list(places[arm].values())
        arms.append(
            Arm(
                name=arm,
                about="" if settings is None else settings.about,
                place=None if settings is None else settings.curve,
                runs=runs[arm],
                folders=folders[arm],
                failed=failed[arm],
                figures=_figures(runs[arm], against, specs),
                at=_mean(at) if at else None,
                spread=(_deviation([x for x, _ in at]), _deviation([y for _, y in at])),
                from_curve=_from_curve(places[arm], curves, line.index(arm) if arm in line else None),
                signals=_signals(runs[arm].values()),
                seconds=_seconds(runs[arm].values()),
            )
        )
    about = plan.tasks[name][0].about
    pairs = tuple((job.start_seed, job.seed) for job in jobs)
    return Task(name, about, plan.lab.reference, specs, axes, pairs, tuple(arms), mean, line if mean else ())


def value(result: Result, name: str, group: str = ALL) -> float | None:
    """A figure of a run, of one group or the mean over those that have it; None where none has."""
    groups = result.figures.values() if group == ALL else [result.figures.get(group, {})]
    return _average([figures[name] for figures in groups if name in figures])


def distance(result: Result, name: str, spec: FigureSpec, group: str = ALL) -> float | None:
    """How far from its best a figure of a run is, of one group or on average over those that have it."""
    groups = result.figures.values() if group == ALL else [result.figures.get(group, {})]
    return _average([spec.distance(figures[name]) for figures in groups if name in figures])


def _average(values: Sequence[float]) -> float | None:
    kept = [value for value in values if math.isfinite(value)]
    return float(np.mean(kept)) if kept else None


def _pair_of(result: Result) -> Pair:
    return result.start_seed, result.seed


def _figures(runs: Mapping[Pair, Result], against: Mapping[Pair, Result], specs: Specs) -> dict[str, dict[str, Figure]]:
    groups = dict.fromkeys(group for result in runs.values() for group in result.figures)
    found: dict[str, dict[str, Figure]] = {}
    for group in (ALL, *groups):
        for name, spec in specs.items():
            values = [known for result in runs.values() if (known := value(result, name, group)) is not None]
            if not values:
                continue
            closer = []
            for pair in runs.keys() & against.keys():
                before, after = (distance(side[pair], name, spec, group) for side in (against, runs))
                if before is not None and after is not None:
                    closer.append(before - after)
            figure = Figure(float(np.mean(values)), _deviation(values), closer, estimate(closer))
            found.setdefault(group, {})[name] = figure
    return found


def _places(runs: Mapping[Pair, Result], specs: Specs, axes: tuple[str, str]) -> dict[Pair, Point]:
    """Where each run lies in the plane of the axes."""
    found = {}
    for pair, result in runs.items():
        x, y = (distance(result, name, specs[name]) for name in axes)
        if x is not None and y is not None:
            found[pair] = (x, y)
    return found


def _curves(line: Sequence[Mapping[Pair, Point]]) -> tuple[dict[Pair, Curve], Curve | None]:
    """The curve of each pair that has all of its points, and that of their means, by whose range all are measured."""
    if len(line) < 2:
        return {}, None
    pairs = [pair for pair in line[0] if all(pair in places for places in line)]
    if not pairs:
        return {}, None
    means = tuple(_mean([places[pair] for pair in pairs]) for places in line)
    units = units_of(means)
    return {pair: Curve(tuple(places[pair] for places in line), units) for pair in pairs}, Curve(means, units)


def _from_curve(places: Mapping[Pair, Point], curves: Mapping[Pair, Curve], position: int | None) -> Estimate | None:
    """Over pairs; of an arm on the curve, but at its ends, the distance from the line without it."""
    found = []
    for pair in places.keys() & curves.keys():
        curve = curves[pair]
        if position is None:
            found.append(curve.distance(places[pair]))
        elif 0 < position < len(curve.points) - 1:
            found.append(curve.without(position).distance(places[pair]))
    return estimate(found)


def _signals(results: Iterable[Result]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for result in results:
        for name, median in result.signals.items():
            values.setdefault(name, []).append(median)
    return {name: average for name, medians in values.items() if (average := _average(medians)) is not None}


def _seconds(results: Iterable[Result]) -> float | None:
    return _average([result.seconds for result in results if result.seconds is not None])


def _mean(points: Sequence[Point]) -> Point:
    return float(np.mean([x for x, _ in points])), float(np.mean([y for _, y in points]))


def _deviation(values: Sequence[float]) -> float:
    """Over pairs; NaN of one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
