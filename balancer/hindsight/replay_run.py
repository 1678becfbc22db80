"""A run's recorded signals through other plugins and settings: what its knobs would have done, beside what they did."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from balancer.contract.compose import Composition, compose
from balancer.contract.host import Host
from balancer.contract.knobs import Decision
from balancer.contract.moments import D_MOMENTS
from balancer.errors import ConfigError, suggestion
from balancer.hindsight.comparison import Comparison, compare
from balancer.hindsight.explain import MOST_DECISIONS, acting_from
from balancer.hindsight.phrase import Phrase, phrase
from balancer.hindsight.player import RATES, Player, RatesAt
from balancer.hindsight.replay_rows import PluginList, brought, plugin_names, refuse_missing, with_signals
from balancer.hindsight.trajectory import Replay
from balancer.record.compositions import Composed, run_compositions
from balancer.record.config_files import Segment, run_segments, warn_of_edited
from balancer.record.decisions import read_decisions
from balancer.record.run_config import RESERVED, validated
from balancer.record.signals import SignalRows
from balancer.record.train_settings import TrainSettings

# What `train.*` says about a knob; the rest of it went into the signals.
BASES: Final = ("lambda_adv", "lr", "lr_d", "lr_decay", "lr_floor")


@dataclass(frozen=True)
class RunReplay:
    """A replay of a run, how it compares with what was recorded, and what a reader must know.

    `warnings` are the compositions' own sentences; `balancer.as_text` and `balancer.as_data` put the rest into words.
    """

    folder: Path
    plugins: tuple[str, ...]
    replay: Replay
    decisions: int
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...]
    remarks: tuple[Phrase, ...]


def replay_run(
    folder: str | Path,
    plugins: PluginList | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    on_decision: Callable[[Decision], None] | None = None,
) -> RunReplay:
    """Replay the recorded signals of a run directory, or of the `log_dir` of a script.

    Args:
        folder: where they are.
        plugins: other plugins; if not given the run's own, each for the steps in which it was composed. A plugin
            of the run that is named keeps the settings that it had last.
        settings: tables over the run's own: of plugins, and of `train` what says a knob's base (`lambda_adv`; `lr`, …
            in a run of our own loop).
        on_decision: is told each decision.

    Raises:
        ConfigError: what it was composed of is not kept, or settings of what is not part of the replay.
        DataError: no signals are kept, or they are damaged.
        PluginError, CompositionError: see `compose`; also, a plugin reads a signal that was not recorded.
    """
    folder, settings = Path(folder), settings or {}
    compositions, recorded = run_compositions(folder), SignalRows(folder)
    steps = recorded.column("step")
    if steps is not None and len(steps) and steps[0] < compositions[0].first:
        begun = compositions[0].first
        raise ConfigError(f"{folder} does not say what it was composed of before step {begun}: nothing can be replayed")
    warn_of_edited(folder)
    configs = {segment.first: segment for segment in run_segments(folder)}
    parts = _parts(compositions, configs, recorded, plugins, settings)
    result, count = Replay(), 0

    def decided(decision: Decision) -> None:
        nonlocal count
        count += 1
        if on_decision is not None:
            on_decision(decision)

    reads = {name for part in parts for plugin in part.composition.plugins for name in plugin.reads}
    reads &= recorded.phases.keys()
    _play(Player(result, decided, reads), recorded.rows([*reads, *RATES]), parts)
    remarks = [*result.remarks]
    if any(part.g_updates > 1 for part in parts):
        remarks.append(phrase("replay.g_updates"))
    names = (plugin.name for part in parts for plugin in part.composition.plugins)
    warnings = (warning for part in parts for warning in part.composition.warnings)
    return RunReplay(
        folder,
        tuple(dict.fromkeys(names)),
        result,
        count,
        tuple(compare(result, recorded, knob) for knob in result),
        tuple(dict.fromkeys(warnings)),
        tuple(remarks),
    )


@dataclass(frozen=True)
class _Part:
    """Steps that one composition replays: those before `until`, or all that are left."""

    composition: Composition
    until: int | None
    seed: int = 0
    steps_per_epoch: int | None = None
    g_updates: int = 1
    rates: RatesAt | None = None
    batch_size: int | None = None
    steps: int | None = None
    g_first: bool = False


def _parts(
    compositions: Sequence[Composed],
    configs: Mapping[int, Segment],
    recorded: SignalRows,
    plugins: PluginList | None,
    settings: Mapping[str, Mapping[str, Any]],
) -> list[_Part]:
    own = dict.fromkeys(name for composed in compositions for name in composed.plugins)
    over = settings.get("train", {})
    _refuse_strangers(settings, [*own] if plugins is None else plugin_names(plugins), BASES if configs else BASES[:1])
    # What is known of each plugin, the newest last.
    tables = {name: table for composed in compositions for name, table in composed.settings.items()}
    parts = []
    for composed in compositions:
        chosen: PluginList = [composed.reference(name) for name in composed.plugins] if plugins is None else plugins
        kept = composed.settings if plugins is None else tables
        given = {name: {**kept.get(name, {}), **settings.get(name, {})} for name in plugin_names(chosen)}
        host = composed.host
        if "lambda_adv" in over:
            host = replace(host, base={**host.base, "lambda_adv": validated(TrainSettings, over, "train").lambda_adv})
        train = _train(configs, composed.first, over)
        parts.append(
            _Part(
                _composed(chosen, given, host, recorded),
                composed.until,
                composed.seed,
                composed.steps_per_epoch,
                1 if train is None else train.g_updates,
                functools.partial(_rates, train) if train is not None and over.keys() & set(BASES[1:]) else None,
                composed.batch_size,
                composed.steps,
                train is None and _g_first(composed, recorded),
            )
        )
    return parts


def _g_first(composed: Composed, recorded: SignalRows) -> bool:
    """Whether G came first in a script's steps: what was decided on D for G acted from the next step on."""
    until = math.inf if composed.until is None else composed.until
    decided = (
        one
        for one in read_decisions(recorded.folder)
        if composed.first <= one.step < until
        and one.moment in D_MOMENTS
        and one.knob in composed.knobs
        and composed.knobs[one.knob].acts_in_step(one.moment)
    )
    taken = acting_from([*itertools.islice(decided, MOST_DECISIONS)], [composed], recorded)
    return any(one.acts_from > one.decision.step for one in taken)


