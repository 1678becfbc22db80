"""Balancer: one composition at work. It runs the moments of a step, for our loop and for anybody else's."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.adversarial import LOSSES, AdversarialName
from balancer.contract.compose import Composition, compose
from balancer.contract.host import foreign_host
from balancer.contract.knobs import Decision
from balancer.contract.model import HeadSpec
from balancer.contract.moments import RunInfo, StepContext
from balancer.contract.plugin import Plugin
from balancer.contract.signals import STANDARD_SIGNALS, Phase, Row, taken
from balancer.engine.boards import Change, KnobBoard, SignalBoard, Transfer
from balancer.engine.calls import PluginCalls
from balancer.engine.clock import Clock
from balancer.engine.ranks import as_tensors, distributed_mean, is_first_rank
from balancer.engine.rates import Rates
from balancer.errors import CheckpointError, ConfigError, PluginError, TrainingError, suggestion
from balancer.record.compositions import Composed
from balancer.record.recorder import Recorder
from balancer.record.tensorboard import tagged

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer


STATE_VERSION: Final = 1


class Balancer:
    """Plugins, knobs and signals of one run.

    A host (a training loop) calls, in this order and once per step: `start_step`, then its D update
    unless `d_update` is False, `after_d_step`, then reads weights such as `lambda_adv`, and its G
    update. What it does not call explicitly (`before_g_backward`, `end_step`, …) happens by itself
    at the last moment that is right.

    Args:
        plugins: names of installed plugins, plugin classes, or a composition already checked.
        settings: each plugin's settings by plugin name.
        optimizers: `{"d": …, "g": …}`; needed for `lr_d` and `lr_g` only.
        base: values that knobs have when no plugin writes them, such as `{"lambda_adv": 1.0}`.
        supplies: signals that the host passes, such as `{"d_adv"}`.
        obeys: knobs that the host reads, such as `{"lambda_adv", "d_update", "lr_d"}`, and further hooks that
            it calls, such as `transform_d_input`.
        heads: heads of D that the host freezes on request, with the terms that fall away meanwhile.
        adversarial: the adversarial loss whose logits `after_d_step` receives.
        log_dir: where TensorBoard events, `decisions.jsonl` and the signals of every step go.
        log_every: steps between two points in TensorBoard.
        seed: seed of the plugins' own random generators.
        steps_per_epoch: told to plugins, where the host knows it.
        on_decision: is told every decision.

    Raises:
        PluginError, ConfigError, CompositionError: see `balancer.contract.compose.compose`.
    """

    def __init__(
        self,
        plugins: Sequence[str | type[Plugin]] | Composition = (),
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        optimizers: Mapping[str, Optimizer] | None = None,
        base: Mapping[str, float] | None = None,
        supplies: Collection[str] = (),
        obeys: Collection[str] = (),
        heads: Mapping[str, HeadSpec] | None = None,
        adversarial: AdversarialName = "bce",
        log_dir: str | Path | None = None,
        log_every: int = 10,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        on_decision: Callable[[Decision], None] | None = None,
    ) -> None:
        if isinstance(plugins, str):
            raise ConfigError(f"plugins are a list of names, such as [{plugins!r}]")
        if not isinstance(plugins, Composition):
            host = foreign_host(supplies, obeys, base or {}, heads or {}, adversarial, optimizers or {})
            plugins = compose(plugins, settings, host=host)
            names = [plugin.name for plugin in plugins.plugins]
            for name in settings or {}:
                if name not in names:
                    raise ConfigError(f"settings for {name!r}, which is not composed: {suggestion(name, names)}")
        self.composition: Final = plugins
        self.loss: Final = LOSSES[plugins.host.adversarial]
        self.clock: Final = Clock()
        order = [plugin.name for plugin in plugins.plugins]
        self.board: Final = KnobBoard(plugins.knobs, plugins.host.base, order, self.clock, self._changed)
        self.signals: Final = SignalBoard(self.clock)
        self._seed: Final = seed
        self._steps_per_epoch: Final = steps_per_epoch
        self._on_decision: Final = on_decision
        self._recorder: Recorder | None = None
        self._resumed = False
        self._started = False
        self._ended = False
        # Which part of a step is under way: "" between steps, then "d", "g" (D is done), "weights" (read).
        self._stage = ""
        self._epoch_open = False
        self._g_terms: tuple[str, ...] = ()
        # Names that were measured before, and are free to be.
        self._names: Final[set[str]] = set()
        # What the last finished step measured and did.
        self.row: Row = {}
        self.d_update = True
        self.real_label, self.fake_label = 1.0, 0.0
        self.d_frozen: tuple[str, ...] = ()
        self._calls: Final = PluginCalls(plugins, self.board, self.signals, self.clock, seed)
        if optimizers and "g" not in optimizers and any(op == "ratio" for _, op in plugins.writers("lr_d")):
            raise ConfigError("lr_d as a ratio to lr_g needs both: pass optimizers={'d': …, 'g': …}")
        self._rates: Final = Rates(self.board, optimizers or {})
        if log_dir is not None and is_first_rank():
            self._recorder = Recorder(Path(log_dir), log_every)

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
    def last_row(self) -> dict[str, float]:
        """What the last finished step measured and did, by TensorBoard tag."""
        return tagged(self.row)

    # A step, in order.

    def start_step(self, *, epoch: int | None = None) -> None:
        """Begin a step: fires `on_run_start`, `on_epoch` where due, and `on_step_start`; then D's knobs hold."""
        self.end_step()
        self.start_run()
        if epoch is not None and epoch != self.epoch:
            self.end_epoch()
            self.clock.epoch = epoch
            self._calls("on_epoch", run=self._run_info(), epoch=epoch)
        elif self.epoch < 0 and (acting := self._calls.implemented("on_epoch")):
            raise ConfigError(f"plugin {acting[0]} acts on epochs: pass epoch= to balance.start_step")
        self._epoch_open = True
        self._stage = "d"
        self._rates.begin_step()
        self._g_terms = ()
        self.d_update = True  # until the knob is read, right after the hook
        self.board.release()
        self._moment("on_step_start")
        held, knobs = self.board.held, self.board.specs
        if "d_update" in knobs:
            self.d_update = bool(held("d_update"))
        if "real_label" in knobs:
            self.real_label = self.board.held_number("real_label")
        if "fake_label" in knobs:
            self.fake_label = self.board.held_number("fake_label")
        if "d_frozen" in knobs:
            frozen = held("d_frozen")
            assert isinstance(frozen, tuple)
            self.d_frozen = frozen

    def transform_d_input(self, images: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What D is to see instead of these images; call it in D's and in G's pass."""
        return self._calls.transform(self.context(), images, condition)

    def d_loss_terms(self, **tensors: Any) -> dict[str, Tensor]:
        """Further terms that plugins add to D's loss; `tensors` fill the step context's fields."""
        return self._terms("d_loss_terms", "d", tensors)

    def measure_d(
        self,
        *,
        real_logits: Tensor | None = None,
        fake_logits: Tensor | None = None,
        **scalars: Tensor | float,
    ) -> None:
        """Take D's signals of this step: from its logits, and by name (`d_adv`, `d_loss`, …).

        Tensors are packed into one transfer off the device; whoever reads a signal first waits for it.
        """
        if real_logits is not None and fake_logits is not None:
            scalars = {**self.loss.signals(real_logits, fake_logits), **scalars}
        self._measure(scalars, "d")

    def before_d_backward(self) -> None:
        """Fire `before_d_backward`; optional, and never on a skipped D step."""
        self._moment("before_d_backward")

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
            raise TrainingError(
                f"step {self.step}: {', '.join(f'{name} is {value}' for name, value in bad.items())}; "
                f"stopped before the optimizer step; plugin contributions: {'; '.join(rows) or 'none'}"
            )

    def after_d_step(
        self,
        *,
        real_logits: Tensor | None = None,
        fake_logits: Tensor | None = None,
        **scalars: Tensor | float,
    ) -> None:
        """D was updated or skipped: take its signals, unless `measure_d` did, and fire `after_d_step`."""
        if self._stage != "d":
            raise ConfigError(f"step {self.step}: after_d_step belongs once into each step, after start_step")
        if scalars or real_logits is not None:
            self.measure_d(real_logits=real_logits, fake_logits=fake_logits, **scalars)
        if self.d_update:
            self._require_supplied()
            self.clock.d_updates += 1
        self._stage = "g"
        self._moment("after_d_step")

    def g_loss_terms(self, **tensors: Any) -> dict[str, Tensor]:
        """Further terms that plugins add to G's loss; `tensors` fill the step context's fields."""
        return self._terms("g_loss_terms", "g", tensors)

    def measure_g(self, **terms: Tensor | float) -> None:
        """Take G's unweighted terms where `before_g_backward` came too early for them, before G's optimizer steps."""
        self._measure(terms, "g")
        self._g_terms = tuple(term for term in terms if term != "g_loss")

    @property
    def laws_on_g_terms(self) -> bool:
        """Whether a plugin acts in `before_g_backward` on what G's terms are in the same step."""
        acting = self._calls.implemented("before_g_backward")
        reads = {name for plugin in self.composition.plugins if plugin.name in acting for name in plugin.reads}
        return any(self.composition.signals[name].phase == "g" for name in reads)

    def before_g_backward(self, **terms: Tensor | float) -> None:
        """Take G's unweighted terms (`adv`, `l1`, …) and fire `before_g_backward`; G's weights hold after it.

        A host that does not call it gets it at its first look at a weight, before its terms are known.
        """
        if self._stage == "weights":
            raise ConfigError(f"step {self.step}: before_g_backward comes before the first look at a weight, and once")
        self.measure_g(**terms)
        self._stage = "weights"
        self._moment("before_g_backward")

    def weight(self, term: str) -> float:
        """The weight of a term of G's loss: its knob `lambda_<term>`, or 0 while its head of D is frozen.

        A term that is no knob weighs what the host's `base` says, or 1 (one that a plugin added).
        """
        if self._stage == "d":
            if self.d_update:
                raise ConfigError(f"step {self.step}: a weight was read before after_d_step: laws act between the two")
            self.after_d_step()
        if self._stage == "g":
            self.before_g_backward()
        if any(term in self.composition.host.heads[head].g_terms for head in self.d_frozen):
            return 0.0
        knob = f"lambda_{term}"
        if knob in self.board.specs:
            return self.board.held_number(knob)
        fixed = self.composition.host.base.get(knob, 1.0)
        assert isinstance(fixed, int | float)
        return float(fixed)

    # lambda_adv, lambda_l1, …: the weights that the host obeys.
    def __getattr__(self, name: str) -> float:
        if name.startswith("lambda_") and name in self.board.specs:
            return self.weight(name.removeprefix("lambda_"))
        raise AttributeError(f"no attribute {name!r}; a weight lambda_… must be listed in obeys")

    def frozen_d_terms(self) -> set[str]:
        """Terms of D's loss that weigh nothing in this step, because their head is frozen."""
        return {term for head in self.d_frozen for term in self.composition.host.heads[head].d_terms}

    def after_g_step(self) -> None:
        """G was updated; fires `after_g_step`. A host that does not call it gets it at the end of the step."""
        self.clock.g_updates += 1
        self._weigh()
        self._stage = "end"
        self._moment("after_g_step")

    def end_step(self, **terms: Tensor | float) -> None:
        """Close the step: take G's terms not yet passed, fire `on_step_end`, log. `start_step` does it otherwise."""
        if not self._stage:
            return
        if self._stage == "d":
            self.after_d_step()
        if self._stage == "g":
            self.before_g_backward()
        if terms:
            self.measure_g(**terms)
        if self._stage != "end":
            self.after_g_step()
        elif terms:
            self._weigh()
        self._moment("on_step_end")
        self.row = self._step_row()
        if self._recorder is not None:
            self._recorder.step(self.step, self.epoch, self.row)
        self._stage = ""
        self.clock.step += 1

    # A run.

    def start_run(self) -> None:
        """Fire `on_run_start`, once; `start_step` does it otherwise."""
        if not self._started:
            self._started = True
            if self._recorder is not None:
                if not self._resumed:
                    self._recorder.refuse_used()
                composed = Composed.of(self.composition, self.step, self._seed, self._steps_per_epoch)
                self._recorder.composition(composed)
            self._rates.note_schedules()
            self._calls("on_run_start", run=self._run_info())

    def begin_at(self, step: int) -> None:
        """Count from `step` on, before the first step: for networks that were trained so far elsewhere."""
        self.clock.step = self.clock.d_updates = self.clock.g_updates = step

    def end_epoch(self) -> None:
        """Fire `on_epoch_end`, once per epoch; a step of another epoch does it otherwise."""
        self.end_step()
        if self._epoch_open:
            self._epoch_open = False
            self._calls("on_epoch_end", run=self._run_info(), epoch=self.epoch)

    def end_run(self, error: BaseException | None = None) -> None:
        """Fire `on_run_end`, once, and close the logs; a step that an error broke off is not logged."""
        if self._ended:
            return
        self._ended = True
        try:
            if error is None:
                self.end_step()
        except BaseException as broken:
            error = broken
            raise
        finally:
            self._finish(error)

    def _finish(self, error: BaseException | None) -> None:
        try:
            if self._started:
                self._calls("on_run_end", run=self._run_info(), error=error)
        finally:
            self._rates.release()
            if self._recorder is not None:
                self._recorder.close()

    def __enter__(self) -> Balancer:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.end_run(error)

    @property
    def recorder(self) -> Recorder | None:
        """The logs of this run on the first rank, else None."""
        return self._recorder

    @property
    def telemetry(self) -> Recorder | None:
        """The former name of `recorder`; it goes with 0.2."""
        return self._recorder

    def state_dict(self) -> dict[str, Any]:
        """Counters, contributions, newest signals and every plugin's state, between two steps.

        The logs up to here are on the disk when it returns: a checkpoint must not be ahead of them.
        """
        self.end_step()
        if self._recorder is not None:
            self._recorder.flush()
        plugins = {}
        for plugin in self.composition.plugins:
            state = {"version": plugin.state_version, "state": plugin.state_dict(), "rng": plugin.rng_state()}
            plugins[plugin.name] = state
        return {
            "version": STATE_VERSION,
            "step": self.step,
            "epoch": self.epoch,
            "epoch_open": self._epoch_open,
            "d_updates": self.d_updates,
            "g_updates": self.g_updates,
            "knobs": self.board.state_dict(),
            "signals": self.signals.state_dict(),
            "plugins": plugins,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken; logs beyond that step are cut.

        Plugins that were not composed then start fresh; those no longer composed leave no trace.

        Raises:
            CheckpointError: a state of another version.
        """
        if state["version"] != STATE_VERSION:
            raise CheckpointError(f"balancer state has version {state['version']}; this release reads {STATE_VERSION}")
        self._resumed = True
        self._stage = ""
        self.clock.step, self.clock.epoch = state["step"], state["epoch"]
        self._epoch_open = state["epoch_open"]
        self.clock.d_updates, self.clock.g_updates = state["d_updates"], state["g_updates"]
        self.signals.load_state_dict(state["signals"])
        operations = self.composition.operations
        withdrawn = self.board.load_state_dict(
            state["knobs"],
            lambda plugin, knob, op: op in operations.get(plugin, {}).get(knob, {}).values(),
        )
        for plugin in self.composition.plugins:
            saved = state["plugins"].get(plugin.name)
            if saved is None:
                continue
            plugin.load_state_dict(saved["state"], saved["version"])
            if saved["rng"] is not None:
                plugin.rng.set_state(saved["rng"])
        if self._recorder is not None:
            self._recorder.cut(self.step)
        for change in withdrawn:
            self._decide(change, self.step, "on_run_start", {})

    def _step_row(self) -> Row:
        """Everything that the step now ending measured and did."""
        row = self.signals.row()
        if "adv" in self._g_terms and ("g", "adv") in row:
            row["derived", "adv_effective"] = self.weight("adv") * row["g", "adv"]
        for knob in self.board.specs:
            if knob not in ("lr_d", "lr_g"):
                value = self.board.held(knob)
                row["knob", knob] = float(len(value) if isinstance(value, tuple) else value)
        return row | self._rates.row()

    def _weigh(self) -> None:
        """Put G's loss and each term's share of it on the signal board."""
        fresh, host = self.signals.fresh(), self.composition.host
        weighted = {term: self.weight(term) * fresh[term] for term in self._g_terms if term in fresh}
        # A script may weigh a term by a number that it told nobody.
        told = host.weighs or all(f"lambda_{term}" in {*self.board.specs, *host.base} for term in weighted)
        if weighted and told:
            total = math.fsum(abs(value) for value in weighted.values())
            shares = {f"{term}_share": abs(value) / total if total else 0.0 for term, value in weighted.items()}
            self.signals.put({"g_loss": math.fsum(weighted.values()), **shares}, "g")

    def context(self, **tensors: Any) -> StepContext:
        """The step as plugins see it now."""
        return StepContext(self.step, self.epoch, self.d_updates, self.g_updates, not self.d_update, **tensors)

    # Behind the moments.

    def _run_info(self) -> RunInfo:
        return RunInfo(
            self._seed,
            max(self.epoch, 0),
            self.step,
            self.d_updates,
            self.g_updates,
            self._resumed,
            self._steps_per_epoch,
        )

    def _moment(self, hook: str) -> None:
        """Fire a moment of a step; then what is read after it holds."""
        self._calls(hook, ctx=self.context())
        self.board.hold(hook)

    def _terms(self, hook: str, phase: Phase, tensors: Mapping[str, Any]) -> dict[str, Tensor]:
        merged: dict[str, Tensor] = {}
        for plugin, terms in self._calls.terms(hook, self.context(**tensors)):
            for name in terms:
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
