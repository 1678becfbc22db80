"""What the terms of G's loss weigh in a step, and what share of it each has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from balancer.contract.compose import Composition
from balancer.engine.knob_board import KnobBoard


class Weights:
    """The weights of G's terms: knobs, what the host's `base` says, or 1; 0 while their head of D is frozen."""

    def __init__(self, composition: Composition, board: KnobBoard) -> None:
        self._host: Final = composition.host
        self._brought: Final = {term for phase, term in composition.terms if phase == "g"}
        self._board: Final = board

    def held(self, term: str) -> float:
        """The weight that holds in this step."""
        frozen: tuple[str, ...] = self._board.read("d_frozen", ())
        if frozen and any(term in self._host.heads[head].g_terms for head in frozen):
            return 0.0
        knob = f"lambda_{term}"
        if knob in self._board.specs:
            return self._board.held_number(knob)
        fixed = self._host.base.get(knob, 1.0)
        assert isinstance(fixed, int | float)
        return float(fixed)

    def told(self, terms: Mapping[str, object]) -> bool:
        """Whether it is known what all of these weigh: a script may weigh a term by a number that it told nobody."""
        if self._host.weighs:
            return True
        known = {*self._board.specs, *self._host.base}
        return all(term in self._brought or f"lambda_{term}" in known for term in terms)

    def sums(self, values: Mapping[str, float]) -> dict[str, float]:
        """G's loss and each term's share of it, from unweighted values; nothing where a weight is not told."""
        weighted = {term: self.held(term) * value for term, value in values.items()}
        if not weighted or not self.told(weighted):
            return {}
        total = math.fsum(abs(value) for value in weighted.values())
        shares = {f"{term}_share": abs(value) / total if total else 0.0 for term, value in weighted.items()}
        return {"g_loss": math.fsum(weighted.values()), **shares}
