"""Learning rates: the knobs `lr_d` and `lr_g` act at an optimizer's step, and only there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from balancer.contract.signals import Key
from balancer.engine.knob_board import KnobBoard
from balancer.engine.optimizers import Watched


class Rates:
    """Puts a knob's effect on right before the optimizer's step and takes it off right after.

    Many schedulers compute the next rate from the current one, so it must read as scheduled in between.
    """

    def __init__(self, board: KnobBoard) -> None:
        self._board: Final = board
        # By role: the optimizer whose first group's rate is the role's; other rates keep their proportion to it.
        self._first: Final[dict[str, Any]] = {}
        # Of the optimizers within their step now: the rates to restore, and those they were turned to.
        self._scheduled: Final[dict[Watched, list[Any]]] = {}
        self._put: Final[dict[Watched, list[Any]]] = {}
        # By role: the rates of the optimizer steps taken since the last row, and what the schedules gave then.
        self._used: Final[dict[str, float]] = {}
        self._bases: Final[dict[str, float]] = {}

    def watch(self, optimizers: Iterable[Watched]) -> None:
        """Know whose rates they are."""
        for one in optimizers:
            self._first.setdefault(one.role, one)

    def begin_step(self) -> None:
        """A step begins: an optimizer that takes no step in it has the rate that its schedule gives now."""
        self.note_schedules()
        for role in self._first:
            self._bases.setdefault(role, self._base(role))

    def row(self) -> dict[Key, float]:
        """The rate that each optimizer had in the step now ending, and what its schedule gave."""
        self._put_bases(self._bases)
        rates = {role: self._used.get(role, self._turned(role, base)) for role, base in self._bases.items()}
        row: dict[Key, float] = {("knob", f"lr_{role}"): rate for role, rate in rates.items()}
        row |= {("base", f"lr_{role}"): base for role, base in self._bases.items()}
        self._used.clear()
        self._bases.clear()
        return row

    def note_schedules(self) -> None:
        """Tell the board what the schedules say now, since they are what its knobs multiply."""
        self._put_bases({role: self._base(role) for role in self._first})

    def put_on(self, one: Watched) -> None:
        """Turn the rates of an optimizer whose step begins, or which is within it and its knob was turned since."""
        groups = one.optimizer.param_groups
        if one in self._scheduled:
            self._restore(one)
        else:
            self._scheduled[one] = [group["lr"] for group in groups]
        self.note_schedules()
        first = self._base(one.role)
        effective = self._turned(one.role, first)
        self._used[one.role], self._bases[one.role] = effective, first
        if effective == first:
            return
        for group in groups:
            same = float(group["lr"]) == first
            group["lr"] = effective if same or not first else group["lr"] * (effective / first)
        self._put[one] = [group["lr"] for group in groups]

    def take_off(self, one: Watched) -> None:
        """Give an optimizer its own rates back."""
        self._restore(one)
        self._scheduled.pop(one, None)

    def state_dict(self) -> dict[str, Any]:
        """The rates of the step under way, as primitives; optimizers keep their own."""
        return {"used": dict(self._used), "bases": dict(self._bases)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for mine, name in ((self._used, "used"), (self._bases, "bases")):
            mine.clear()
            mine.update({role: rate for role, rate in state.get(name, {}).items() if role in self._first})

    def _restore(self, one: Watched) -> None:
        own, put = self._scheduled.get(one, ()), self._put.pop(one, ())
        for group, rate, turned in zip(one.optimizer.param_groups, own, put, strict=False):
            if group["lr"] is turned:  # else somebody has set it meanwhile
                group["lr"] = rate

    def _put_bases(self, bases: dict[str, float]) -> None:
        for role, base in bases.items():
            if f"lr_{role}" in self._board.specs:
                self._board.base[f"lr_{role}"] = base
        self._board.lr_g = bases.get("g", self._board.lr_g)

    def _turned(self, role: str, base: float) -> float:
        """What plugins make of a rate; exactly the base where none acts on it."""
        acting = f"lr_{role}" in self._board.specs and self._board.contributions(f"lr_{role}")
        return self._board.number(f"lr_{role}") if acting else base

    def _base(self, role: str) -> float:
        """What the schedule gives the role now, whether or not a knob is on."""
        first = self._first[role]
        rates = self._scheduled.get(first)
        return float(first.optimizer.param_groups[0]["lr"] if rates is None else rates[0])
