"""Learning rates: the knobs `lr_d` and `lr_g` act at an optimizer's step, and only there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.knobs import KnobBoard

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
        # The rates of the optimizer steps taken since they were last asked for.
        self._used: Final[dict[str, float]] = {}
        for role, optimizer in self._optimizers.items():
            self._hook(role, optimizer)

    def effective(self) -> dict[str, float]:
        """The rate in force for each optimizer, by role."""
        self.note_schedules()
        rates = {}
        for role in self._optimizers:
            acting = f"lr_{role}" in self._board.specs and self._board.contributions(f"lr_{role}")
            rates[role] = self._board.number(f"lr_{role}") if acting else self._scheduled(role)
        return rates

    def used(self) -> dict[str, float]:
        """By role, the rate that each optimizer stepped with since the last call; the one in force where it did not."""
        rates = {**self.effective(), **self._used}
        self._used.clear()
        return rates

    def release(self) -> None:
        """Leave the optimizers as they were found."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def note_schedules(self) -> None:
        """Tell the board what the schedules say now, since they are what its knobs multiply."""
        for role in self._optimizers:
            if f"lr_{role}" in self._board.specs:
                self._board.base[f"lr_{role}"] = self._scheduled(role)
        if "g" in self._optimizers:
            known = "lr_g" in self._board.specs
            self._board.lr_g = self._board.number("lr_g") if known else self._scheduled("g")

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
            first, effective = float(scheduled[0]), self.effective()[role]
            self._used[role] = effective
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
