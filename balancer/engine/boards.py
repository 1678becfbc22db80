"""The boards of one run: what contributions to knobs make of them, and the newest value of every signal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

from balancer.contract.knobs import KnobSpec, Op, Value, merge
from balancer.contract.signals import Key, Phase, Reading
from balancer.engine.clock import Clock

if TYPE_CHECKING:
    from torch import Tensor

    Reduce = Callable[[Tensor], Tensor]

T = TypeVar("T", bound=Value)


class Change(NamedTuple):
    """A contribution made, rewritten or (`new` None) withdrawn; `effective` is None where the knob is gone too."""

    plugin: str
    knob: str
    op: Op
    old: Value | None
    new: Value | None
    effective: Value | None
    note: str


class KnobBoard:
    """Base values and contributions of one run; every effective value is computed from them when asked for."""

    def __init__(
        self,
        specs: Mapping[str, KnobSpec],
        base: Mapping[str, Value],
        order: Sequence[str],
        clock: Clock,
        on_change: Callable[[Change], None],
    ) -> None:
        self.specs: Final = dict(specs)
        self.base: Final[dict[str, Value]] = {name: base.get(name, spec.base) for name, spec in specs.items()}
        # G's learning rate where it is no knob here, of which `ratio` is a multiple.
        self.lr_g = 1.0
        self._clock: Final = clock
        # What knobs hold in the step under way, once they were read.
        self._held: Final[dict[str, Value]] = {}
        self._read_after: Final[dict[str, list[str]]] = {}
        for name, spec in specs.items():
            self._read_after.setdefault(spec.read_after, []).append(name)
        self._order: Final = {name: index for index, name in enumerate(order)}
        self._on_change: Final = on_change
        self._contributions: Final[dict[str, dict[tuple[str, Op], Value]]] = {name: {} for name in specs}

    def write(self, plugin: str, knob: str, op: Op, value: Value | None) -> None:
        """Make, rewrite or (with None) withdraw the contribution of one plugin with one operation."""
        spec, mine = self.specs[knob], self._contributions[knob]
        checked = None if value is None else spec.check(plugin, op, value)
        old = mine.get((plugin, op))
        if checked == old:
            return
        crossed = self._bounds_cross(knob)
        if checked is None:
            del mine[plugin, op]
        else:
            mine[plugin, op] = checked
        note = ""
        if self._bounds_cross(knob) and not crossed:
            note = "the lower bound exceeds the upper one: the upper one holds"
        self._on_change(Change(plugin, knob, op, old, checked, self.value(knob), note))

    def value(self, knob: str) -> Value:
        """The effective value now."""
        contributions = ((op, value) for _, op, value in self.contributions(knob))
        lr_g = self.number("lr_g") if knob == "lr_d" and "lr_g" in self.specs else self.lr_g
        return merge(self.specs[knob], self.base[knob], contributions, self._clock.step, lr_g)

    def hold(self, moment: str) -> None:
        """The moment is over: knobs that are read after it hold from here on."""
        for knob in self._read_after.get(moment, ()):
            self._held[knob] = self.value(knob)

    def held(self, knob: str) -> Value:
        """The value that holds in this step; of a knob that was not read in it yet, the value now."""
        return self._held[knob] if knob in self._held else self.value(knob)

    def read(self, knob: str, default: T) -> T:
        """What holds in this step, or the default: before it is read, and where there is no such knob."""
        return cast(T, self._held.get(knob, default))

    def held_number(self, knob: str) -> float:
        """The number that holds in this step."""
        value = self.held(knob)
        assert not isinstance(value, tuple)
        return float(value)

    def release(self) -> None:
        """Another step begins: nothing holds yet."""
        self._held.clear()

    def number(self, knob: str) -> float:
        """The effective value of a knob that holds a number."""
        value = self.value(knob)
        assert not isinstance(value, tuple)
        return float(value)

    def contributions(self, knob: str) -> list[tuple[str, Op, Value]]:
        """Who contributes what, in composition order."""
        mine = self._contributions[knob]
        return [(p, op, mine[p, op]) for p, op in sorted(mine, key=lambda key: (self._order[key[0]], key[1]))]

    def own(self, plugin: str, knob: str, op: Op) -> Value | None:
        """The contribution of one plugin, or None."""
        return self._contributions[knob].get((plugin, op))

    def state_dict(self) -> dict[str, Any]:
        """Contributions as primitives; base values belong to the run's settings."""
        return {knob: [[p, op, v] for p, op, v in self.contributions(knob)] for knob in self.specs}

    def load_state_dict(self, state: Mapping[str, Any], allowed: Callable[[str, str, Op], bool]) -> list[Change]:
        """Restore contributions; those that nobody composed makes any more are withdrawn, and returned as such."""
        for mine in self._contributions.values():
            mine.clear()
        left = []
        for knob, rows in state.items():
            for plugin, op, value in rows:
                given = tuple(value) if isinstance(value, list) else value
                if knob in self.specs and allowed(plugin, knob, op):
                    self._contributions[knob][plugin, op] = self.specs[knob].check(plugin, op, given)
                else:
                    left.append((plugin, knob, op, given))
        note = "not composed any more: withdrawn by the resume"
        return [
            Change(plugin, knob, op, old, None, self.value(knob) if knob in self.specs else None, note)
            for plugin, knob, op, old in left
        ]

    def _bounds_cross(self, knob: str) -> bool:
        ops = [(op, value) for _, op, value in self.contributions(knob)]
        lows = [v for op, v in ops if op == "min" and isinstance(v, float)]
        highs = [v for op, v in ops if op == "max" and isinstance(v, float)]
        return bool(lows and highs) and max(lows) > min(highs)


class Transfer:
    """Scalars of one phase on their way off the device: packed, averaged over ranks and copied once.

    On an accelerator the copy is queued behind the kernels that made the values; `values` waits for
    it, and by then the host has queued the backward pass, so the device does not idle.
    """

    __slots__ = ("_event", "_names", "_vector")

    def __init__(self, scalars: Mapping[str, Tensor], reduce: Reduce | None) -> None:
        import torch

        self._names = tuple(scalars)
        with torch.no_grad():
            vector = torch.stack([value.squeeze() for value in scalars.values()]).float()
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
        """The scalars by name."""
        if self._event is not None:
            self._event.synchronize()
        return dict(zip(self._names, self._vector.tolist(), strict=True))


class SignalBoard:
    """The newest value of every signal, and the step it was measured on."""

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        self._values: dict[str, float] = {}
        self._steps: dict[str, int] = {}
        self._phases: dict[str, Phase] = {}
        self._pending: tuple[Transfer, Phase] | None = None

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
            self._values[name] = value
            self._steps[name] = self._clock.step
            self._phases[name] = phase

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
        return {"values": dict(self._values), "steps": dict(self._steps), "phases": dict(self._phases)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._pending = None
        self._values = {name: float(value) for name, value in state["values"].items()}
        self._steps = {name: int(step) for name, step in state["steps"].items()}
        # States of before 0.2 have none, and no value of theirs is of a step to come but what plugins published.
        self._phases = {name: state.get("phases", {}).get(name, "plugin") for name in self._values}
