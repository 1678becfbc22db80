"""One step of a run: every knob's effective value, who contributed what to it, and what else it could have been."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from balancer.contract.host import known_knob
from balancer.contract.knobs import Decision, KnobSpec, Op, Value, merge
from balancer.contract.plugin import Alternative
from balancer.errors import BalancerError, PluginError
from balancer.hindsight.meeting import meeting, said
from balancer.hindsight.moments import last_moment
from balancer.hindsight.standing import Standing
from balancer.record.config import RunConfig


@dataclass(frozen=True)
class Outcome:
    """What a law could have contributed instead, when, and what the knob would have been; `here` marks what stood."""

    when: str
    value: Value | None
    here: bool
    effective: Value


@dataclass(frozen=True)
class Contribution:
    """What a plugin contributes to a knob, since which decision, and on which signals; `value` None: withdrawn."""

    plugin: str
    op: Op
    value: Value | None
    step: int
    epoch: int
    moment: str
    signals: Mapping[str, float]
    note: str
    alternatives: tuple[Outcome, ...] = ()


@dataclass(frozen=True)
class KnobState:
    """A knob in one step; `base` is None where it cannot be known.

    `exact` is False where the effective value is the likely one only; `remarks` say why.
    """

    knob: str
    effective: Value
    base: Value | None
    how: str
    takes_effect: str
    contributions: tuple[Contribution, ...] = ()
    exact: bool = True
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepState:
    """Every knob in one step, and what is known of the step.

    The epoch lies between those of the decisions around it; the second is None where none follows.
    """

    step: int
    epoch: tuple[int, int | None]
    config: str | None
    plugins: tuple[str, ...]
    knobs: tuple[KnobState, ...]

    def __getitem__(self, knob: str) -> KnobState:
        """One knob by name."""
        return {state.knob: state for state in self.knobs}[knob]


def explain_step(standing: Standing) -> StepState:
    """Every knob of the composition; of a run without a config, every knob that a decision is about.

    Raises:
        ConfigError, PluginError, CompositionError: the config of that time does not compose any more.
    """
    config = standing.config()
    high = standing.epoch_to
    epoch = standing.epoch_from, None if high is None else max(high, standing.epoch_from)
    if config is None:
        knobs = tuple(_as_logged(standing, knob) for knob in standing.knobs)
        # One that was first decided on later in this step has no value that a log tells.
        return StepState(
            standing.step, epoch, None, tuple(standing.plugins), tuple(knob for knob in knobs if knob is not None)
        )
    assert standing.segment is not None
    board = _Board(standing, config, epoch)
    return StepState(
        standing.step,
        epoch,
        standing.segment.path.name,
        tuple(plugin.name for plugin in config.composition.plugins),
        tuple(board.state(spec) for spec in config.composition.knobs.values()),
    )


class _Board:
    """The knobs of a run with a config, at one step."""

    def __init__(self, standing: Standing, config: RunConfig, epoch: tuple[int, int | None]) -> None:
        self._standing: Final = standing
        self._config: Final = config
        self._specs: Final = config.composition.knobs
        self._low, self._high = epoch
        self._order: Final = {plugin.name: index for index, plugin in enumerate(config.composition.plugins)}

    def state(self, spec: KnobSpec) -> KnobState:
        """One knob."""
        moment = last_moment(spec.name)
        decisions = sorted(self._standing.decisions(spec.name, moment), key=lambda d: (self._rank(d), d.op))
        base = self._base(spec)
        lr_g = self._lr_g(moment)
        rows = [(d.plugin, d.op, d.new) for d in decisions if d.new is not None]
        return KnobState(
            spec.name,
            merge(spec, base, [row[1:] for row in rows], self._standing.step, lr_g),
            base,
            meeting(spec, base, rows, self._standing.step, lr_g),
            spec.takes_effect,
            tuple(self._contribution(spec, decision, decisions, lr_g) for decision in decisions),
            exact=self._settled(spec) and not self._standing.unsettled(spec.name),
            remarks=tuple(self._remarks(spec)),
        )

    def _contribution(
        self, spec: KnobSpec, decision: Decision, decisions: Sequence[Decision], lr_g: float
    ) -> Contribution:
        others = [(d.op, d.new) for d in decisions if d is not decision and d.new is not None]
        outcomes = []
        for other in self._alternatives(decision):
            rows = others if other.value is None else [*others, (decision.op, other.value)]
            effective = merge(spec, self._base(spec), rows, self._standing.step, lr_g)
            outcomes.append(Outcome(other.when, other.value, other.here, effective))
        return contribution(decision, tuple(outcomes))

    def _alternatives(self, decision: Decision) -> list[Alternative]:
        plugin = next((p for p in self._config.composition.plugins if p.name == decision.plugin), None)
        if plugin is None:
            return []
        try:
            return list(plugin.alternatives(decision))
        except BalancerError:
            raise
        except Exception as error:
            source = self._config.composition.sources[plugin.name]
            raise PluginError(
                f"plugin {plugin.name} of {source} cannot name its alternatives: {type(error).__name__}: {error}"
            ) from error

    def _base(self, spec: KnobSpec) -> Value:
        if spec.name == "lr_d" or spec.name == "lr_g":
            return self._scheduled(spec.name, self._low)
        return self._config.composition.host.base.get(spec.name, spec.base)

    def _scheduled(self, knob: str, epoch: int) -> float:
        role: Literal["d", "g"] = "d" if knob == "lr_d" else "g"
        return self._config.train.scheduled_rate(role, epoch)

    def _lr_g(self, moment: str) -> float:
        """G's rate as it stands after a moment: what D's rate is a multiple of."""
        rows = [(d.op, d.new) for d in self._standing.decisions("lr_g", moment) if d.new is not None]
        value = merge(self._specs["lr_g"], self._scheduled("lr_g", self._low), rows, self._standing.step, 1.0)
        assert not isinstance(value, tuple)
        return float(value)

    def _settled(self, spec: KnobSpec) -> bool:
        """Whether the epoch is known well enough for this knob's base."""
        until = self._low + 1 if self._high is None else self._high
        rates = {"lr_g": ("lr_g",), "lr_d": ("lr_d", "lr_g")}.get(spec.name, ())
        return all(self._scheduled(rate, self._low) == self._scheduled(rate, until) for rate in rates)

    def _remarks(self, spec: KnobSpec) -> Iterator[str]:
        name, train = spec.name, self._config.train
        if not self._settled(spec):
            first = self._scheduled(name, 0)
            rule = f"{said(first)} · {said(train.lr_decay)}^epoch, at least {said(min(first, train.lr_floor))}"
            until = "or later" if self._high is None else f"to {self._high}"
            yield (
                f"scheduled as {rule}; the epoch of this step is not logged, it is {self._low} {until}: "
                f"the value is that of epoch {self._low}"
            )
        if self._standing.unsettled(name):
            yield (
                f"G is updated {train.g_updates} times in each step, and no log says after which of them the newest "
                "decision came: it may have acted in this step already"
            )
        if name == "lr_d" and not self.state(self._specs["d_update"]).effective:
            yield "D is not updated in this step, so it has no effect"
        if name.startswith("lambda_") and "d_frozen" in self._specs:
            frozen = self.state(self._specs["d_frozen"]).effective
            assert isinstance(frozen, tuple)
            for head in frozen:
                if name.removeprefix("lambda_") in self._config.composition.host.heads[head].g_terms:
                    yield f"the head {head} is frozen, so the term weighs 0 in this step"
        if last_moment(name) == "on_step_end":
            yield "a knob that a plugin brings: its value at the end of the step"

    def _rank(self, decision: Decision) -> int:
        return self._order.get(decision.plugin, len(self._order))


