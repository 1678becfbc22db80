"""What plugins may turn: knob specifications, how contributions to a knob merge, and decisions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any, Final, Literal

from balancer.contract.moments import HOOK_NAMES
from balancer.errors import Deprecated, KnobError, nearest

Op = Literal["set", "set_or_max", "mul", "max", "min", "ratio", "gate", "period", "add"]
Value = float | bool | tuple[str, ...]

VALUE_OPS: Final[tuple[Op, ...]] = ("set", "set_or_max", "mul", "max", "min")


@dataclass(frozen=True)
class KnobSpec:
    """A knob: its name, the operations it takes, the range of its value, and the moment after which it is read.

    What was decided up to `read_after` acts in the same step, and what the knob holds then it holds for the step: a
    later decision acts from the next step on. `ask` completes the sentence "the host would have to …" for hosts that
    do not obey it.
    """

    name: str
    summary: str
    ops: tuple[Op, ...]
    read_after: str = ""
    minimum: float = 0.0
    maximum: float = 1e6
    base: Value = 1.0
    # The names that `add` takes; None where any will do.
    choices: tuple[str, ...] | None = None
    ask: str = ""
    # The former name of `read_after`, which took any text; it goes with 0.3.
    takes_effect: InitVar[str | None] = None

    def __post_init__(self, takes_effect: str | None) -> None:
        if self.read_after not in HOOK_NAMES:
            if given := self.read_after or takes_effect:
                near = nearest(given, HOOK_NAMES)
                text = f"knob {self.name}: read_after = {given!r} is not a moment, which is an error from 0.3 on{near}"
                warnings.warn(text, Deprecated, stacklevel=3)
            object.__setattr__(self, "read_after", "before_g_backward" if self.is_weight else "on_step_end")

    @property
    def is_weight(self) -> bool:
        """Whether it weighs a term of G's loss."""
        return self.name.startswith("lambda_")

    def acts_in_step(self, moment: str) -> bool:
        """Whether what is decided at this moment acts in the same step; else it acts from the next one on."""
        return HOOK_NAMES.index(moment) <= HOOK_NAMES.index(self.read_after)

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
        read_after="before_g_backward",
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
            "before_d_backward",
            ask="pass optimizers={'d': …} (and 'g' for a ratio) and list 'lr_d' in obeys",
        ),
        KnobSpec(
            "lr_g",
            "learning rate of G: scheduled base × factors",
            ("mul",),
            "before_g_backward",
            ask="pass optimizers={'g': …} and list 'lr_g' in obeys",
        ),
        KnobSpec(
            "d_update",
            "whether D is updated in this step; every gate and every period must agree",
            ("gate", "period"),
            "on_step_start",
            base=True,
            ask="update D only if balance.d_update and list 'd_update' in obeys",
        ),
        KnobSpec(
            "real_label",
            "target of D's binary loss for real images",
            ("set",),
            "on_step_start",
            maximum=1.0,
            base=1.0,
            ask="use balance.real_label in D's binary loss and list 'real_label' in obeys",
        ),
        KnobSpec(
            "fake_label",
            "target of D's binary loss for generated images",
            ("set",),
            "on_step_start",
            maximum=1.0,
            base=0.0,
            ask="use balance.fake_label in D's binary loss and list 'fake_label' in obeys",
        ),
        KnobSpec(
            "d_frozen",
            "names of D's heads that are not trained and whose terms weigh nothing; the union of all wishes",
            ("add",),
            "on_step_start",
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
    # None where the knob is gone with the plugin that brought it.
    effective: Value | None
    signals: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def merge(spec: KnobSpec, base: Value, contributions: Iterable[tuple[Op, Value]], step: int, lr_g: float) -> Value:
    """The effective value: set owner, else base → factors → bounds (the upper one wins) → gates."""
    by_op: dict[Op, list[Any]] = {}
    for op, given in contributions:
        by_op.setdefault(op, []).append(given)
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
