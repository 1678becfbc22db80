"""G's loss: what weighs each of its terms in a step, and what share of the whole each has."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

from balancer.contract.host import Host
from balancer.engine.knob_board import KnobBoard
from balancer.engine.signal_board import SignalBoard


class Weighing:
    """Weights as they hold in the step under way."""

    def __init__(self, host: Host, board: KnobBoard, signals: SignalBoard) -> None:
        self._host: Final = host
        self._board: Final = board
        self._signals: Final = signals

    def weight(self, term: str) -> float:
        """The weight of a term: its knob, 0 while its head of D is frozen, else what the host's base says, or 1."""
        frozen: tuple[str, ...] = self._board.read("d_frozen", ())
        if any(term in self._host.heads[head].g_terms for head in frozen):
            return 0.0
        knob = f"lambda_{term}"
        if knob in self._board.specs:
            return self._board.held_number(knob)
        fixed = self._host.base.get(knob, 1.0)
        assert isinstance(fixed, int | float)
        return float(fixed)

    def weigh(self, terms: Collection[str]) -> None:
        """Put G's loss and each term's share of it on the board of signals."""
        fresh, host = self._signals.fresh(), self._host
        weighted = {term: self.weight(term) * fresh[term] for term in terms if term in fresh}
        # A script may weigh a term by a number that it told nobody.
        told = host.weighs or all(f"lambda_{term}" in {*self._board.specs, *host.base} for term in weighted)
        if weighted and told:
            total = math.fsum(abs(value) for value in weighted.values())
            shares = {f"{term}_share": abs(value) / total if total else 0.0 for term, value in weighted.items()}
            self._signals.put({"g_loss": math.fsum(weighted.values()), **shares}, "g")
