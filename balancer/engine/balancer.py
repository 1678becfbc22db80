"""Balancer: one composition at work. It runs the moments of a step, for our loop and for anybody else's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.adversarial import AdversarialLoss
from balancer.contract.compose import Composition, compose
from balancer.contract.host import foreign_host
from balancer.contract.knobs import Decision
from balancer.contract.model import HeadSpec
from balancer.contract.plugin import Plugin
from balancer.engine.measured import logit_signals
from balancer.engine.mechanism import Mechanism
from balancer.errors import CheckpointError, ConfigError, suggestion

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from balancer.contract.adversarial import Logits


STATE_VERSION: Final = 1


class Balancer(Mechanism):
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
        adversarial: the adversarial loss whose logits `after_d_step` receives: its name, or a subclass or an instance
            of `AdversarialLoss`.
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
        adversarial: str | type[AdversarialLoss] | AdversarialLoss = "bce",
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
        if optimizers and "g" not in optimizers and any(op == "ratio" for _, op in plugins.writers("lr_d")):
            raise ConfigError("lr_d as a ratio to lr_g needs both: pass optimizers={'d': …, 'g': …}")
        super().__init__(plugins, optimizers or {}, log_dir, log_every, seed, steps_per_epoch, on_decision)
        self._started = False
        self._ended = False
        # Which part of a step is under way: "" between steps, then "d", "g" (D is done), "weights" (read).
        self._stage = ""
        self._epoch_open = False

    # A step, in order.

    def start_step(self, *, epoch: int | None = None) -> None:
        """Begin a step: fires `on_run_start`, `on_epoch` where due, and `on_step_start`; then D's knobs hold."""
        self.end_step()
        self.start_run()
        begins = epoch is not None and epoch != self.epoch
        if epoch is not None and begins:
            self.end_epoch()
            self.clock.epoch = epoch
        elif self.epoch < 0 and (acting := self._calls.implemented("on_epoch")):
            raise ConfigError(f"plugin {acting[0]} acts on epochs: pass epoch= to balance.start_step")
        self.board.release()
        self._rates.begin_step()
        if begins:
            self._calls("on_epoch", run=self._run_info(), epoch=epoch)
        self._epoch_open = True
        self._stage = "d"
        self._g_terms = ()
        self._moment("on_step_start")

    def transform_d_input(self, images: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What D is to see instead of these images; call it in D's and in G's pass."""
        return self._calls.transform(self.context(), images, condition)

    def d_loss_terms(self, **tensors: Any) -> dict[str, Tensor]:
        """Further terms that plugins add to D's loss; `tensors` fill the step context's fields."""
        return self._terms("d_loss_terms", "d", tensors)

    def measure_d(
        self,
        *,
        real_logits: Logits | None = None,
        fake_logits: Logits | None = None,
        **scalars: Tensor | float,
    ) -> None:
        """Take D's signals of this step: from its logits, and by name (`d_adv`, `d_loss`, …).

        Logits of several discriminators are lists of tensors. Tensors are packed into one transfer off the device;
        whoever reads a signal first waits for it.
        """
        self._measure({**logit_signals(self.loss, real_logits, fake_logits, self.step), **scalars}, "d")

    def before_d_backward(self) -> None:
        """Fire `before_d_backward`; optional, and never on a skipped D step."""
        self._moment("before_d_backward")

    def after_d_step(
        self,
        *,
        real_logits: Logits | None = None,
        fake_logits: Logits | None = None,
        **scalars: Tensor | float,
    ) -> None:
        """D was updated or skipped: take its signals, unless `measure_d` did, and fire `after_d_step`."""
        if self._stage != "d":
            raise ConfigError(f"step {self.step}: after_d_step belongs once into each step, after start_step")
        if scalars or real_logits is not None or fake_logits is not None:
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

        A term that is not a knob weighs what the host's `base` says, or 1 (one that a plugin added).
        """
        if self._stage == "d":
            if self.d_update:
                raise ConfigError(f"step {self.step}: a weight was read before after_d_step: laws act between the two")
            self.after_d_step()
        if self._stage == "g":
            self.before_g_backward()
        return self._held_weight(term)

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
            if self._recorder is not None and not self._resumed:
                self._recorder.refuse_logged()
            self._begin_record()
            self._calls("on_run_start", run=self._run_info())

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

    def state_dict(self) -> dict[str, Any]:
        """Counters, contributions, newest signals and every plugin's state, between two steps.

        The logs up to here are on the disk when it returns: a checkpoint must not be ahead of them.
        """
        self.end_step()
        if self._recorder is not None:
            self._recorder.flush()
        return {**self.saved_parts(), "version": STATE_VERSION, "epoch_open": self._epoch_open}

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
        self._epoch_open = state["epoch_open"]
        self.restore_parts(state)
        if self._started:
            self._begin_record()
