"""Plays rows of signals to a composition, at the moments of a loop, and keeps what the knobs hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Final

from balancer.contract.compose import Composition
from balancer.contract.knobs import Decision
from balancer.contract.moments import has_hook
from balancer.contract.signals import GRADIENT_SIGNALS
from balancer.engine.balancer import Balancer
from balancer.errors import CompositionError, ConfigError, DataError
from balancer.hindsight.phrase import phrase
from balancer.hindsight.trajectory import Replay

# What a learning rate is in an epoch before any plugin turns it, by knob.
RatesAt = Callable[[int], Mapping[str, float]]
RATES: Final = ("lr_d", "lr_g")
_MOST: Final = 2**53  # whole numbers up to it are exact in a float
# Hooks that a replay does not call; nor `before_g_backward` of a plugin that sees gradients.
TENSOR_HOOKS: Final = ("transform_d_input", "d_loss_terms", "g_loss_terms")


class Player:
    """One replay, of one composition after another.

    Args:
        result: what it fills.
        on_decision: is told each decision, in place of `result.decisions`.
        reads: signals that one of several compositions reads, and the others are to hand on.
    """

    def __init__(
        self, result: Replay, on_decision: Callable[[Decision], None] | None = None, reads: Collection[str] = ()
    ) -> None:
        self._result: Final = result
        self._reads: Final = reads
        self._on_decision: Final = on_decision or result.decisions.append
        self._balance: Balancer | None = None

    def begin(
        self,
        composition: Composition,
        *,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        batch_size: int | None = None,
        steps: int | None = None,
        g_updates: int = 1,
        rates: RatesAt | None = None,
        epoch: int | None = None,
        g_first: bool = False,
    ) -> None:
        """Go on with a composition, as a resume does: from the state of the one before, if there was one.

        `epoch` is that of the first row to come: where it is another one, the epoch under way ends before.
        """
        before = self._balance
        balance = Balancer(
            composition,
            seed=seed,
            steps_per_epoch=steps_per_epoch,
            batch_size=batch_size,
            steps=steps,
            on_decision=self._on_decision,
            audit="off",
        )
        balance.replays = True
        if before is not None:
            if epoch is not None and epoch != before.epoch:
                before.end_epoch()
            balance.load_state_dict(before.state_dict())
        self._balance = balance
        self._played = before is not None
        self._steps_per_epoch = steps_per_epoch
        self._g_updates = g_updates
        self._g_first = g_first
        self._rates = rates
        for plugin in composition.plugins:
            unseen = ("before_g_backward",) if "gradients" in plugin.sees else ()
            hooks = [hook for hook in (*TENSOR_HOOKS, *unseen) if has_hook(plugin, hook)]
            remark = phrase("replay.left_out", plugin=plugin.name, hooks=tuple(hooks))
            if hooks and remark not in self._result.remarks:
                self._result.remarks.append(remark)
        own = {name for plugin in composition.plugins for name in plugin.reads}
        # What plugins bring they publish themselves.
        brought = {spec.name for plugin in composition.plugins for spec in plugin.brings_signals}
        played = {*own, *self._reads} - brought
        # Sums are known only when the weights are, after before_g_backward.
        late = {name for name in GRADIENT_SIGNALS if name.startswith("g_")}
        self._sums = {name for name in played if name == "g_loss" or name.endswith("_share") or name in late}
        self._d_phase = {name for name in played if composition.signals[name].phase == "d"}
        self._held_out = {name for name in played if composition.signals[name].phase == "val"}
        self._terms = played - self._sums - self._d_phase - self._held_out
        # What comes in every step in which D is updated: not gradients, nor terms of plugins, which may be lazy.
        lazy = {f"d_{term}" for phase, term in composition.terms if phase == "d"}
        self._wanted = (self._d_phase & own) - {*GRADIENT_SIGNALS} - lazy
        acting = [plugin.name for plugin in composition.plugins if has_hook(plugin, "on_epoch")]
        self._acts_on_epochs = acting[0] if acting else None

    @property
    def balance(self) -> Balancer:
        """The engine of the composition under way."""
        assert self._balance is not None, "begin comes first"
        return self._balance

    def play(self, row: Mapping[str, float]) -> None:
        """One step on these signals, which may hold its `step` and `epoch`, and what schedules gave `lr_d` and `lr_g`.

        Raises:
            ConfigError: a step that comes too late.
            CompositionError: epochs are not counted where a plugin acts on them.
            DataError: a step or an epoch that no run counts.
        """
        balance = self.balance
        for clock in ("step", "epoch"):
            if clock in row and not -_MOST <= row[clock] <= _MOST:
                raise DataError(f"a row is of {clock} {row[clock]:g}, which no run counts: its signals are damaged")
        if "step" in row:
            self._go_to(balance, int(row["step"]))
        epoch = self._epoch(balance, row)
        rates = {knob: row[knob] for knob in RATES if knob in row} if self._rates is None else self._rates(epoch)
        balance.board.base.update({knob: rate for knob, rate in rates.items() if knob in balance.board.specs})
        balance.board.lr_g = rates.get("lr_g", 1.0)
        balance.start_step(epoch=None if epoch < 0 else epoch)
        if self._g_first:
            self._play_g(row)
            self._play_d(row)
        else:
            self._play_d(row)
            self._play_g(row)
        balance.signals.put({name: row[name] for name in self._held_out if name in row}, "val")
        step = balance.step
        balance.end_step()
        self._result.add_step(step, epoch, {knob: balance.board.held(knob) for knob in balance.board.specs})
        self._played = True

    def _play_d(self, row: Mapping[str, float]) -> None:
        balance = self.balance
        balance.signals.put({name: row[name] for name in self._d_phase if name in row}, "d")
        if balance.d_update:
            # A row without them is one of a D that was skipped, or of a value that was no number.
            balance.signals.put({name: math.nan for name in self._wanted if name not in row}, "d")
            balance.before_d_backward()
        balance.after_d_step()

    def _play_g(self, row: Mapping[str, float]) -> None:
        balance = self.balance
        for _ in range(self._g_updates):
            balance.signals.put({name: row[name] for name in self._terms if name in row}, "g")
            balance.before_g_backward()
            balance.signals.put({name: row[name] for name in self._sums if name in row}, "g")
            balance.after_g_step()

    def end(self) -> None:
        """The run is over."""
        if self._balance is not None:
            self._balance.end_run()

    def _epoch(self, balance: Balancer, row: Mapping[str, float]) -> int:
        if "epoch" in row:
            epoch = int(row["epoch"])
        else:
            epoch = balance.step // self._steps_per_epoch if self._steps_per_epoch else 0
        if epoch < 0 and self._acts_on_epochs is not None:
            raise CompositionError(
                f"plugin {self._acts_on_epochs} acts on epochs, which what is replayed does not count: leave it out"
            )
        return epoch

    def _go_to(self, balance: Balancer, step: int) -> None:
        """Be at a step: the first one played, or one after a gap."""
        if step < balance.step and self._played:
            raise ConfigError(f"step {step} is replayed after step {balance.step - 1}: rows must be in order")
        if not self._played:
            if step != balance.step:
                balance.begin_at(step)
            return
        if step > balance.step:
            # Nobody saw these steps: D was updated in those that the knobs of now would have allowed.
            balance.clock.d_updates += _allowed(balance, step)
            balance.clock.g_updates += (step - balance.step) * self._g_updates
            balance.clock.step = step


def _allowed(balance: Balancer, until: int) -> int:
    """In how many of the steps before `until` D is updated as its knobs stand now; there may be any number of them."""
    board = balance.board
    if "d_update" not in board.specs:
        return until - balance.step
    contributed = [(op, value) for _, op, value in board.contributions("d_update")]
    if not board.base["d_update"] or not all(value for op, value in contributed if op == "gate"):
        return 0
    # Each period must divide the step.
    every = math.lcm(*(value for op, value in contributed if op == "period" and isinstance(value, int)))
    return (until - 1) // every - (balance.step - 1) // every
