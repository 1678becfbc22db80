"""How the contributions to a knob met, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from balancer.contract.knobs import KnobSpec, Op, Value

Rows = Sequence[tuple[str, Op, Value]]


def merge_text(spec: KnobSpec, base: Value, rows: Rows, step: int, lr_g: float) -> str:
    """One line: where the value came from and what was done to it; `rows` are (plugin, operation, value)."""
    if "add" in spec.ops:
        return "; ".join(f"{plugin} adds {text_of(value)}" for plugin, _, value in rows) or f"base: {text_of(base)}"
    if "gate" in spec.ops:
        return "; ".join([f"base {text_of(base)}", *(_gate(*row, step) for row in rows)])
    return ", ".join([_origin(base, rows, lr_g), *(_turned(*row) for row in rows if row[1] in ("mul", "min", "max"))])


def text_of(value: Any) -> str:
    """A value as text, short."""
    if value is None:
        return "nothing"
    if isinstance(value, tuple | list):
        return ", ".join(value) or "none"
    return str(value) if isinstance(value, bool) else f"{value:.6g}"


def _origin(base: Value, rows: Rows, lr_g: float) -> str:
    origin = f"base {text_of(base)}"
    for plugin, op, value in rows:
        if op == "ratio":
            origin = f"{plugin} makes it {text_of(value)} · lr_g, which is {text_of(lr_g)}"
    for plugin, op, value in rows:
        if op == "set":
            origin = f"{plugin} sets {text_of(value)} (base {text_of(base)})"
    return origin


def _turned(plugin: str, op: Op, value: Value) -> str:
    return f"{ {'mul': 'times', 'min': 'at least', 'max': 'at most'}[op] } {text_of(value)} ({plugin})"


def _gate(plugin: str, op: Op, value: Value, step: int) -> str:
    if op == "gate":
        return f"the gate of {plugin} is {'open' if value else 'closed'}"
    assert isinstance(value, int)
    if value == 1:
        return f"{plugin} allows every step"
    due = -(-step // value) * value
    turn = "this is one" if due == step else f"this is not one, the next is step {due}"
    return f"{plugin} allows every step that {value} divides: {turn}"
