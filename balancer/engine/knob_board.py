"""The board of knobs of one run: what plugins contribute to each, what that makes, and what holds in a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

from balancer.contract.knobs import KnobSpec, Op, Value, merge
from balancer.contract.moments import D_MOMENTS, HOOK_NAMES
from balancer.contract.signals import Key
from balancer.engine.clock import Clock
from balancer.errors import one_line

if TYPE_CHECKING:
    from torch import Tensor

    Reduce = Callable[[Tensor], Tensor]

T = TypeVar("T", bound=Value)

LONGEST_REASON: Final = 300  # characters


# A contribution that a resume leaves out: plugin, knob, operation, value.
Left = tuple[str, str, Op, Value]


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
        # G's learning rate where it is not a knob here, of which `ratio` is a multiple.
        self.lr_g = 1.0
        self._clock: Final = clock
        # What knobs hold in the step under way, once they were read.
        self._held: Final[dict[str, Value]] = {}
        self._read_after: Final[dict[str, list[str]]] = {}
        for name, spec in specs.items():
            self._read_after.setdefault(spec.read_after, []).append(name)
        # Learning rates are read by their optimizers, which may step at other moments.
        own = [spec for spec in specs.values() if spec.name not in ("lr_d", "lr_g")]
        self._due: Final = {moment: [spec for spec in own if not spec.acts_in_step(moment)] for moment in HOOK_NAMES}
        self._order: Final = {name: index for index, name in enumerate(order)}
        self._on_change: Final = on_change
        self._contributions: Final[dict[str, dict[tuple[str, Op], Value]]] = {name: {} for name in specs}
        # What they came to, with the base and G's rate of then; of knobs that the step turns too, nothing.
        self._merged: Final[dict[str, tuple[Value, float, Value]]] = {}

    def write(self, plugin: str, knob: str, op: Op, value: Value | None, why: str = "") -> None:
        """Make, rewrite or (with None) withdraw the contribution of one plugin with one operation, for a reason."""
        spec, mine = self.specs[knob], self._contributions[knob]
        checked = None if value is None else spec.check(plugin, op, value)
        old = mine.get((plugin, op))
        if checked == old:
            return
        crossed = self._bounds_cross(knob)
        self._merged.pop(knob, None)
        if checked is None:
            del mine[plugin, op]
        else:
            mine[plugin, op] = checked
        note = one_line(str(why))[:LONGEST_REASON]
        if self._bounds_cross(knob) and not crossed:
            crosses = "the lower bound exceeds the upper one: the upper one holds"
            note = f"{note}; {crosses}" if note else crosses
        self._on_change(Change(plugin, knob, op, old, checked, self.value(knob), note))

    def value(self, knob: str, further: Sequence[tuple[Op, Value]] = ()) -> Value:
        """The effective value now, or with further contributions."""
        spec, base = self.specs[knob], self.base[knob]
        lr_g = self.number("lr_g") if knob == "lr_d" and "lr_g" in self.specs else self.lr_g
        merged = None if further else self._merged.get(knob)
        if merged is not None and merged[:2] == (base, lr_g):
            return merged[2]
        contributions = (*((op, value) for _, op, value in self.contributions(knob)), *further)
        value = merge(spec, base, contributions, self._clock.step, lr_g)
        if not further and "period" not in spec.ops:
            self._merged[knob] = base, lr_g, value
        return value

    def hold(self, moment: str) -> None:
        """The moment is over: knobs that are read after it hold from here on."""
        for knob in self._read_after.get(moment, ()):
            self._held[knob] = self.value(knob)

    def keep(self, knob: str, value: Value) -> None:
        """A knob that was read holds this value instead, where the host has it."""
        if knob in self._held:
            self._held[knob] = value

    def hold_due(self, moment: str, *, d_to_come: bool = False) -> None:
        """A moment comes: knobs that were to be read after an earlier one, which did not come, hold from here on.

        Where G goes first, the moments of D are not earlier ones.
        """
        for spec in self._due.get(moment, ()):
            if spec.name not in self._held and not (d_to_come and spec.read_after in D_MOMENTS):
                self._held[spec.name] = self.value(spec.name)

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

    def release(self, holding: Mapping[str, Value] | None = None) -> None:
        """Another step begins, and nothing holds yet; or a restored one goes on, and this does."""
        self._held.clear()
        for knob, value in (holding or {}).items():
            if knob in self.specs:
                self._held[knob] = tuple(value) if isinstance(value, list) else value

    def holding(self) -> dict[str, Value]:
        """What knobs hold in the step under way."""
        return dict(self._held)

    def number(self, knob: str) -> float:
        """The effective value of a knob that holds a number."""
        value = self.value(knob)
        assert not isinstance(value, tuple)
        return float(value)

    def row(self) -> dict[Key, float]:
        """What knobs hold in this step, as numbers; learning rates are their optimizers'.

        Of a knob of names it is how many it holds and, for each name that it may hold where these are known, 1 or 0.
        """
        row: dict[Key, float] = {}
        for knob, spec in self.specs.items():
            if knob in ("lr_d", "lr_g"):
                continue
            value = self.held(knob)
            if isinstance(value, tuple):
                row["knob", knob] = float(len(value))
                row |= {("knob", f"{knob}/{name}"): float(name in value) for name in spec.choices or ()}
            else:
                row["knob", knob] = float(value)
        return row

    def contributions(self, knob: str) -> list[tuple[str, Op, Value]]:
        """Who contributes what, in composition order."""
        mine = self._contributions[knob]
        if not mine:
            return []
        return [(p, op, mine[p, op]) for p, op in sorted(mine, key=lambda key: (self._order[key[0]], key[1]))]

    def contributed(self) -> str:
        """All that plugins contribute, as part of an error."""
        rows = [
            f"{plugin} {op} {knob} {value}" for knob in self.specs for plugin, op, value in self.contributions(knob)
        ]
        return f"plugin contributions: {'; '.join(rows) or 'none'}"

    def own(self, plugin: str, knob: str, op: Op) -> Value | None:
        """The contribution of one plugin, or None."""
        return self._contributions[knob].get((plugin, op))

    def state_dict(self) -> dict[str, Any]:
        """Contributions as primitives; base values belong to the run's settings."""
        return {knob: [[p, op, v] for p, op, v in self.contributions(knob)] for knob in self.specs}

    def load_state_dict(self, state: Mapping[str, Any], allowed: Callable[[str, str, Op], bool]) -> list[Left]:
        """Restore contributions; those that nobody composed makes any more are left out, and returned."""
        for mine in self._contributions.values():
            mine.clear()
        self._merged.clear()
        left: list[Left] = []
        for knob, rows in state.items():
            for plugin, op, value in rows:
                given = tuple(value) if isinstance(value, list) else value
                if knob in self.specs and allowed(plugin, knob, op):
                    self._contributions[knob][plugin, op] = self.specs[knob].check(plugin, op, given)
                else:
                    left.append((plugin, knob, op, given))
        return left

    def withdrawals(self, left: Sequence[Left]) -> Iterator[Change]:
        """The changes that leave out what `load_state_dict` returned, one after the other."""
        note = "not composed any more: withdrawn by the resume"
        for count, (plugin, knob, op, old) in enumerate(left, 1):
            rest = [(op, value) for _, of, op, value in left[count:] if of == knob]
            yield Change(plugin, knob, op, old, None, self.value(knob, rest) if knob in self.specs else None, note)

    def _bounds_cross(self, knob: str) -> bool:
        ops = [(op, value) for _, op, value in self.contributions(knob)]
        lows = [v for op, v in ops if op == "min" and isinstance(v, float)]
        highs = [v for op, v in ops if op == "max" and isinstance(v, float)]
        return bool(lows and highs) and max(lows) > min(highs)
