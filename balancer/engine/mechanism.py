"""The mechanism behind a `Balancer`: clock, boards, calls, rates and record, whatever the order of a step."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.adversarial import LOSSES
from balancer.contract.compose import Composition
from balancer.contract.knobs import Decision
from balancer.contract.moments import RunInfo, StepContext
from balancer.contract.signals import STANDARD_SIGNALS, Phase, StepRow, taken
from balancer.engine.boards import Change, KnobBoard, Left, SignalBoard, Transfer
from balancer.engine.calls import PluginCalls
from balancer.engine.clock import Clock
from balancer.engine.ranks import as_tensors, distributed_mean, is_first_rank
from balancer.engine.rates import Rates
from balancer.errors import ConfigError, PluginError, TrainingError
from balancer.record.compositions import Composed
from balancer.record.recorder import Recorder
from balancer.record.tensorboard import tagged

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer


class Mechanism:
    """What a composition at work consists of: it measures, decides, weighs, keeps and restores.

    It knows the moments by name and not in what order a host comes to them; `Balancer` does.
    """

    def __init__(
        self,
        composition: Composition,
        optimizers: Mapping[str, Optimizer],
        log_dir: str | Path | None,
        log_every: int,
        seed: int,
        steps_per_epoch: int | None,
        on_decision: Callable[[Decision], None] | None,
    ) -> None:
        self.composition: Final = composition
        self.loss: Final = LOSSES[composition.host.adversarial]
        self.clock: Final = Clock()
        order = [plugin.name for plugin in composition.plugins]
        self.board: Final = KnobBoard(composition.knobs, composition.host.base, order, self.clock, self._changed)
        self._brought: Final = {spec.name: p.name for p in composition.plugins for spec in p.brings_signals}
        # Terms of a loss -> the plugin that adds them.
        self._added: Final[dict[str, str]] = {}
        phases: dict[str, Phase] = {name: spec.phase for name, spec in STANDARD_SIGNALS.items()}
        self.signals: Final = SignalBoard(self.clock, {**phases, **dict.fromkeys(self._brought, "plugin")})
        self.row: StepRow = {}
        self._resumed = False
        # Contributions that a resume left out, until that is written down.
        self._left: list[Left] = []
        self._seed: Final = seed
        self._steps_per_epoch: Final = steps_per_epoch
        self._on_decision: Final = on_decision
        self._g_terms: tuple[str, ...] = ()
        # Names that were measured before, and are free to be.
        self._names: Final[set[str]] = set()
        folder = Path(log_dir) if log_dir is not None else None
        self._calls: Final = PluginCalls(composition, self.board, self.signals, self.clock, seed, folder)
        self._rates: Final = Rates(self.board, optimizers)
        self._recorder: Final = Recorder(folder, log_every) if folder is not None and is_first_rank() else None

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
        warnings.warn("Balancer.telemetry is called recorder now", DeprecationWarning, stacklevel=2)
        return self._recorder

    # D's knobs as they hold in this step; what they are by themselves before they are read, or where the host has none.

    @property
    def d_update(self) -> bool:
        """Whether D is updated in this step."""
        return bool(self.board.read("d_update", True))

    @property
    def real_label(self) -> float:
        """The target of D's binary loss for real images."""
        return float(self.board.read("real_label", 1.0))

    @property
    def fake_label(self) -> float:
        """The target of D's binary loss for generated images."""
        return float(self.board.read("fake_label", 0.0))

    @property
    def d_frozen(self) -> tuple[str, ...]:
        """The heads of D that rest in this step."""
        return self.board.read("d_frozen", ())

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
            TrainingError: names the term, the step and what plugins contribute to the knobs.
        """
        bad = {name: value for name, value in self.signals.fresh().items() if not math.isfinite(value)}
        if bad:
            rows = [
                f"{plugin} {op} {knob} {value}"
                for knob in self.board.specs
                for plugin, op, value in self.board.contributions(knob)
            ]
            owners = {name: self._brought.get(name) or self._added.get(name) for name in bad}
            sources = self.composition.sources
            whose = "".join(f"; {name} is of plugin {who} of {sources[who]}" for name, who in owners.items() if who)
            raise TrainingError(
                f"step {self.step}: {', '.join(f'{name} is {value}' for name, value in bad.items())}; "
                f"stopped before the optimizer step; plugin contributions: {'; '.join(rows) or 'none'}{whose}"
            )

    def begin_at(self, step: int) -> None:
        """Count from `step` on, before the first step: for networks that were trained so far elsewhere."""
        self.clock.step = self.clock.d_updates = self.clock.g_updates = step

    def saved_parts(self) -> dict[str, Any]:
        """Counters, contributions, newest signals and every plugin's state."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "d_updates": self.d_updates,
            "g_updates": self.g_updates,
            "knobs": self.board.state_dict(),
            "signals": self.signals.state_dict(),
            "plugins": self._calls.saved(),
        }

    def restore_parts(self, state: Mapping[str, Any]) -> None:
        """Restore what `saved_parts` returned, and cut the logs back."""
        self.clock.step, self.clock.epoch = state["step"], state["epoch"]
        self.clock.d_updates, self.clock.g_updates = state["d_updates"], state["g_updates"]
        self.signals.load_state_dict(state["signals"])
        operations = self.composition.operations
        self._left = self.board.load_state_dict(
            state["knobs"],
            lambda plugin, knob, op: op in operations.get(plugin, {}).get(knob, {}).values(),
        )
        self._calls.restore(state["plugins"])
        if self._recorder is not None:
            self._recorder.cut(self.step)

    def _begin_record(self) -> None:
        """Write down what is composed from here on, and what a resume withdrew."""
        self._rates.note_schedules()
        if self._recorder is not None:
            self._recorder.composition(Composed.of(self.composition, self.step, self._seed, self._steps_per_epoch))
        for change in self.board.withdrawals(self._left):
            self._decide(change, self.step, "on_run_start", {})
        self._left = []

    def _held_weight(self, term: str) -> float:
        if any(term in self.composition.host.heads[head].g_terms for head in self.d_frozen):
            return 0.0
        knob = f"lambda_{term}"
        if knob in self.board.specs:
            return self.board.held_number(knob)
        fixed = self.composition.host.base.get(knob, 1.0)
        assert isinstance(fixed, int | float)
        return float(fixed)

    def _step_row(self) -> StepRow:
        """Everything that the step now ending measured and did."""
        row = self.signals.row()
        if "adv" in self._g_terms and ("g", "adv") in row:
            row["derived", "adv_effective"] = self._held_weight("adv") * row["g", "adv"]
        for knob in self.board.specs:
            if knob not in ("lr_d", "lr_g"):
                value = self.board.held(knob)
                row["knob", knob] = float(len(value) if isinstance(value, tuple) else value)
        return row | self._rates.row()

    def _weigh(self) -> None:
        """Put G's loss and each term's share of it on the signal board."""
        fresh, host = self.signals.fresh(), self.composition.host
        weighted = {term: self._held_weight(term) * fresh[term] for term in self._g_terms if term in fresh}
        # A script may weigh a term by a number that it told nobody.
        told = host.weighs or all(f"lambda_{term}" in {*self.board.specs, *host.base} for term in weighted)
        if weighted and told:
            total = math.fsum(abs(value) for value in weighted.values())
            shares = {f"{term}_share": abs(value) / total if total else 0.0 for term, value in weighted.items()}
            self.signals.put({"g_loss": math.fsum(weighted.values()), **shares}, "g")

    def context(self, **tensors: Any) -> StepContext:
        """The step as plugins see it now."""
        return StepContext(self.step, self.epoch, self.d_updates, self.g_updates, not self.d_update, **tensors)

    def _run_info(self) -> RunInfo:
        done = self.step, self.d_updates, self.g_updates
        return RunInfo(self._seed, max(self.epoch, 0), *done, self._resumed, self._steps_per_epoch)

    def _moment(self, hook: str) -> None:
        """Fire a moment of a step; then what is read after it holds."""
        self.board.hold_due(hook)
        self._calls(hook, ctx=self.context())
        self.board.hold(hook)

    def _terms(self, hook: str, phase: Phase, tensors: Mapping[str, Any]) -> dict[str, Tensor]:
        merged: dict[str, Tensor] = {}
        for plugin, terms in self._calls.terms(hook, self.context(**tensors)):
            for name in terms:
                self._added[f"d_{name}" if phase == "d" else name] = plugin
                where = f"step {self.step}: {hook} of plugin {plugin}"
                signal = f"d_{name}" if phase == "d" else name
                if name in merged or signal in self.composition.signals or signal in STANDARD_SIGNALS:
                    raise ConfigError(f"{where}: there is a {signal} already: rename the new one")
                if (why := self._taken(signal, phase)) is not None:
                    raise ConfigError(f"{where}: a term cannot be called {name}, since {why}: rename it")
            merged.update(terms)
        return merged

    def _taken(self, name: str, phase: Phase) -> str | None:
        """Why a signal of this run may not have this name; None where it may."""
        if name in self._brought:
            return f"plugin {self._brought[name]} brings it"
        return "a knob has that name" if name in self.board.specs else taken(name, g_term=phase == "g")

    def _changed(self, change: Change) -> None:
        if self._calls.acting is None:
            raise PluginError(f"plugin {change.plugin} wrote to {change.knob} outside a hook: write in hooks only")
        acting, moment = self._calls.acting
        # An epoch ends with its last step, which is counted by then.
        step = self.step - 1 if moment == "on_epoch_end" else self.step
        self._decide(change, step, moment, acting.signals.snapshot())

    def _decide(self, change: Change, step: int, moment: str, signals: Mapping[str, float]) -> None:
        plugin, knob, op, old, new, effective, note = change
        epoch = max(self.epoch, 0)
        decision = Decision(step, epoch, moment, plugin, knob, op, old, new, effective, signals, note)
        if self._on_decision is not None:
            self._on_decision(decision)
        if self._recorder is not None:
            self._recorder.decision(decision)

    def _measure(self, scalars: Mapping[str, Tensor | float], phase: Phase) -> None:
        for name in scalars.keys() - self._names:
            if (why := self._taken(name, phase)) is not None:
                raise ConfigError(f"step {self.step}: {name} cannot be passed as a signal, since {why}: rename it")
            self._names.add(name)
        numbers = {name: float(value) for name, value in scalars.items() if isinstance(value, Real)}
        tensors: dict[str, Any] = {name: value for name, value in scalars.items() if not isinstance(value, Real)}
        mean = distributed_mean()
        if mean is not None and numbers:
            tensors |= as_tensors(numbers)
            numbers = {}
        if tensors:
            self.signals.begin(Transfer(tensors, mean), phase)
        self.signals.put(numbers, phase)

    def _require_supplied(self) -> None:
        for plugin in self.composition.plugins:
            for name in plugin.reads:
                spec = self.composition.signals[name]
                if spec.phase == "d" and name not in self.signals.fresh():
                    raise ConfigError(
                        f"step {self.step}: plugin {plugin.name} reads {name}, which the host said it supplies "
                        f"but did not pass: {spec.ask}"
                    )
