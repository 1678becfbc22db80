"""The mechanism behind a `Balancer`: clock, boards, calls, rates and record, whatever the order of a step."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from balancer.contract.compose import Composition
from balancer.contract.knobs import Decision
from balancer.contract.moments import RunInfo, StepContext, release
from balancer.contract.notes import Note, NoteKind
from balancer.contract.signals import STANDARD_SIGNALS, Phase, StepRow
from balancer.engine.audit import Audit, AuditMode
from balancer.engine.calls import PluginCalls
from balancer.engine.clock import Clock
from balancer.engine.gradient_signals import GradientSignals
from balancer.engine.knob_board import Change, KnobBoard, Left
from balancer.engine.measuring import Measuring
from balancer.engine.optimizers import Optimizers, Watched
from balancer.engine.ranks import is_first_rank
from balancer.engine.rates import Rates
from balancer.engine.requests import Requests
from balancer.engine.signal_board import SignalBoard, require_finite
from balancer.engine.turns import Turn
from balancer.engine.weights import Weights
from balancer.errors import Deprecated, PluginError
from balancer.record.compositions import Composed
from balancer.record.recorder import Recorder
from balancer.record.tensorboard import tagged

if TYPE_CHECKING:
    from torch import Tensor

G_MOMENTS: Final = ("g_loss_terms", "before_g_backward", "after_g_step")


class Mechanism:
    """What a composition at work consists of: it measures, decides, weighs, keeps and restores.

    It knows the moments by name and not in what order a host comes to them; `Balancer` does.
    """

    def __init__(
        self,
        composition: Composition,
        optimizers: Mapping[str, Any],
        log_dir: str | Path | None,
        log_every: int,
        seed: int,
        steps_per_epoch: int | None,
        on_decision: Callable[[Decision], None] | None,
        *,
        audit: AuditMode,
        last_layer: Tensor | None,
        gradients_every: int,
        batch_size: int | None,
        steps: int | None,
    ) -> None:
        self.composition: Final = composition
        self.loss: Final = composition.host.adversarial
        self.clock: Final = Clock()
        order = [plugin.name for plugin in composition.plugins]
        self.board: Final = KnobBoard(composition.knobs, composition.host.base, order, self.clock, self._changed)
        phases: dict[str, Phase] = {name: spec.phase for name, spec in STANDARD_SIGNALS.items()}
        brought = [spec.name for plugin in composition.plugins for spec in plugin.brings_signals]
        self.signals: Final = SignalBoard(self.clock, {**phases, **dict.fromkeys(brought, "plugin")})
        self.row: StepRow = {}
        self._resumed = False
        # Contributions that a resume left out, until that is written down.
        self._left: list[Left] = []
        self._seed: Final = seed
        self._steps_per_epoch: Final = steps_per_epoch
        self._batch_size: Final = batch_size
        # How many steps the run is planned to have.
        self.planned = steps
        self._on_decision: Final = on_decision
        self._g_terms: tuple[str, ...] = ()
        # Which parts the host has spoken of in this step.
        self._reported = {"d": False, "g": False}
        folder = Path(log_dir) if log_dir is not None else None
        self._requests: Final = Requests(lambda who, text: self.note("request", who, text))
        self._calls: Final = PluginCalls(
            composition, self.board, self.signals, self.clock, seed, self._requests, folder
        )
        self._weights: Final = Weights(composition, self.board)
        self._last_layer: Final = last_layer
        self._gradients: Final = GradientSignals(gradients_every, composition.host.weighs)
        self._rates: Final = Rates(self.board)
        self._optimizers: Final = Optimizers(
            optimizers, self._rates.put_on, self._stepped, lambda *what: self._audit.strange(*what)
        )
        self._rates.watch(self._optimizers)
        self._d: Final = Turn(self._optimizers, "d")
        self._g: Final = Turn(self._optimizers, "g")
        self._recorder: Final = (
            Recorder(folder, log_every, self.loss.healthy) if folder is not None and is_first_rank() else None
        )
        note, turns = functools.partial(self.note, "audit", "balancer"), {"d": self._d, "g": self._g}
        self._audit: Final = Audit(audit, composition.host, self.board, self._optimizers, turns, note)
        self._measure: Final = Measuring(composition, self.signals, self._calls, self.clock, self._audit.say)

    @property
    def step(self) -> int:
        """The step under way, or the next one between two steps, from 0."""
        return self.clock.step

    @property
    def epoch(self) -> int:
        """The epoch of the newest step, from 0; -1 where nobody counts them."""
        return self.clock.epoch

    @property
    def d_updates(self) -> int:
        """Updates of D done so far."""
        return self.clock.d_updates

    @property
    def g_updates(self) -> int:
        """Updates of G done so far."""
        return self.clock.g_updates

    @property
    def telemetry(self) -> Recorder | None:
        """The former name of `recorder`; it goes with 0.3."""
        warnings.warn("Balancer.telemetry is called recorder now", Deprecated, stacklevel=2)
        return self._recorder

    @property
    def last_row(self) -> dict[str, float]:
        """What the last finished step measured and did, by TensorBoard tag."""
        return tagged(self.row)

    @property
    def recorder(self) -> Recorder | None:
        """The logs of this run on the first rank, else None."""
        return self._recorder

    def require_finite(self) -> None:
        """Stop before an optimizer step if a value measured in this step is NaN or infinite.

        Raises:
            NotFiniteError: names the term, the step and what plugins contribute to the knobs.
        """
        require_finite(self.signals, self.board, self.step, self._measure.whose)

    def begin_at(self, step: int) -> None:
        """Count from `step` on, before the first step: for networks that were trained so far elsewhere."""
        self.clock.step = self.clock.d_updates = self.clock.g_updates = step
        self.clock.begin_step()

    def saved_parts(self) -> dict[str, Any]:
        """Counters, contributions, newest signals and every plugin's state."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "d_updates": self.d_updates,
            "g_updates": self.g_updates,
            "begun": list(self.clock.begun),
            "turns": {"d": self._d.state_dict(), "g": self._g.state_dict()},
            "held": self.board.holding(),
            "g_terms": list(self._g_terms),
            "knobs": self.board.state_dict(),
            "signals": self.signals.state_dict(),
            "rates": self._rates.state_dict(),
            "gradients": self._gradients.state_dict(),
            "plugins": self._calls.saved(),
        }

    def restore_parts(self, state: Mapping[str, Any]) -> None:
        """Restore what `saved_parts` returned, and cut the logs back."""
        self.clock.step, self.clock.epoch = state["step"], state["epoch"]
        self.clock.d_updates, self.clock.g_updates = state["d_updates"], state["g_updates"]
        self.clock.begin_step()
        if "turns" in state:  # states of before 0.2 were taken between two steps only
            self.clock.begun = (state["begun"][0], state["begun"][1])
            self._d.load_state_dict(state["turns"]["d"])
            self._g.load_state_dict(state["turns"]["g"])
            self._g_terms = tuple(state["g_terms"])
        d, g = self.clock.in_step
        self._optimizers.begin_step(d=d, g=g)
        self.signals.load_state_dict(state["signals"])
        operations = self.composition.operations
        self._left = self.board.load_state_dict(
            state["knobs"],
            lambda plugin, knob, op: op in operations.get(plugin, {}).get(knob, {}).values(),
        )
        self._calls.restore(state["plugins"])
        self.board.release(state.get("held", {}))
        self._rates.load_state_dict(state.get("rates", {}))
        self._gradients.load_state_dict(state.get("gradients", {}))
        if self._recorder is not None:
            self._recorder.cut(self.step)

    def _begin_record(self) -> None:
        """Write down what is composed from here on, and what a resume withdrew."""
        self._rates.note_schedules()
        if self._recorder is not None:
            self._recorder.composition(self._composed())
        left, self._left = self._left, []
        for change in self.board.withdrawals(left):
            self._decide(change, self.step, "on_run_start", {})

    def _composed(self) -> Composed:
        length = self._steps_per_epoch, self._batch_size, self.planned
        return Composed.of(self.composition, self.step, self._seed, *length)

    def _step_row(self) -> StepRow:
        """Everything that the step now ending measured and did."""
        row = self.signals.row()
        row["updates", "d_updates"], row["updates", "g_updates"] = map(float, self.clock.in_step)
        if "adv" in self._g_terms and ("g", "adv") in row:
            row["derived", "adv_effective"] = self._weights.held("adv") * row["g", "adv"]
        return row | self.board.row() | self._rates.row()

    def _weigh(self) -> None:
        """Put G's loss and each term's share of it on the signal board."""
        fresh = self.signals.fresh()
        self.signals.put(self._weights.sums({term: fresh[term] for term in self._g_terms if term in fresh}), "g")

    def _measure_gradients(self, role: Literal["d", "g"]) -> None:
        """Put the gradients of an update on the signal board, in steps in which they are measured."""
        if self._gradients.due(self.step):
            self.signals.settle()
            self.signals.put(self._gradients.result(role), role)

    def context(self, **tensors: Any) -> StepContext:
        """The step as plugins see it now."""
        return StepContext(self.step, self.epoch, self.d_updates, self.g_updates, not self._d_due, **tensors)

    @property
    def _d_due(self) -> bool:
        return bool(self.board.read("d_update", True))

    def _run_info(self) -> RunInfo:
        done = self.step, self.d_updates, self.g_updates
        length = self._steps_per_epoch, self._batch_size, self.planned
        return RunInfo(self._seed, max(self.epoch, 0), *done, self._resumed, *length)

    def _moment(self, hook: str, **shown: Any) -> None:
        """Fire a moment of a step; then what is read after it holds."""
        self.board.hold_due(hook, d_to_come=hook in G_MOMENTS and not self._d.fired)
        if self._calls.due(hook):
            ctx = self.context(**shown)
            try:
                self._calls(hook, ctx=ctx)
            finally:
                release(ctx)
        self.board.hold(hook)
        for one in self._optimizers.within:  # a closure runs: its rate is on already
            self._rates.put_on(one)

    def _begin_step(self) -> None:
        """Another step: nothing is held, counted or measured of it yet."""
        self.board.release()
        self._optimizers.begin_step()
        self.clock.begin_step()
        self._d.begin()
        self._g.begin()
        self.signals.next_update("d")
        self.signals.next_update("g")
        self._g_terms = ()
        self._reported = {"d": False, "g": False}
        self._gradients.begin_step()
        self._measure.begin_step()
        self._rates.begin_step()
        self._audit.begin_step(self.step)

    def _stepped(self, one: Watched) -> None:
        """An optimizer's step is over."""
        self._rates.take_off(one)
        self.clock.count(one.role, self._optimizers.updates[one.role])
        if one.moved:
            self._audit.stepped(one)
        if self._gradients.due(self.step):
            self._gradients.stepped(one.role, one.index, one.optimizer)

    def _changed(self, change: Change) -> None:
        if self._calls.acting is None:
            raise PluginError(f"plugin {change.plugin} wrote to {change.knob} outside a hook: write in hooks only")
        acting, moment = self._calls.acting
        # An epoch ends with its last step, which is counted by then.
        step = self.step - 1 if moment == "on_epoch_end" else self.step
        self._decide(change, step, moment, acting.signals.snapshot())

    def note(self, kind: NoteKind, who: str, text: str) -> None:
        """Keep a line among the decisions, if there is a log."""
        if self._recorder is not None:
            self._recorder.note(Note(self.step, max(self.epoch, 0), kind, who, text))

    def _decide(self, change: Change, step: int, moment: str, signals: Mapping[str, float]) -> None:
        plugin, knob, op, old, new, effective, note = change
        epoch = max(self.epoch, 0)
        decision = Decision(step, epoch, moment, plugin, knob, op, old, new, effective, signals, note)
        if self._on_decision is not None:
            self._on_decision(decision)
        if self._recorder is not None:
            self._recorder.decision(decision)