def _train(configs: Mapping[int, Segment], step: int, over: Mapping[str, Any]) -> TrainSettings | None:
    """The settings of our own loop at a step, with some put over them; None for a script."""
    held = [first for first in configs if first <= step]
    if not held:
        return None
    made: TrainSettings = validated(TrainSettings, {**configs[max(held)].tables.get("train", {}), **over}, "train")
    return made


def _composed(
    plugins: PluginList, settings: Mapping[str, Mapping[str, Any]], host: Host, recorded: SignalRows
) -> Composition:
    # What the plugins bring they publish themselves.
    offered = {*recorded.phases} - set(brought(plugins, settings))
    composition = compose(plugins, settings, host=with_signals(host, offered, recorded.phases))
    refuse_missing(composition, recorded.phases, f"the log of {recorded.folder}")
    return composition


def _rates(train: TrainSettings, epoch: int) -> dict[str, float]:
    return {"lr_d": train.scheduled_rate("d", epoch), "lr_g": train.scheduled_rate("g", epoch)}


def _play(player: Player, rows: Iterable[Mapping[str, float]], parts: Sequence[_Part]) -> None:
    following = list(parts)
    until: int | None = 0
    for row in rows:
        while until is not None and row["step"] >= until:
            part = following.pop(0)
            until = part.until
            # One that holds for no step that was logged has nothing to do.
            if until is None or row["step"] < until:
                player.begin(
                    part.composition,
                    seed=part.seed,
                    steps_per_epoch=part.steps_per_epoch,
                    batch_size=part.batch_size,
                    steps=part.steps,
                    g_updates=part.g_updates,
                    rates=part.rates,
                    g_first=part.g_first,
                    epoch=int(row["epoch"]),
                )
        player.play(row)
    player.end()


def _refuse_strangers(
    settings: Mapping[str, Mapping[str, Any]], plugins: Sequence[str], bases: Collection[str]
) -> None:
    """Refuse settings that a replay has no use for."""
    for table, values in settings.items():
        if table == "train":
            for key in values:
                if key not in bases:
                    said = f"only {', '.join(bases)} act on knobs" if bases else "it has no config"
                    raise ConfigError(f"train.{key}: the signals are recorded with the run's own: {said}")
        elif table in RESERVED:
            raise ConfigError(f"{table}.…: the signals are recorded with the run's own {table}: leave it out")
        elif table not in plugins:
            raise ConfigError(f"settings for {table!r}, which is not replayed: {suggestion(table, list(plugins))}")
