"""Replay of somebody else's log: its rows through plugins, after the diagnosis has worked out their units."""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from balancer.contract.knobs import Decision
from balancer.contract.model import HeadSpec, ModelSpec
from balancer.diagnosis.diagnose import Diagnosis, diagnose
from balancer.errors import ConfigError
from balancer.hindsight.comparison import compare
from balancer.hindsight.phrase import Phrase, phrase
from balancer.hindsight.replay_rows import PluginList, plugin_names, replay_rows
from balancer.hindsight.replay_run import RunReplay
from balancer.reading.opening import NO_FAMILY, NO_TAGS, open_source
from balancer.reading.superseded import without_superseded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from balancer.reading.source import Row


def replay_log(
    path: str,
    plugins: PluginList,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    tags: Mapping[str, str] = NO_TAGS,
    pattern: str | None = None,
    **units: Any,
) -> RunReplay:
    """Replay the rows of a log, read a second time, in the units that its diagnosis worked out.

    Args:
        path: the log, as `balancer.diagnose` takes it.
        plugins: names of installed plugins, or classes.
        settings: tables of plugins, and of `train` the `lambda_adv` that is the base.
        tags, pattern, units: how to read it, as for `balancer.diagnose`.

    Raises:
        ConfigError, DataError: it cannot be read, or settings of what is not part of the replay.
        PluginError, CompositionError: see `compose`; also, a plugin reads a signal that the log does not hold.
    """
    diagnosis = diagnose(path, tags=tags, pattern=pattern, **units)
    code = diagnosis.case.source.code
    again = open_source(path, tags=tags, pattern=pattern, family=NO_FAMILY if code is None else code.name)
    rows = without_superseded(again.rows(), diagnosis.case.source.restarts)
    tables = {name: dict(table) for name, table in (settings or {}).items()}
    train = tables.pop("train", {})
    base = train.pop("lambda_adv", diagnosis.case.units.weights.get("adv") or 1.0)
    if train:
        raise ConfigError(f"--set train.{next(iter(train))}: a log's replay takes train.lambda_adv only")
    for name in tables:
        if name not in plugin_names(plugins):
            raise ConfigError(f"--set {name}.…: {name} is not part of this replay: add it to --plugins")
    case = diagnosis.case
    logged = _Logged(diagnosis)
    decisions = 0
    turned: set[str] = set()

    def decided(decision: Decision) -> None:
        nonlocal decisions
        decisions += 1
        turned.add(decision.knob)

    made = replay_rows(
        plugins,
        logged.rows(rows),
        settings=tables,
        spec=_spec(diagnosis),
        lambda_adv=float(base),
        names=[name for name in case.history if name in case.history],
        on_decision=decided,
    )
    names = tuple(plugin_names(plugins))
    # The knobs that nobody turned stand at what was told; rates have no base here.
    knobs = [knob for knob in made if knob in turned]
    comparisons = tuple(compare(made, logged, knob) for knob in knobs)
    return RunReplay(
        Path(case.source.path), names, made, decisions, comparisons, (), (*made.remarks, *_remarks(made.steps, turned))
    )


class _Logged:
    """The rows of a log as a replay takes them; what it logged of knobs is kept for the comparison."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        self._units = diagnosis.case.units
        self._per_epoch = diagnosis.case.source.steps_per_epoch
        self._derived = "d_adv" in diagnosis.case.history
        self._knobs = {name: array("d") for name in diagnosis.case.history if name.startswith("lambda_")}

    def rows(self, rows: Iterable[Row]) -> Iterator[dict[str, float]]:
        """Each row with its step, its epoch (-1 where none is known) and `d_adv`."""
        last = -math.inf
        for step, values in rows:
            if int(step) <= last:
                continue  # two rows of one step: a law sees the first
            last = int(step)
            row = dict(values)
            if self._derived and "d_adv" not in row:
                d_adv = self._units.d_adv(row)
                if d_adv is not None:
                    row["d_adv"] = float(d_adv)
            if "epoch" not in row:
                row["epoch"] = step // self._per_epoch if self._per_epoch else -1
            for name, column in self._knobs.items():
                column.append(row.get(name, float("nan")))
            row["step"] = step
            yield row

    def column(self, name: str) -> NDArray[np.float64] | None:
        """What the log says of a knob, or None."""
        return np.frombuffer(self._knobs[name], dtype=float) if name in self._knobs else None


def _spec(diagnosis: Diagnosis) -> ModelSpec:
    """The terms that the log holds, and a category head where it logs that loss."""
    units = diagnosis.case.units
    weights = {term: 1.0 if weight is None else weight for term, weight in units.weights.items() if term != "adv"}
    if "category" not in weights:
        return ModelSpec(adversarial=units.loss, weights=weights)
    head = HeadSpec(("category",), ("category",))
    return ModelSpec(units.loss, weights, ("category",), {"category": head})


def _remarks(steps: NDArray[np.int64], turned: Collection[str]) -> Iterator[Phrase]:
    if {"lr_d", "lr_g"} & {*turned}:
        yield phrase("replay.rates")
    if len(steps) > 1 and (apart := float(np.median(np.diff(steps)))) > 1:
        if "d_update" in turned:
            yield phrase("replay.period")
        yield phrase("replay.few_steps", apart=round(apart))
