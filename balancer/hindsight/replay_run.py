"""A run's recorded signals through other plugins and settings: what its knobs would have done, beside what they did."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from balancer.contract.compose import Composition, compose
from balancer.contract.host import Host, model_host
from balancer.contract.knobs import Decision
from balancer.contract.model import ModelSpec
from balancer.errors import ConfigError, suggestion
from balancer.hindsight.comparison import Comparison, compare
from balancer.hindsight.player import Player, Rates
from balancer.hindsight.recorded import Recorded
from balancer.hindsight.replay import PluginList, brought, refuse_missing, with_signals
from balancer.hindsight.trajectories import Replay
from balancer.record.config import RESERVED, TrainSettings
from balancer.record.segments import Segment, run_segments
from balancer.train.run import CONFIG

# What `train.*` says about a knob; the rest of it went into the signals.
BASES: Final = ("lambda_adv", "lr", "lr_d", "lr_decay", "lr_floor")


@dataclass(frozen=True)
class RunReplay:
    """A replay of a run, how it compares with what was recorded, and what a reader must know."""

    folder: Path
    plugins: tuple[str, ...]
    replay: Replay
    decisions: int
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...]
    remarks: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The comparison as plain data, for JSON; the trajectories themselves are `replay`."""
        return {
            "folder": str(self.folder),
            "plugins": list(self.plugins),
            "steps": len(self.replay),
            "decisions": self.decisions,
            "knobs": {one.knob: dataclasses.asdict(one) for one in self.comparisons},
            "warnings": list(self.warnings),
            "remarks": list(self.remarks),
        }


def replay_run(
    folder: str | Path,
    plugins: PluginList | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    spec: ModelSpec | None = None,
    lambda_adv: float | None = None,
    on_decision: Callable[[Decision], None] | None = None,
) -> RunReplay:
    """Replay the recorded signals of a run directory.

    Args:
        folder: the run directory, or the log directory of a script.
        plugins: other plugins; if not given the run's own, each for the steps in which it was composed. A plugin
            of the run that is named keeps the settings that it had last.
        settings: tables over the run's own: of plugins, and of `train` what says a knob's base (`lambda_adv`, `lr`, …).
        spec: a script's model, where the folder keeps no config: terms and heads; none if not given.
        lambda_adv: a script's base value; 1 if not given.
        on_decision: is told each decision.

    Raises:
        ConfigError: no signals are kept, or settings of what is not part of the replay.
        PluginError, CompositionError: see `compose`; also, a plugin reads a signal that was not recorded.
    """
    folder, settings = Path(folder), settings or {}
    segments, recorded = run_segments(folder), Recorded(folder)
    if segments:
        if spec is not None or lambda_adv is not None:
            raise ConfigError(f"{folder} has a {CONFIG}, which says what its model is: give no spec and no lambda_adv")
        parts = _parts_of_run(segments, recorded, plugins, settings)
        remarks = []
    else:
        if plugins is None:
            raise ConfigError(f"{folder} has no {CONFIG}, so it does not say which plugins ran: name some")
        base = 1.0 if lambda_adv is None else lambda_adv
        _refuse_strangers(settings, _names(plugins), ())
        host = model_host("script", spec or ModelSpec(), base)
        parts = [_Part(_composed(plugins, settings, host, recorded), None)]
        remarks = [
            f"{folder} has no {CONFIG}: the base of lambda_adv is taken as {base:g}, and learning rates are "
            "multiples of a base of 1"
        ]
    result, count = Replay(), 0

    def decided(decision: Decision) -> None:
        nonlocal count
        count += 1
        if on_decision is not None:
            on_decision(decision)

    reads = {name for part in parts for plugin in part.composition.plugins for name in plugin.reads}
    reads &= recorded.phases.keys()
    _play(Player(result, decided, reads), recorded.rows(reads), parts)
    if any(part.g_updates > 1 for part in parts):
        remarks.append(
            "G was updated several times in each step, of which the log keeps the last: a law on G's signals sees that"
        )
    names = (plugin.name for part in parts for plugin in part.composition.plugins)
    warnings = (warning for part in parts for warning in part.composition.warnings)
    skipped = () if segments else ("lr_d", "lr_g")
    return RunReplay(
        folder,
        tuple(dict.fromkeys(names)),
        result,
        count,
        tuple(compare(result, recorded, knob) for knob in result if knob not in skipped),
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
    rates: Rates | None = None


def _parts_of_run(
    segments: Sequence[Segment],
    recorded: Recorded,
    plugins: PluginList | None,
    settings: Mapping[str, Mapping[str, Any]],
) -> list[_Part]:
    own = dict.fromkeys(name for segment in segments for name in segment.plugins)
    _refuse_strangers(settings, [*own] if plugins is None else _names(plugins), BASES)
    # What is known of each plugin, the newest last.
    tables = {name: table for segment in segments for name, table in segment.tables.items() if name not in RESERVED}
    parts = []
    for segment in segments:
        # Only what a run is besides its plugins, which may be other ones, and classes too.
        bare = segment.config({"train": settings.get("train", {})}, plugins=[])
        chosen: PluginList = segment.plugins if plugins is None else plugins
        kept = segment.tables if plugins is None else tables
        given = {name: {**kept.get(name, {}), **settings.get(name, {})} for name in _names(chosen)}
        parts.append(
            _Part(
                _composed(chosen, given, bare.composition.host, recorded),
                segment.until,
                bare.train.seed,
                recorded.steps_per_epoch(segment.first, segment.until),
                bare.train.g_updates,
                functools.partial(_rates, bare.train),
            )
        )
    return parts


def _composed(
    plugins: PluginList, settings: Mapping[str, Mapping[str, Any]], host: Host, recorded: Recorded
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
                    g_updates=part.g_updates,
                    rates=part.rates,
                    epoch=int(row["epoch"]),
                )
        player.play(row)
    player.end()


def _names(plugins: PluginList) -> list[str]:
    return [plugin if isinstance(plugin, str) else plugin.name for plugin in plugins]


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
