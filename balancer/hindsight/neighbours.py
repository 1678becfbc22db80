"""What else a law would have answered: the law itself is asked, by a replay of neighbouring signals and epochs."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from balancer.contract.compose import Composition, compose
from balancer.contract.knobs import Decision, Op, Value
from balancer.contract.moments import has_hook
from balancer.contract.plugin import Plugin
from balancer.hindsight.phrase import Phrase, phrase
from balancer.hindsight.player import Player
from balancer.hindsight.replay_rows import with_signals
from balancer.hindsight.trajectory import Replay
from balancer.record.compositions import Composed

# A signal is held at its value times each of these, for so many steps that the usual warm-up is over.
FACTORS: Final = tuple(4.0**power for power in range(-4, 5))
HELD_STEPS: Final = 300
# Epochs are played one after the other, a step each, to twice the present one and some more.
EPOCHS_BEYOND: Final = 30


@dataclass(frozen=True)
class Answer:
    """What a law contributes under neighbouring conditions; `value` None: nothing. `here` marks what it did."""

    when: Phrase
    value: Value | None
    here: bool


def neighbours(composed: Composed, decision: Decision, measured: Mapping[str, float]) -> list[Answer]:
    """What a decision's plugin answers, alone and from a fresh start, where its signals are held at other values, and
    in other epochs; equal answers side by side are one.

    `measured` are the step's signals, by which a law is asked whose decision was taken on none, as before a warm-up.

    Raises:
        PluginError, ConfigError, CompositionError: the plugin is not there any more, or not as it was.
        Exception: whatever the plugin raises.
    """
    answers = []
    plugin = _alone(composed, decision.plugin)
    signals = decision.signals or {name: measured[name] for name in plugin.reads if name in measured}
    for name, value in signals.items():
        most = 1.0 if name.startswith("d_acc") or name.endswith("_share") else math.inf
        levels = [min(factor * value, most) for factor in FACTORS] if value else [0.0, 0.01, 0.1, 1.0]
        levels = list(dict.fromkeys(levels))
        values = [_asked(composed, decision, [{**signals, name: level}] * HELD_STEPS)[-1] for level in levels]
        for answer, group in groupby(zip(levels, values, strict=True), key=lambda pair: pair[1]):
            held = [level for level, _ in group]
            answers.append(Answer(_held(name, held), answer, answer == decision.new))
    if not answers and has_hook(plugin, "on_epoch"):
        rows = [{"epoch": float(epoch)} for epoch in range(2 * decision.epoch + EPOCHS_BEYOND)]
        values = _asked(composed, decision, rows)
        for answer, group in groupby(enumerate(values), key=lambda pair: pair[1]):
            epochs = [epoch for epoch, _ in group]
            answers.append(Answer(_in_epochs(epochs, len(rows) - 1), answer, decision.epoch in epochs))
    # One answer to everything is not an alternative.
    return answers if len(answers) > 1 else []


def _held(name: str, levels: Sequence[float]) -> Phrase:
    first, last = (f"{level:.3g}" for level in (levels[0], levels[-1]))
    if len(levels) == 1:
        return phrase("explain.held", name=name, level=first)
    return phrase("explain.held_between", name=name, first=first, last=last)


def _in_epochs(epochs: Sequence[int], last: int) -> Phrase:
    if len(epochs) == 1:
        return phrase("explain.epoch", epoch=epochs[0])
    if epochs[-1] == last:  # nobody asked further
        return phrase("explain.epochs_on", first=epochs[0])
    return phrase("explain.epochs", first=epochs[0], last=epochs[-1])


def _asked(composed: Composed, decision: Decision, rows: Sequence[Mapping[str, float]]) -> list[Value | None]:
    """The plugin's contribution to the knob after each row."""
    player = Player(Replay(), lambda made: None)
    player.begin(_composition(composed, decision.plugin, rows[0]), seed=composed.seed)
    return list(_contributions(player, decision, rows))


def _contributions(player: Player, decision: Decision, rows: Sequence[Mapping[str, float]]) -> Iterator[Value | None]:
    # Alone, a plugin that is an upper bound beside others owns the knob.
    ops: tuple[Op, ...] = (decision.op, "set") if decision.op == "max" else (decision.op,)
    for row in rows:
        player.play(row)
        own = (player.balance.board.own(decision.plugin, decision.knob, op) for op in ops)
        yield next((value for value in own if value is not None), None)


def _alone(composed: Composed, plugin: str) -> Plugin:
    (made,) = _composition(composed, plugin, composed.host.signals).plugins
    return made


def _composition(composed: Composed, plugin: str, signals: Collection[str]) -> Composition:
    host = with_signals(composed.host, signals, {})
    return compose([composed.reference(plugin)], {plugin: composed.settings[plugin]}, host=host)
