"""Which contributions were active at one step of a run: its decisions in order, folded up to that step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from balancer.contract.knobs import Decision, KnobSpec, Op, Value, merge

Contributor = tuple[str, str, Op]  # knob, plugin, operation


class Active:
    """The decisions that are active at one step."""

    def __init__(self, step: int) -> None:
        self.step: Final = step
        # The newest decision on each contribution when the step began, the newest last; then what came in the step.
        self._before: Final[dict[Contributor, Decision]] = {}
        self._within: Final[list[Decision]] = []

    def add(self, decision: Decision) -> None:
        """Take in the next decision of the run."""
        if decision.step < self.step:
            _put(self._before, decision)
        elif decision.step == self.step:
            self._within.append(decision)

    def decisions(self, spec: KnobSpec, base: Value, lr_g: float, held: Value | None) -> list[Decision]:
        """The newest decision on each contribution to a knob when it was read in this step.

        It is read after `spec.read_after`, where D comes first. Where G does, or where G is updated several times in a
        step and its weights are read again, `held`, the value that the step recorded, tells how many decisions had been
        taken.
        """
        mine = [decision for decision in self._within if decision.knob == spec.name]
        in_time = [count for count, one in enumerate(mine, 1) if spec.acts_in_step(one.moment)]
        first = in_time[-1] if in_time else 0
        for count in (*range(first, len(mine) + 1), *reversed(range(first))):
            active = self._folded(spec.name, mine[:count])
            if held is None or merged(spec, base, active, self.step, lr_g) == held:
                return active
        return self._folded(spec.name, mine[:first])

    def _folded(self, knob: str, within: Iterable[Decision]) -> list[Decision]:
        active = {key: decision for key, decision in self._before.items() if decision.knob == knob}
        for decision in within:
            _put(active, decision)
        return list(active.values())


def merged(spec: KnobSpec, base: Value, decisions: Iterable[Decision], step: int, lr_g: float) -> Value:
    """What the contributions that decisions left make of a knob."""
    return merge(spec, base, [(d.op, d.new) for d in decisions if d.new is not None], step, lr_g)


def _put(active: dict[Contributor, Decision], decision: Decision) -> None:
    key = decision.knob, decision.plugin, decision.op
    active.pop(key, None)
    active[key] = decision
