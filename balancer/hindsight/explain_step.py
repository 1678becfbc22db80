"""One step of a run: what every knob held, who contributed what to it, and what else it could have been."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from balancer.contract.knobs import Decision, KnobSpec, Op, Value, merge
from balancer.contract.signals import StepRow
from balancer.hindsight.active import Active, merged
from balancer.hindsight.merge_phrase import merge_phrase
from balancer.hindsight.neighbours import Answer, neighbours
from balancer.hindsight.phrase import Phrase, phrase
from balancer.record.compositions import Composed
from balancer.record.folder import DECISIONS
from balancer.record.signals import EPOCH


@dataclass(frozen=True)
class Alternative:
    """What a law would have contributed under other conditions, and what the knob would then have been.

    `here` marks what it did contribute.
    """

    when: Phrase
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
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True)
class KnobState:
    """A knob in one step: the value that it held, and how that came about."""

    knob: str
    effective: Value
    base: Value
    how: Phrase
    read_after: str
    contributions: tuple[Contribution, ...] = ()
    remarks: tuple[Phrase, ...] = ()


@dataclass(frozen=True)
class StepState:
    """Every knob in one step; the epoch is -1 where nobody counts them."""

    step: int
    epoch: int
    plugins: tuple[str, ...]
    knobs: tuple[KnobState, ...]

    def __getitem__(self, knob: str) -> KnobState:
        """One knob by name."""
        return {state.knob: state for state in self.knobs}[knob]


def explain_step(active: Active, row: StepRow, composed: Composed, ask: bool) -> StepState:
    """Every knob of the composition, as the step's row has it; `ask` laws what else they would have answered."""
    board = _Board(active, row, composed, ask)
    knobs = tuple(board.state(spec) for spec in composed.knobs.values())
    return StepState(active.step, int(row.get(EPOCH, -1)), tuple(composed.plugins), knobs)


class _Board:
    """The knobs of a run at one step."""

    def __init__(self, active: Active, row: StepRow, composed: Composed, ask: bool) -> None:
        self._active: Final = active
        self._row: Final = row
        self._composed: Final = composed
        self._ask: Final = ask
        self._order: Final = {plugin: index for index, plugin in enumerate(composed.plugins)}
        self._lr_g: Final = row.get(("knob", "lr_g"), 1.0)
        self._measured: Final = {
            name: value for (kind, name), value in row.items() if kind in ("d", "g", "plugin", "val")
        }

    def state(self, spec: KnobSpec) -> KnobState:
        """One knob."""
        step, base, held, lr_g = self._active.step, self._base(spec), self._held(spec), self._lr_g
        is_ratio = spec.name == "lr_d"
        decisions = self._active.decisions(spec, base, lr_g, None if is_ratio else held)
        decisions.sort(key=lambda d: (self._order.get(d.plugin, len(self._order)), d.op))
        factor = merged(spec, base, decisions, step, 1.0)
        if held and factor and any(d.op == "ratio" and d.new is not None for d in decisions):
            # D's rate was made from G's at D's step; since then a plugin or a scheduler may have turned that.
            lr_g = (
                float(held) / float(factor) if not isinstance(held, tuple) and not isinstance(factor, tuple) else lr_g
            )
        folded = held if is_ratio and held is not None else merged(spec, base, decisions, step, lr_g)
        rows = [(d.plugin, d.op, d.new) for d in decisions if d.new is not None]
        remarks = list(self._remarks(spec))
        if spec.name == "d_update" and held and not folded:
            remarks.append(phrase("explain.gathered"))
        elif held is not None and folded != held:
            remarks.append(phrase("explain.incomplete", value=folded, file=DECISIONS))
        return KnobState(
            spec.name,
            folded if held is None else held,
            base,
            merge_phrase(spec, base, rows, step, lr_g),
            spec.read_after,
            tuple(self._contribution(spec, base, lr_g, decision, decisions, remarks) for decision in decisions),
            tuple(remarks),
        )

    def _base(self, spec: KnobSpec) -> Value:
        scheduled = self._row.get(("base", spec.name))
        return self._composed.host.base.get(spec.name, spec.base) if scheduled is None else scheduled

    def _held(self, spec: KnobSpec) -> Value | None:
        """The value that the step recorded; None for a set of names, of which it records the number."""
        value = self._row.get(("knob", spec.name))
        if value is None or "add" in spec.ops:
            return None
        return bool(value) if "gate" in spec.ops else value

    def _contribution(
        self,
        spec: KnobSpec,
        base: Value,
        lr_g: float,
        decision: Decision,
        decisions: Sequence[Decision],
        remarks: list[Phrase],
    ) -> Contribution:
        others = [(d.op, d.new) for d in decisions if d is not decision and d.new is not None]
        alternatives = []
        answers: list[Answer] = []
        try:
            if self._ask and decision.plugin in self._order:
                answers = neighbours(self._composed, decision, self._measured)
        except Exception as error:
            remarks.append(phrase("explain.cannot_ask", plugin=decision.plugin, error=str(error)))
        for answer in answers:
            rows = others if answer.value is None else [*others, (decision.op, answer.value)]
            effective = merge(spec, base, rows, self._active.step, lr_g)
            alternatives.append(Alternative(answer.when, answer.value, answer.here, effective))
        return Contribution(
            decision.plugin,
            decision.op,
            decision.new,
            decision.step,
            decision.epoch,
            decision.moment,
            decision.signals,
            decision.note,
            tuple(alternatives),
        )

    def _remarks(self, spec: KnobSpec) -> Iterator[Phrase]:
        if spec.name == "lr_d" and self._row.get(("knob", "d_update")) == 0.0:
            yield phrase("explain.no_effect")
        if spec.is_weight and "d_frozen" in self._composed.knobs:
            for head in self._frozen():
                if spec.name.removeprefix("lambda_") in self._composed.host.heads[head].g_terms:
                    yield phrase("explain.head_frozen", head=head)

    def _frozen(self) -> tuple[str, ...]:
        spec = self._composed.knobs["d_frozen"]
        decisions = self._active.decisions(spec, self._base(spec), self._lr_g, None)
        frozen = merged(spec, self._base(spec), decisions, self._active.step, self._lr_g)
        assert isinstance(frozen, tuple)
        return frozen
