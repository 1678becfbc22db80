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
from balancer.contract.knobs import Decision, KnobBoard, Op, Value
from balancer.contract.model import HeadSpec
from balancer.contract.moments import RunInfo, StepContext
from balancer.contract.plugin import Plugin
from balancer.contract.signals import STANDARD_SIGNALS, SignalBoard, Transfer
from balancer.engine.calls import PluginCalls
from balancer.engine.ranks import as_tensors, distributed_mean, is_first_rank
from balancer.engine.rates import Rates
from balancer.errors import CheckpointError, ConfigError, PluginError, TrainingError, suggestion
from balancer.record.recorder import Telemetry, tag

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
        self.board: Final = KnobBoard(
            plugins.knobs, plugins.host.base, [plugin.name for plugin in plugins.plugins], self._decide
        )
        self.signals: Final = SignalBoard()
        self.step = 0
        self.epoch = -1
        self.d_updates = 0
        self.g_updates = 0
        self._seed: Final = seed
        self._steps_per_epoch: Final = steps_per_epoch
        self._on_decision: Final = on_decision
        self._telemetry: Telemetry | None = None
        self._resumed = False
        self._started = False
        self._ended = False
        # Which part of a step is under way: "" between steps, then "d", "g" (D is done), "weights" (read).
        self._stage = ""
        self._epoch_open = False
        self._g_terms: tuple[str, ...] = ()
        # G's weights as they stood for its last backward pass; a plugin may have turned them since.
        self._weights: dict[str, float] = {}
        # What the last finished step measured and did, by TensorBoard tag.
        self.last_row: dict[str, float] = {}
        self.d_update = True
        self.real_label, self.fake_label = 1.0, 0.0
        self.d_frozen: tuple[str, ...] = ()
        self._calls: Final = PluginCalls(plugins, self.board, self.signals, seed)
        if optimizers and "g" not in optimizers and any(op == "ratio" for _, op in plugins.writers("lr_d")):
            raise ConfigError("lr_d as a ratio to lr_g needs both: pass optimizers={'d': …, 'g': …}")
        self._rates: Final = Rates(self.board, optimizers or {})
        if log_dir is not None and is_first_rank():
            self._telemetry = Telemetry(Path(log_dir), log_every)

    # A step, in order.

    def start_step(self, *, epoch: int | None = None) -> None:
        """Begin a step: fires `on_run_start`, `on_epoch` where due, and `on_step_start`; then D's knobs hold."""
        self.end_step()
        self.start_run()
        if epoch is not None and epoch != self.epoch:
            self.end_epoch()
            self.epoch = epoch
            self._calls("on_epoch", run=self._run_info(), epoch=epoch)
        elif self.epoch < 0 and (acting := self._calls.implemented("on_epoch")):
            raise ConfigError(f"plugin {acting[0]} acts on epochs: pass epoch= to balance.start_step")
        self._epoch_open = True
        self._stage = "d"
        self._g_terms = ()
        self.d_update = True  # until the knob is read, right after the hook
        self._calls("on_step_start", ctx=self.context())
        if "d_update" in self.board.specs:
            self.d_update = bool(self.board.value("d_update"))
        if "real_label" in self.board.specs:
            self.real_label = self.board.number("real_label")
        if "fake_label" in self.board.specs:
            self.fake_label = self.board.number("fake_label")
        if "d_frozen" in self.board.specs:
            frozen = self.board.value("d_frozen")
            assert isinstance(frozen, tuple)
            self.d_frozen = frozen

    def transform_d_input(self, images: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What D is to see instead of these images; call it in D's and in G's pass."""
        return self._calls.transform(self.context(), images, condition)

    def d_loss_terms(self, **tensors: Any) -> dict[str, Tensor]:
        """Further terms that plugins add to D's loss; `tensors` fill the step context's fields."""
        return self._terms("d_loss_terms", "d_", tensors)

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
        self._measure(scalars)

    def before_d_backward(self) -> None:
        """Fire `before_d_backward`; optional, and never on a skipped D step."""
        self._calls("before_d_backward", ctx=self.context())

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
            self.d_updates += 1
        self._stage = "g"
        self._calls("after_d_step", ctx=self.context())

    def g_loss_terms(self, **tensors: Any) -> dict[str, Tensor]:
        """Further terms that plugins add to G's loss; `tensors` fill the step context's fields."""
        return self._terms("g_loss_terms", "", tensors)

    def measure_g(self, **terms: Tensor | float) -> None:
        """Take G's unweighted terms where `before_g_backward` came too early for them, before G's optimizer steps."""
        self._measure(terms)
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
        self._calls("before_g_backward", ctx=self.context())
        self._weights = {knob: self.board.number(knob) for knob in self.board.specs if knob.startswith("lambda_")}

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
            return self._weights[knob] if knob in self._weights else self.board.number(knob)
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
        self.g_updates += 1
        self._weigh()
        self._stage = "end"
        self._calls("after_g_step", ctx=self.context())

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
        self._calls("on_step_end", ctx=self.context())
        self.last_row = self._row()
        if self._telemetry is not None:
            self._telemetry.step(self.step, self.epoch, self.last_row)
        self._stage = ""
        self.step += 1
        self.board.step = self.signals.step = self.step

    # A run.

    def start_run(self) -> None:
        """Fire `on_run_start`, once; `start_step` does it otherwise."""
        if not self._started:
            self._started = True
            if self._telemetry is not None and not self._resumed:
                self._telemetry.refuse_used()
            self._rates.note_schedules()
            self._calls("on_run_start", run=self._run_info())

    def begin_at(self, step: int) -> None:
        """Count from `step` on, before the first step: for networks that were trained so far elsewhere."""
        self.step = self.d_updates = self.g_updates = step
        self.board.step = self.signals.step = step

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
            if self._telemetry is not None:
                self._telemetry.close()

    def __enter__(self) -> Balancer:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.end_run(error)

    @property
    def telemetry(self) -> Telemetry | None:
        """The logs of this run on the first rank, else None."""
        return self._telemetry

    def state_dict(self) -> dict[str, Any]:
        """Counters, contributions, newest signals and every plugin's state, between two steps.

        The logs up to here are on the disk when it returns: a checkpoint must not be ahead of them.
        """
        self.end_step()
        if self._telemetry is not None:
            self._telemetry.flush()
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
        self.step, self.epoch = state["step"], state["epoch"]
        self._epoch_open = state["epoch_open"]
        self.d_updates, self.g_updates = state["d_updates"], state["g_updates"]
        self.board.step = self.signals.step = self.step
        self.signals.load_state_dict(state["signals"])
        operations = self.composition.operations
        self.board.load_state_dict(
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
        if self._telemetry is not None:
            self._telemetry.cut(self.step)

    def _row(self) -> dict[str, float]:
        """Everything known of the present step, by TensorBoard tag: losses, signals, knobs, shares, rates."""
        fresh = self.signals.fresh()
        brought = {spec.name for plugin in self.composition.plugins for spec in plugin.brings_signals}
        row: dict[str, float] = {}
        for name, value in fresh.items():
            row[tag(name, self._g_terms, brought)] = value
        if "adv" in self._g_terms and "adv" in fresh:
            row["signal/adv_effective"] = self.weight("adv") * fresh["adv"]
        for knob, spec in self.board.specs.items():
            if "add" in spec.ops:
                row[f"knob/{knob}"] = float(len(self.d_frozen))
            elif knob == "d_update":
                row["knob/d_update"] = float(self.d_update)
            elif knob in ("real_label", "fake_label"):
                row[f"knob/{knob}"] = getattr(self, knob)  # as D saw it, though a plugin may have turned it since
            elif not knob.startswith("lr_"):
                row[f"knob/{knob}"] = self._weights[knob] if knob in self._weights else self.board.number(knob)
        row |= {f"lr/{role}": rate for role, rate in self._rates.used().items()}
        return row

    def _weigh(self) -> None:
        """Put G's loss and each term's share of it on the signal board."""
        fresh, host = self.signals.fresh(), self.composition.host
        weighted = {term: self.weight(term) * fresh[term] for term in self._g_terms if term in fresh}
        # A script may weigh a term by a number that it told nobody.
        told = host.weighs or all(f"lambda_{term}" in {*self.board.specs, *host.base} for term in weighted)
        if weighted and told:
            total = math.fsum(abs(value) for value in weighted.values())
            shares = {f"{term}_share": abs(value) / total if total else 0.0 for term, value in weighted.items()}
            self.signals.put({"g_loss": math.fsum(weighted.values()), **shares})

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

    def _terms(self, hook: str, prefix: str, tensors: Mapping[str, Any]) -> dict[str, Tensor]:
        merged: dict[str, Tensor] = {}
        for terms in self._calls(hook, ctx=self.context(**tensors)):
            for name in terms:
                signal = prefix + name
                if name in merged or signal in self.composition.signals or signal in STANDARD_SIGNALS:
                    raise ConfigError(f"step {self.step}: {hook}: there is a {signal} already: rename the new one")
            merged.update(terms)
        return merged

    def _decide(
        self, plugin: str, knob: str, op: Op, old: Value | None, new: Value | None, effective: Value, note: str
    ) -> None:
        if self._calls.acting is None:
            raise PluginError(f"plugin {plugin} wrote to {knob} outside a hook: write in hooks only")
        acting, moment = self._calls.acting
        # An epoch ends with its last step, which is counted by then.
        step = self.step - 1 if moment == "on_epoch_end" else self.step
        decision = Decision(
            step,
            max(self.epoch, 0),
            moment,
            plugin,
            knob,
            op,
            old,
            new,
            effective,
            acting.signals.snapshot(),
            note,
        )
        if self._on_decision is not None:
            self._on_decision(decision)
        if self._telemetry is not None:
            self._telemetry.decision(decision)

    def _measure(self, scalars: Mapping[str, Tensor | float]) -> None:
        numbers = {name: float(value) for name, value in scalars.items() if isinstance(value, Real)}
        tensors: dict[str, Any] = {name: value for name, value in scalars.items() if not isinstance(value, Real)}
        mean = distributed_mean()
        if mean is not None and numbers:
            tensors |= as_tensors(numbers)
            numbers = {}
        if tensors:
            self.signals.begin(Transfer(tensors, mean))
        self.signals.put(numbers)

    def _require_supplied(self) -> None:
        for plugin in self.composition.plugins:
            for name in plugin.reads:
                spec = self.composition.signals[name]
                if spec.phase == "d" and name not in self.signals.fresh():
                    raise ConfigError(
                        f"step {self.step}: plugin {plugin.name} reads {name}, which the host said it supplies "
                        f"but did not pass: {spec.ask}"
                    )
