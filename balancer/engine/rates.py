"""Learning rates: the knobs `lr_d` and `lr_g` act at an optimizer's step, and only there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.signals import Key
from balancer.engine.boards import KnobBoard

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.utils.hooks import RemovableHandle


class Rates:
    """Puts a knob's effect on right before the optimizer's step and takes it off right after.

    Many schedulers compute the next rate from the current one, so it must read as scheduled in between.
    """

    def __init__(self, board: KnobBoard, optimizers: Mapping[str, Optimizer]) -> None:
        self._board: Final = board
        self._optimizers: Final = dict(optimizers)
        self._hooks: Final[list[RemovableHandle]] = []
        # By role: the rates of the optimizer steps taken since the last row, and what the schedules gave then.
        self._used: Final[dict[str, float]] = {}
        self._bases: Final[dict[str, float]] = {}
        for role, optimizer in self._optimizers.items():
            self._hook(role, optimizer)

    def begin_step(self) -> None:
        """A step begins: an optimizer that takes no step in it has the rate that its schedule gives now."""
        self.note_schedules()
        for role in self._optimizers:
            self._bases.setdefault(role, self._scheduled(role))

    def row(self) -> dict[Key, float]:
        """The rate that each optimizer had in the step now ending, and what its schedule gave."""
        self._put_bases(self._bases)
        rates = {role: self._used.get(role, self._turned(role, base)) for role, base in self._bases.items()}
        row: dict[Key, float] = {("knob", f"lr_{role}"): rate for role, rate in rates.items()}
        row |= {("base", f"lr_{role}"): base for role, base in self._bases.items()}
        self._used.clear()
        self._bases.clear()
        return row

    def release(self) -> None:
        """Leave the optimizers as they were found."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def note_schedules(self) -> None:
        """Tell the board what the schedules say now, since they are what its knobs multiply."""
        self._put_bases({role: self._scheduled(role) for role in self._optimizers})

    def _put_bases(self, bases: Mapping[str, float]) -> None:
        for role, base in bases.items():
            if f"lr_{role}" in self._board.specs:
                self._board.base[f"lr_{role}"] = base
        self._board.lr_g = bases.get("g", self._board.lr_g)

    def _turned(self, role: str, base: float) -> float:
        """What plugins make of a rate; exactly the base where none acts on it."""
        acting = f"lr_{role}" in self._board.specs and self._board.contributions(f"lr_{role}")
        return self._board.number(f"lr_{role}") if acting else base

    def _scheduled(self, role: str) -> float:
        return float(self._optimizers[role].param_groups[0]["lr"])

    def _hook(self, role: str, optimizer: Optimizer) -> None:
        # Rates to restore; empty while the factor is off.
        scheduled: list[Any] = []

        def put_on(optimizer: Any, args: Any, kwargs: Any) -> None:
            # A step that calls its parent class's step runs the hooks twice, one pair inside the other.
            if scheduled:
                return
            scheduled[:] = [group["lr"] for group in optimizer.param_groups]
            self.note_schedules()
            first = float(scheduled[0])
            effective = self._turned(role, first)
            self._used[role], self._bases[role] = effective, first
            if effective == first:
                return
            for group in optimizer.param_groups:
                # Further groups keep their proportion to the first.
                same = float(group["lr"]) == first
                group["lr"] = effective if same or not first else group["lr"] * (effective / first)

        def take_off(optimizer: Any, args: Any, kwargs: Any) -> None:
            for group, rate in zip(optimizer.param_groups, scheduled, strict=False):
                group["lr"] = rate
            scheduled.clear()

        self._hooks.append(optimizer.register_step_pre_hook(put_on))
        self._hooks.append(optimizer.register_step_post_hook(take_off))
