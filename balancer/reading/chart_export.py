"""Charts that Weights & Biases exports as CSV, whose columns are named by a run and by what it logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from balancer.errors import ConfigError
from balancer.reading.names import one_line
from balancer.reading.tags import guess, plain

MARK: Final = " - "  # stands between a run and its metric
BOUNDS: Final = ("__MIN", "__MAX")  # end the columns of the lowest and highest value
LISTED: Final = 8


def without_run(path: str, names: Sequence[str], told: Mapping[str, str]) -> dict[str, str]:
    """What the columns are called without the run's name, by their names; columns of other runs are left out.

    Args:
        names: of the columns.
        told: names by signal, as the user told them; where there are several runs they say which one is meant.

    Raises:
        ConfigError: there are several runs, and it is open which one is meant.
    """
    runs: dict[str, list[str]] = {}
    for name in names:
        run, mark, metric = name.rpartition(MARK)
        if mark and not name.endswith(BOUNDS) and (guess(metric) is not None or name + BOUNDS[0] in names):
            runs.setdefault(run, []).append(name)
    if not runs:
        return {name: name for name in names}
    meant = {plain(name) for name in told.values()}
    chosen = [run for run, columns in runs.items() if len(runs) == 1 or meant & {plain(name) for name in columns}]
    if len(chosen) != 1:
        shown = ", ".join(one_line(run) for run in list(runs)[:LISTED]) + (", …" if len(runs) > LISTED else "")
        example = next(iter(runs.values()))[0]
        fit = guess(example)
        raise ConfigError(
            f"{path}: a chart of {len(runs)} runs: {shown}; pick one with --tag, such as "
            f"--tag '{'d_loss' if fit is None else fit.signal}={one_line(example)}'"
        )
    others = tuple(f"{run}{MARK}" for run in runs if run not in chosen)
    return {
        name: name.removeprefix(f"{chosen[0]}{MARK}")
        for name in names
        if not name.startswith(others) and not name.endswith(BOUNDS)
    }
