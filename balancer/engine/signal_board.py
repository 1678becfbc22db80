"""The board of signals of one run: the newest value of each, on its way off the device or there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.signals import GRADIENT_SIGNALS, Key, Phase, Reading
from balancer.engine.clock import Clock
from balancer.engine.knob_board import KnobBoard
from balancer.engine.ranks import distributed_mean, group_device
from balancer.errors import NotFiniteError, PluginError

if TYPE_CHECKING:
    from torch import Tensor

    Reduce = Callable[[Tensor], Tensor]


class Transfer:
    """Scalars of one phase on their way off the device: packed, averaged over ranks and copied once.

    On an accelerator the copy is queued behind the kernels that made the values; `values` waits for
    it, and by then the host has queued the backward pass, so the device does not idle.

    Args:
        absent: where there are several ranks, scalars that this one does not have this time, as another may; they
            travel with a word on who has them.
        present: those of the same kind that it has.
    """

    __slots__ = ("_event", "_names", "_optional", "_vector")

    def __init__(
        self,
        scalars: Mapping[str, Tensor],
        reduce: Reduce | None,
        present: Sequence[str] = (),
        absent: Sequence[str] = (),
    ) -> None:
        import torch

        self._optional = tuple(sorted({*present, *absent}))
        self._names = (*(name for name in scalars if name not in self._optional), *self._optional)
        with torch.no_grad():
            given = {name: (one.squeeze() if one.ndim else one).float() for name, one in scalars.items()}
            rows = [given[name] for name in given if name not in self._optional]
            if self._optional:
                device = next((one.device for one in scalars.values()), None) or group_device()
                zero, one = torch.zeros((), device=device), torch.ones((), device=device)
                rows += [given.get(name, zero) for name in self._optional]
                rows += [one if name in present else zero for name in self._optional]
            vector = torch.stack(rows)
        if reduce is not None:
            vector = reduce(vector)
        self._event: Any = None
        if vector.is_cuda:
            self._vector = torch.empty(vector.shape, dtype=vector.dtype, pin_memory=True)
            self._vector.copy_(vector, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()
        else:
            self._vector = vector

    def values(self) -> dict[str, float]:
        """The scalars by name; of those that no rank has, nothing.

        Raises:
            PluginError: only some ranks have one.
        """
        if self._event is not None:
            self._event.synchronize()
        numbers = self._vector.tolist()
        ranks = dict(zip(self._optional, numbers[len(self._names) :], strict=True))
        for name, share in ranks.items():
            if 0.0 < share < 1.0:
                raise PluginError(
                    f"a plugin returned the term of {name} on {share:.0%} of the ranks: "
                    "return it on all of them or on none"
                )
        found = zip(self._names, numbers[: len(self._names)], strict=True)
        return {name: value for name, value in found if ranks.get(name, 1.0)}


class SignalBoard:
    """The newest value of every signal, and the step it was measured on."""

    def __init__(self, clock: Clock, phases: Mapping[str, Phase] | None = None) -> None:
        self._clock: Final = clock
        self._values: dict[str, float] = {}
        self._steps: dict[str, int] = {}
        # A signal belongs to one phase, whenever it is passed: the one known of it, else that of its first value.
        self._phases: Final[dict[str, Phase]] = dict(phases or {})
        self._pending: tuple[Transfer, Phase] | None = None
        # Of signals that are means over micro-batches: their sums over the earlier ones, and how many these were.
        self._earlier: Final[dict[str, tuple[float, int]]] = {}
        self._since: Final[set[str]] = set()

    def begin(self, transfer: Transfer, phase: Phase) -> None:
        """Take the scalars of a phase; nothing waits for them until somebody reads."""
        self.settle()
        self._pending = transfer, phase

    def settle(self) -> dict[str, float]:
        """Wait for the scalars on their way, if any, and return them."""
        if self._pending is None:
            return {}
        transfer, phase = self._pending
        values = transfer.values()
        self._pending = None
        self.put(values, phase)
        return values

    def put(self, values: Mapping[str, float], phase: Phase) -> None:
        """Note values measured in the present step, in this phase of it."""
        for name, value in values.items():
            if self._earlier and name in self._earlier:
                self._since.add(name)
                total, count = self._earlier[name]
                value = (total + value) / (count + 1)
            self._values[name] = value
            self._steps[name] = self._clock.step
            self._phases.setdefault(name, phase)

    def held_out(self, **figures: float) -> None:
        """Note what a look at held-out items found in the present step, as `val/NAME`; of several ranks, the mean."""
        mean = distributed_mean()
        if mean is not None:
            import torch

            found = mean(torch.tensor([*figures.values()], dtype=torch.float64, device=group_device())).tolist()
            figures = dict(zip(figures, found, strict=True))
        self.put({f"val/{name}": float(value) for name, value in figures.items()}, "val")

    def next_part(self, phase: Phase) -> None:
        """Another micro-batch of the same update begins: what it measures is averaged with what others did."""
        for name, value in self.fresh().items():
            if self._phases[name] != phase or name in GRADIENT_SIGNALS:  # those are of the whole update
                continue
            if name not in self._earlier or name in self._since:
                count = self._earlier.get(name, (0.0, 0))[1] + 1
                self._earlier[name] = value * count, count
                self._since.discard(name)

    def next_update(self, phase: Phase) -> None:
        """What is measured from here on belongs to another update, or another step."""
        if self._earlier:
            self.settle()
            for name in [name for name in self._earlier if self._phases[name] == phase]:
                del self._earlier[name]
                self._since.discard(name)

    def read(self, name: str) -> Reading | None:
        """The newest value, or None where the signal has never been measured, or is not a number this time."""
        self.settle()
        if name not in self._values:
            return None
        if not math.isfinite(self._values[name]):
            return None
        step = self._steps[name]
        return Reading(self._values[name], step, step == self._clock.step)

    def fresh(self) -> dict[str, float]:
        """All values measured in the present step."""
        self.settle()
        return {name: value for name, value in self._values.items() if self._steps[name] == self._clock.step}

    def row(self) -> dict[Key, float]:
        """The same, each with the phase in which it was measured."""
        return {(self._phases[name], name): value for name, value in self.fresh().items()}

    def state_dict(self) -> dict[str, Any]:
        """Newest values and their steps, as primitives."""
        self.settle()
        earlier = {name: list(mean) for name, mean in self._earlier.items()}
        return {
            "values": dict(self._values),
            "steps": dict(self._steps),
            "phases": dict(self._phases),
            "earlier": earlier,
            "since": sorted(self._since),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._pending = None
        self._values = {name: float(value) for name, value in state["values"].items()}
        self._steps = {name: int(step) for name, step in state["steps"].items()}
        self._earlier.clear()
        self._earlier.update({name: (total, count) for name, (total, count) in state.get("earlier", {}).items()})
        self._since.clear()
        self._since.update(state.get("since", ()))
        # States of before 0.2 have none, and no value of theirs is of a step to come but what plugins published.
        for name in self._values:
            self._phases.setdefault(name, state.get("phases", {}).get(name, "plugin"))


def require_finite(signals: SignalBoard, board: KnobBoard, step: int, whose: Callable[[str], str]) -> None:
    """Insist that what was measured in this step is finite; gradients in half precision need not be.

    Raises:
        NotFiniteError: names the value, the step and what plugins contribute to the knobs.
    """
    fresh = signals.fresh().items()
    bad = {name: value for name, value in fresh if not math.isfinite(value) and name not in GRADIENT_SIGNALS}
    if bad:
        raise NotFiniteError(
            f"step {step}: {', '.join(f'{name} is {value}' for name, value in bad.items())}; "
            f"stopped before the optimizer step; {board.contributed()}{''.join(map(whose, bad))}"
        )