def contribution(decision: Decision, outcomes: tuple[Outcome, ...] = ()) -> Contribution:
    """What a decision left standing."""
    return Contribution(
        decision.plugin,
        decision.op,
        decision.new,
        decision.step,
        decision.epoch,
        decision.moment,
        decision.signals,
        decision.note,
        outcomes,
    )


def _as_logged(standing: Standing, knob: str) -> KnobState | None:
    """A knob of a run that kept no config."""
    decisions = standing.decisions(knob, last_moment(knob))
    if not decisions:
        return None
    spec = known_knob(knob)
    newest = decisions[-1]
    effective, how = newest.effective, f"as logged with the decision of step {newest.step} ({newest.moment})"
    if spec is not None and "gate" in spec.ops:
        # Its period goes by the step.
        rows = [(d.plugin, d.op, d.new) for d in decisions if d.new is not None]
        effective = merge(spec, True, [row[1:] for row in rows], standing.step, 1.0)
        how = meeting(spec, True, rows, standing.step, 1.0)
    remarks = ["a schedule may have changed the rate since"] if knob.startswith("lr_") else []
    return KnobState(
        knob,
        effective,
        None,
        how,
        "" if spec is None else spec.takes_effect,
        tuple(contribution(decision) for decision in decisions),
        exact=False,
        remarks=tuple(remarks),
    )
