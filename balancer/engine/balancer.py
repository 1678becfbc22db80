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
from balancer.contract.notes import Request
from balancer.contract.plugin import Plugin
from balancer.engine.audit import AuditMode
from balancer.engine.parts import Parts
from balancer.engine.ranks import rank
from balancer.errors import CheckpointError, ConfigError, suggestion

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer


STATE_VERSION: Final = 1
# Calls of `start_step` in one step without any update, after which nobody is believed to gather gradients.
MOST_MICRO_BATCHES: Final = 256


class Balancer(Parts):
    """Plugins, knobs and signals of one run.

    A host (a training loop) calls `start_step` at the top of each iteration, and reports its two parts in whatever
    order and number it has them: `after_d_step` after D's update, or in its place where `d_update` is False;
    `before_g_backward` (or a look at a weight such as `lambda_adv`) before G's backward pass. A part left out, several
    updates of one network and several micro-batches for one update are told apart by what the optimizers do. What a
    host does not call (`after_g_step`, `end_step`, …) happens by itself at the last moment that is right.

    A step is over when a network was updated or D's turn was skipped: `start_step` goes on with the step under way
    while gradients gather and no optimizer has stepped.

    Args:
        plugins: names of installed plugins, plugin classes, or a composition already checked.
        settings: each plugin's settings by plugin name.
        optimizers: `{"d": …, "g": …}`, each an optimizer or a list of those that update this network; their own steps
            tell of updates and bear `lr_d` and `lr_g`. A role left out counts the calls of its part instead.
        base: values that knobs have when no plugin writes them, such as `{"lambda_adv": 1.0}`.
        supplies: signals that the host passes, such as `{"d_adv"}`.
        obeys: knobs that the host reads, such as `{"lambda_adv", "d_update", "lr_d"}`, and further hooks that
            it calls, such as `transform_d_input`.
        heads: heads of D that the host freezes on request, with the terms that fall away meanwhile.
        adversarial: the adversarial loss whose logits `after_d_step` receives: its name, or a subclass or an instance
            of `AdversarialLoss`.
        log_dir: where TensorBoard events, `decisions.jsonl` and the signals of every step go.
        log_every: steps between two points in TensorBoard, at first; see `Recorder.thin`.
        seed: seed of the plugins' own random generators.
        steps_per_epoch, batch_size, steps: told to plugins, where the host knows them: steps in an epoch, items in a
            step over all ranks, and how many steps the run is planned to have, those before a resume included.
        last_layer: the weight of G's last layer, for laws that compare gradients there.
        gradients_every: steps between two measurements of the signals `g_grad_…` and `d_grad_norm`; 0 is never.
        on_decision: is told every decision.
        on_row: is handed each step's number and row, by TensorBoard tag: for a logger of one's own.
        audit: what becomes of a host's words that do not fit its deeds: a `BalancerWarning`, an `AuditError` ("error"),
            or nothing ("off").

    Raises:
        PluginError, ConfigError, CompositionError: see `balancer.contract.compose.compose`.
    """

    def __init__(
        self,
        plugins: Sequence[str | type[Plugin]] | Composition = (),
        *,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        optimizers: Mapping[str, Optimizer | Sequence[Optimizer]] | None = None,
        base: Mapping[str, float] | None = None,
        supplies: Collection[str] = (),
        obeys: Collection[str] = (),
        heads: Mapping[str, HeadSpec] | None = None,
        adversarial: str | type[AdversarialLoss] | AdversarialLoss = "bce",
        log_dir: str | Path | None = None,
        log_every: int = 10,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        batch_size: int | None = None,
        steps: int | None = None,
        last_layer: Tensor | None = None,
        gradients_every: int = 0,
        on_decision: Callable[[Decision], None] | None = None,
        on_row: Callable[[int, Mapping[str, float]], object] | None = None,
        audit: AuditMode = "warn",
    ) -> None:
        if isinstance(plugins, str):
            raise ConfigError(f"plugins are a list of names, such as [{plugins!r}]")
        warnings: Sequence[str] = ()
        if not isinstance(plugins, Composition):
            host = foreign_host(
                supplies, obeys, base or {}, heads or {}, adversarial, optimizers or {}, gradients_every
            )
            plugins = compose(plugins, settings, host=host)
            warnings = plugins.warnings
            names = [plugin.name for plugin in plugins.plugins]
            for name in settings or {}:
                if name not in names:
                    near = f": {suggestion(name, names)}" if names else ", as no plugin is"
                    raise ConfigError(f"settings for {name!r}, which is not composed{near}")
        if optimizers and "g" not in optimizers and any(op == "ratio" for _, op in plugins.writers("lr_d")):
            raise ConfigError("lr_d as a ratio to lr_g needs both: pass optimizers={'d': …, 'g': …}")
        super().__init__(
            plugins,
            optimizers or {},
            log_dir,
            log_every,
            seed,
            steps_per_epoch,
            on_decision,
            audit=audit,
            last_layer=last_layer,
            gradients_every=gradients_every,
            batch_size=batch_size,
            steps=steps,
        )
        self._audit.compose(warnings)
        self._on_row: Final = on_row
        self._started = False
        self._ended = False
        self._epoch_open = False
        self._stuck = False
        # Whether the host closes its steps itself.
        self._host_ends = False

    # A step.

    def start_step(self, *, epoch: int | None = None) -> None:
        """Begin a step: fires `on_run_start`, `on_epoch` where due, and `on_step_start`; then D's knobs hold.

        Where gradients gather for an update to come, the call is another micro-batch of the step under way.
        """
        self._optimizers.require_watch()
        if self._open and epoch in (None, self.epoch) and not self._stuck and self._gathers():
            self._rounds += 1
            if self._rounds <= MOST_MICRO_BATCHES:
                return
            self._stuck = True
            self._audit.stuck(MOST_MICRO_BATCHES)
        # Where D's gradients gather over several steps, what began goes on: half a window is no update.
        d_goes_on = self._open and self._d_due and self._d.waits and not self._d.overflowed
        self._requests.next_step()
        self._close_step()
        self.start_run()
        begins = epoch is not None and epoch != self.epoch
        if epoch is not None and begins:
            self.end_epoch()
            self.clock.epoch = epoch
        elif self.epoch < 0 and (acting := self._calls.implemented("on_epoch")):
            raise ConfigError(f"plugin {acting[0]} acts on epochs: pass epoch= to balance.start_step")
        self._begin_step()
        self._rounds = 1
        if begins:
            self._calls("on_epoch", run=self._run_info(), epoch=epoch)
        self._epoch_open = True
        self._open = True
        self._moment("on_step_start")
        if d_goes_on:
            self.board.keep("d_update", True)

    def end_step(self, **terms: Tensor | float) -> None:
        """Take G's terms not yet passed, and close the step: fire `on_step_end`, log. `start_step` does it otherwise.

        A step in which gradients gather for an update to come stays open.
        """
        self._host_ends = True
        if not self._open:
            return
        self._optimizers.settle()
        if terms:
            self._measure_part("g", terms)
        if not self._gathers():
            self._close_step(reported=bool(terms))

    def _close_step(self, *, reported: bool = False) -> None:
        if not self._open:
            return
        self._optimizers.settle()
        self._close_d()
        self._close_g(reported)
        self._moment("on_step_end")
        if self._d.updates or self._g.updates:
            self._usual_rounds, self._stuck = self._rounds, False
        self._d.end_step()
        self._g.end_step()
        self.row = self._step_row()
        if self._recorder is not None:
            self._recorder.step(self.step, self.epoch, self.row)
        if self._on_row is not None:
            self._on_row(self.step, self.last_row)
        self._audit.end_step(self._reported, self._g_terms)
        self._open = False
        self.clock.step += 1

    # A run.

    @property
    def requests(self) -> tuple[Request, ...]:
        """What plugins requested in this step; after `end_step`, in the step that it closed."""
        return self._requests.look()

    @property
    def end_requested(self) -> bool:
        """Whether a plugin has requested that the run end."""
        self._requests.look()
        return self._requests.end

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
        self._close_step()
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
                self._close_step()
        except BaseException as broken:
            error = broken
            raise
        finally:
            self._requests.next_step()
            try:
                if self._started:
                    self._calls("on_run_end", run=self._run_info(), error=error)
            finally:
                self._audit.release()
                self._optimizers.release()
                if self._recorder is not None:
                    self._recorder.close()

    def __enter__(self) -> Balancer:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.end_run(error)

    def state_dict(self) -> dict[str, Any]:
        """Counters, contributions, newest signals and every plugin's state.

        It closes a step that had as much of both parts as the one before, unless the host calls `end_step`, and changes
        nothing in the middle of one: a run that goes on from there begins in the middle too. The logs of all closed
        steps are on the disk when it returns: a checkpoint must not be ahead of them.
        """
        if self._open and not self._host_ends and self._d.done and self._g.done:
            self._close_step()
        if self._recorder is not None:
            self._recorder.flush()
        stands = {"open": self._open, "g_first": self._g_first, "epoch_open": self._epoch_open}
        rounds = {"rounds": self._rounds, "usual_rounds": self._usual_rounds}
        return {**self.saved_parts(), **stands, **rounds, "ranked": self.rank_state(), "version": STATE_VERSION}

    def rank_state(self) -> dict[str, Any]:
        """What is this rank's alone, the generators `rank_rng`: a checkpoint of several ranks keeps each one's."""
        return {"rank": rank(), "rngs": self._calls.rank_states()}

    def load_rank_state(self, state: Mapping[str, Any] | None) -> None:
        """Restore what `rank_state` returned on this rank; with None, or that of another rank, begin anew."""
        mine = state is not None and state.get("rank", rank()) == rank()
        self._calls.restore_rank(state.get("rngs", {}) if state is not None and mine else None, self.step)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` was taken; logs beyond that step are cut.

        Plugins that were not composed then start fresh; those no longer composed leave no trace.

        Raises:
            CheckpointError: a state of another version.
        """
        if state["version"] != STATE_VERSION:
            raise CheckpointError(f"balancer state has version {state['version']}; this release reads {STATE_VERSION}")
        self._resumed = True
        self._open, self._g_first = state.get("open", False), state.get("g_first", False)
        self._epoch_open = state["epoch_open"]
        self._rounds, self._usual_rounds = state.get("rounds", 0), state.get("usual_rounds", 1)
        self.restore_parts(state)
        self.load_rank_state(state.get("ranked"))
        if self._started:
            self._begin_record()
