"""What plugins may turn: knob specifications, the board that merges contributions, and the plugins' handles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from balancer.errors import KnobError

Op = Literal["set", "set_or_max", "mul", "max", "min", "ratio", "gate", "period", "add"]
Value = float | bool | tuple[str, ...]

VALUE_OPS: Final[tuple[Op, ...]] = ("set", "set_or_max", "mul", "max", "min")


@dataclass(frozen=True)
class KnobSpec:
    """A knob: its name, the operations it takes, the range of its value, and when it takes effect.

    `ask` completes the sentence "the host would have to …" for hosts that do not obey it.
    """

    name: str
    summary: str
    ops: tuple[Op, ...]
    takes_effect: str
    minimum: float = 0.0
    maximum: float = 1e6
    base: Value = 1.0
    # The names that `add` takes; None where any will do.
    choices: tuple[str, ...] | None = None
    ask: str = ""

    def check(self, plugin: str, op: Op, value: Any) -> Value:
        """The value in its proper type.

        Raises:
            KnobError: wrong type, not finite, or out of range; the message names plugin and knob.
        """
        where = f"plugin {plugin} wrote {value!r} to {self.name} ({op})"
        if op == "add":
            if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
                raise KnobError(f"{where}: expected a tuple of names")
            for item in value:
                if self.choices is not None and item not in self.choices:
                    raise KnobError(f"{where}: there is no {item!r}; known are {', '.join(self.choices) or 'none'}")
            return tuple(sorted(set(value)))
        if op == "gate":
            if not isinstance(value, bool):
                raise KnobError(f"{where}: expected True or False")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise KnobError(f"{where}: expected a number")
        if isinstance(value, float) and not math.isfinite(value):
            raise KnobError(f"{where}: the value must be finite")
        if op == "period":
            if not isinstance(value, int) or value < 1:
                raise KnobError(f"{where}: expected a whole number of steps, at least 1")
            return value
        low, high = (0.0, 1e6) if op in ("mul", "ratio") else (self.minimum, self.maximum)
        if not low <= value <= high:
            raise KnobError(f"{where}: the value must lie in [{low:g}, {high:g}]")
        return float(value)


def weight_knob(term: str, base: float) -> KnobSpec:
    """The knob `lambda_<term>`, the weight of one term of G's loss."""
    return KnobSpec(
        name=f"lambda_{term}",
        summary=f"weight of the {'adversarial' if term == 'adv' else term} term in G's loss",
        ops=VALUE_OPS,
        takes_effect="right after before_g_backward",
        base=base,
        ask=f"multiply the {term} term by balance.lambda_{term} and list 'lambda_{term}' in obeys",
    )


STANDARD_KNOBS: Final[dict[str, KnobSpec]] = {
    spec.name: spec
    for spec in (
        weight_knob("adv", 1.0),
        KnobSpec(
            "lr_d",
            "learning rate of D: scheduled base × factors, or a ratio to that of G",
            ("mul", "ratio"),
            "at D's optimizer step, and only for it",
            ask="pass optimizers={'d': …} (and 'g' for a ratio) and list 'lr_d' in obeys",
        ),
        KnobSpec(
            "lr_g",
            "learning rate of G: scheduled base × factors",
            ("mul",),
            "at G's optimizer step, and only for it",
            ask="pass optimizers={'g': …} and list 'lr_g' in obeys",
        ),
        KnobSpec(
            "d_update",
            "whether D is updated in this step; every gate and every period must agree",
            ("gate", "period"),
            "after on_step_start",
            base=True,
            ask="update D only if balance.d_update and list 'd_update' in obeys",
        ),
        KnobSpec(
            "real_label",
            "target of D's binary loss for real images",
            ("set",),
            "after on_step_start",
            maximum=1.0,
            base=1.0,
            ask="use balance.real_label in D's binary loss and list 'real_label' in obeys",
        ),
        KnobSpec(
            "fake_label",
            "target of D's binary loss for generated images",
            ("set",),
            "after on_step_start",
            maximum=1.0,
            base=0.0,
            ask="use balance.fake_label in D's binary loss and list 'fake_label' in obeys",
        ),
        KnobSpec(
            "d_frozen",
            "names of D's heads that are not trained and whose terms weigh nothing; the union of all wishes",
            ("add",),
            "after on_step_start",
            base=(),
            ask="freeze the heads named in balance.d_frozen and list 'd_frozen' in obeys",
        ),
    )
}


@dataclass(frozen=True)
class Decision:
    """One change of one contribution to a knob, with the signal values it was taken on."""

    step: int
    epoch: int
    moment: str
    plugin: str
    knob: str
    op: Op
    old: Value | None
    new: Value | None
    effective: Value
    signals: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def merge(spec: KnobSpec, base: Value, contributions: Iterable[tuple[Op, Value]], step: int, lr_g: float) -> Value:
    """The effective value: set owner, else base → factors → bounds (the upper one wins) → gates."""
    by_op: dict[Op, list[Any]] = {}
    for op, value in contributions:
        by_op.setdefault(op, []).append(value)
    if "add" in spec.ops:
        assert isinstance(base, tuple)
        return tuple(sorted(set(base).union(*by_op.get("add", []))))
    if "gate" in spec.ops:
        return bool(base) and all(by_op.get("gate", [])) and all(step % k == 0 for k in by_op.get("period", []))
    assert not isinstance(base, tuple)
    value = float(base)
    if "ratio" in by_op:
        value = by_op["ratio"][0] * lr_g
    if "set" in by_op:
        value = by_op["set"][0]
    value = math.prod(by_op.get("mul", []), start=value)
    if "min" in by_op:
        value = max(value, *by_op["min"])
    if "max" in by_op:
        value = min(value, *by_op["max"])
    return min(max(value, spec.minimum), spec.maximum)


class KnobBoard:
    """Base values and contributions of one run; every effective value is computed from them when asked for."""

    def __init__(
        self,
        specs: Mapping[str, KnobSpec],
        base: Mapping[str, Value],
        order: Sequence[str],
        on_change: Callable[[str, str, Op, Value | None, Value | None, Value, str], None],
    ) -> None:
        self.specs: Final = dict(specs)
        self.base: Final[dict[str, Value]] = {name: base.get(name, spec.base) for name, spec in specs.items()}
        self.step = 0
        # G's learning rate in force, of which `ratio` is a multiple.
        self.lr_g = 1.0
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
        self._on_change(plugin, knob, op, old, checked, self.value(knob), note)

    def value(self, knob: str) -> Value:
        """The effective value now."""
        contributions = ((op, value) for _, op, value in self.contributions(knob))
        return merge(self.specs[knob], self.base[knob], contributions, self.step, self.lr_g)

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

    def load_state_dict(self, state: Mapping[str, Any], allowed: Callable[[str, str, Op], bool]) -> None:
        """Restore contributions; those of plugins no longer composed are dropped, which gives the base value back."""
        for mine in self._contributions.values():
            mine.clear()
        for knob, rows in state.items():
            for plugin, op, value in rows:
                if knob in self.specs and allowed(plugin, knob, op):
                    checked = tuple(value) if isinstance(value, list) else value
                    self._contributions[knob][plugin, op] = self.specs[knob].check(plugin, op, checked)

    def _bounds_cross(self, knob: str) -> bool:
        ops = [(op, value) for _, op, value in self.contributions(knob)]
        lows = [v for op, v in ops if op == "min" and isinstance(v, float)]
        highs = [v for op, v in ops if op == "max" and isinstance(v, float)]
        return bool(lows and highs) and max(lows) > min(highs)
