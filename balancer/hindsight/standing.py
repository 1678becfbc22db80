"""Which contributions stood at one step of a run, from its decisions in order and its configs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from balancer.contract.knobs import Decision, Op
from balancer.contract.moments import HOOK_NAMES
from balancer.hindsight.moments import last_moment
from balancer.record.config import RunConfig
from balancer.record.segments import Segment


class Standing:
    """The decisions that stand at one step, and how far the epoch of that step is known."""

    def __init__(self, segments: Sequence[Segment], step: int) -> None:
        self.step: Final = step
        # The segment in force, None where the run keeps no config, and those that follow up to the step.
        self.segment: Segment | None = None
        self._following: Final = [segment for segment in segments if segment.first <= step]
        if self._following:
            self.segment = self._following.pop(0)
        self._config: RunConfig | None = None
        # What stood when the step began, the newest last, by knob, plugin and operation; then what came in it.
        self._before: Final[dict[tuple[str, str, Op], Decision]] = {}
        self._within: Final[list[Decision]] = []
        self.epoch_from = 0
        self.epoch_to: int | None = None if step else 0
        # Plugins that wrote although the config in force does not compose them, and the step where they first did.
        self.strangers: Final[dict[str, int]] = {}

    def add(self, decision: Decision) -> None:
        """Take in the next decision of the run."""
        if decision.step > self.step:
            if self.segment is None or self.segment.holds(decision.step):
                self.epoch_to = decision.epoch if self.epoch_to is None else min(decision.epoch, self.epoch_to)
            return
        self._advance(decision.step)
        self.epoch_from = decision.epoch
        # At the start and at the end of a run the epoch is the one of the step before.
        if decision.step == self.step and decision.moment not in ("on_run_start", "on_run_end"):
            self.epoch_to = decision.epoch
        if self.segment is not None and decision.plugin not in self.segment.plugins:
            self.strangers.setdefault(decision.plugin, decision.step)
        if decision.step == self.step:
            self._within.append(decision)
        else:
            _put(self._before, decision)

    def config(self) -> RunConfig | None:
        """The config in force at the step, once every decision up to it is in; None where the run keeps none."""
        self._advance(self.step)
        if self._config is None and self.segment is not None:
            self._config = self.segment.config()
        return self._config

    @property
    def knobs(self) -> list[str]:
        """Every knob that a decision is about."""
        return sorted({decision.knob for decision in (*self._before.values(), *self._within)})

    @property
    def plugins(self) -> list[str]:
        """Every plugin that a decision is of."""
        return sorted({decision.plugin for decision in (*self._before.values(), *self._within)})

    def decisions(self, knob: str, moment: str) -> list[Decision]:
        """The newest decision of each contribution to a knob that is read after this moment, the newest of all last."""
        standing = {key: decision for key, decision in self._before.items() if key[0] == knob}
        limit = HOOK_NAMES.index(moment)
        for index, decision in enumerate(self._within):
            early = HOOK_NAMES.index(decision.moment) <= limit
            if decision.knob == knob and (early or self._before_another_pass(index)):
                _put(standing, decision)
        return list(standing.values())

    def unsettled(self, knob: str) -> bool:
        """Whether a decision between the step's updates of G may have acted in the next of them; no log says."""
        return any(
            decision.knob == knob and self._between_passes(decision) and not self._before_another_pass(index)
            for index, decision in enumerate(self._within)
        )

    def _before_another_pass(self, index: int) -> bool:
        """Whether a further update of G followed a decision in the same step, as later decisions show."""
        decision = self._within[index]
        return self._between_passes(decision) and any(
            later.moment in ("g_loss_terms", "before_g_backward")
            or (later.moment, later.plugin, later.knob, later.op)
            == (decision.moment, decision.plugin, decision.knob, decision.op)
            for later in self._within[index + 1 :]
        )

    def _between_passes(self, decision: Decision) -> bool:
        several = self.segment is not None and self.segment.tables.get("train", {}).get("g_updates", 1) > 1
        read_by_g = last_moment(decision.knob) == "before_g_backward"
        return several and read_by_g and decision.moment == "after_g_step"

    def _advance(self, step: int) -> None:
        """Go on to the segment that holds a step; as on a resume, what its plugins do not write is dropped."""
        while self._following and self._following[0].first <= step:
            before, self.segment = self.segment, self._following.pop(0)
            self._config = self.segment.config()
            operations = self._config.composition.operations
            for knob, plugin, op in list(self._before):
                if op not in operations.get(plugin, {}).get(knob, {}).values():
                    del self._before[knob, plugin, op]
            if before is not None and _steps_per_epoch_differ(before.tables, self.segment.tables):
                self.epoch_from = 0


def _put(standing: dict[tuple[str, str, Op], Decision], decision: Decision) -> None:
    standing.pop((decision.knob, decision.plugin, decision.op), None)
    standing[decision.knob, decision.plugin, decision.op] = decision


def _steps_per_epoch_differ(one: Mapping[str, object], two: Mapping[str, object]) -> bool:
    def size(tables: Mapping[str, object]) -> object:
        train = tables.get("train")
        return train.get("batch_size") if isinstance(train, Mapping) else None

    return size(one) != size(two) or one.get("model") != two.get("model")
