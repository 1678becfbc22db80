"""What has to be said beside a task's figures: how many pairs, what the null pair shows, what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from balancer.lab.gathered import Gathered
from balancer.lab.intervals import BOOTSTRAP_FROM, Estimate
from balancer.lab.plan import NULL
from balancer.lab.tables import ALL, Arm, Task
from balancer.page.scales import number


def general(results: Gathered, path: Path) -> Iterator[str]:
    """Sentences on all results together."""
    if results.others:
        yield (
            f"{_counted(results.others, 'result')} left out: of other settings than those that {path.name} has now, "
            "or of arms and tasks that it no longer has."
        )
    if results.disagreeing:
        yield f"{_counted(results.disagreeing, 'run')} made more than once, with other figures; the last named counts."


def remarks(task: Task) -> Iterator[str]:
    """Sentences on a task."""
    yield from _pairs(task)
    yield from _null(task)
    yield from _by_chance(task)
    yield from _curve(task)
    yield from _incomplete(task)
    yield from _unlike(task)


def _pairs(task: Task) -> Iterator[str]:
    ended = [pair for pair in task.pairs if pair in task.arm(task.reference).runs]
    starts = list(dict.fromkeys(start for start, _ in ended if start is not None))
    seeds = list(dict.fromkeys(seed for _, seed in ended))
    if not ended:
        yield f"The reference, “{task.reference}”, has no run yet, so nothing is set against it."
        return
    what = f"{_numbers('seed', seeds)}" + (f" from {_numbers('start', starts)}" if starts else "")
    of = "" if len(ended) == len(task.pairs) else f" of {len(task.pairs)} planned"
    yield f"The reference, “{task.reference}”, has {_counted(len(ended), 'run')}{of}: {what}."
    if len(starts) > 1:
        yield "Pairs of one start count as independent of each other, so intervals speak of these starts and no others."
    most = max((len(arm.runs) for arm in task.arms), default=0)
    if most < 2:
        yield (
            "One pair shows nothing of what seeds differ by, so no difference and no distance has an interval, and "
            "none says which is better: run more seeds."
        )
    elif most < BOOTSTRAP_FROM:
        yield f"Intervals are Student's t, which hold at few pairs; the bootstrap begins at {BOOTSTRAP_FROM}."
    else:
        yield f"Intervals over {BOOTSTRAP_FROM} pairs or more are the studentised bootstrap's, others Student's t."


def _null(task: Task) -> Iterator[str]:
    """What the reference differs from itself by, and how many runs of other arms differ from it by more."""
    null = task.arm(NULL)
    own = {name: figure.closer for name, figure in null.figures.get(ALL, {}).items() if figure.closer is not None}
    shown = [name for name in task.axes if name in own]
    if not shown:
        yield "The reference has not run again with other seeds, so nothing shows what seeds alone come to."
        return
    for name in dict.fromkeys(shown):
        most = max(abs(difference) for difference in null.figures[ALL][name].differences)
        others = [
            abs(difference)
            for arm in task.arms
            if not arm.is_null and name in arm.figures.get(ALL, {})
            for difference in arm.figures[ALL][name].differences
        ]
        more = sum(difference > most for difference in others)
        yield (
            f"{NULL.capitalize()}, with other seeds, differs from it by up to {number(_short(most))} in {name}; "
            f"of the {len(others)} pairs of the other arms {more} differ by more."
        )
    if told := [name for name, found in own.items() if found.sign]:
        yield (
            f"The interval of {NULL} leaves 0 out in {', '.join(told)}, though nothing but seeds differs: "
            "take no difference of that size in them for more."
        )


def _by_chance(task: Task) -> Iterator[str]:
    """How many intervals leave 0 out, and how many would where nothing differs."""

    def differences(arms: Sequence[Arm]) -> list[Estimate]:
        closer = [figure.closer for arm in arms for figure in arm.figures.get(ALL, {}).values()]
        return [found for found in closer if found is not None and found.bounded]

    found = differences([arm for arm in task.arms if not arm.is_null])
    null = differences([task.arm(NULL)])
    if found:
        told = sum(difference.sign != 0 for difference in found)
        yield (
            f"Intervals that leave 0 out: {told} of {len(found)} differences from the reference, where chance alone "
            f"would make about {number(_short(0.05 * len(found)))}; of the null pair's "
            f"{sum(difference.sign != 0 for difference in null)} of {len(null)}."
        )


def _curve(task: Task) -> Iterator[str]:
    fixed = [arm for arm in task.arms if arm.place is not None]
    if task.curve is None:
        if fixed:
            yield "The curve of fixed values needs two of them with results in one pair: no distances from it yet."
        return
    if left_out := [arm.name for arm in fixed if arm.name not in task.curve_arms]:
        yield f"Without results, and so not on the curve: {', '.join(left_out)}."
    for position, name in enumerate(task.axes):
        places = [point[position] for point in task.curve.points]
        spread = max(places) - min(places)
        closer = task.arm(NULL).figures.get(ALL, {}).get(name)
        null = closer.closer.deviation if closer is not None and closer.closer is not None else 0.0
        if spread <= null:
            yield (
                f"Along {name} the fixed values lie {number(_short(spread))} apart, no more than the reference differs "
                f"from itself by ({number(_short(null))}): distances from the curve say little here."
            )


def _incomplete(task: Task) -> Iterator[str]:
    for arm in task.arms:
        for (start, seed), why in arm.failed.items():
            yield f"“{arm.name}” failed with seed {seed}{'' if start is None else f' from start {start}'}: {why}"
    missing = [len(task.pairs) - len(arm.runs) - len(arm.failed) for arm in task.arms]
    if any(missing):
        yield f"Not all runs have ended yet: {sum(missing):,} of {len(task.arms) * len(task.pairs):,} are missing."


def _unlike(task: Task) -> Iterator[str]:
    """In what the results differ that are set against each other."""
    results = [result for arm in task.arms for result in arm.runs.values()]
    for package in dict.fromkeys(package for result in results for package in result.versions):
        versions = Counter(result.versions.get(package, "") for result in results)
        # What only some runs have is a plugin of theirs.
        if len({*versions} - {""}) > 1:
            texts = [f"{version} in {count}" for version, count in versions.items() if version]
            yield f"Runs were made with several versions of {package}: {', '.join(texts)}."
    steps = Counter(result.steps for result in results)
    if len(steps) > 1:
        texts = [f"{step:,} steps in {count}" for step, count in sorted(steps.items())]
        yield f"Runs differ in length: {', '.join(texts)}."


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _numbers(what: str, numbers: Sequence[int]) -> str:
    return f"{what}{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def _short(value: float) -> float:
    return float(f"{value:.2g}")
