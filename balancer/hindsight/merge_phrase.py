"""How the contributions to a knob met, as a phrase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from balancer.contract.knobs import KnobSpec, Op, Value
from balancer.hindsight.phrase import Phrase, phrase

Rows = Sequence[tuple[str, Op, Value]]
TURNED: Final[Mapping[str, str]] = {"mul": "explain.times", "min": "explain.at_least", "max": "explain.at_most"}


def merge_phrase(spec: KnobSpec, base: Value, rows: Rows, step: int, lr_g: float) -> Phrase:
    """Where the value came from and what was done to it; `rows` are (plugin, operation, value)."""
    if "add" in spec.ops:
        return _names(base, rows)
    if "gate" in spec.ops:
        return phrase("explain.base", *(_gate(*row, step) for row in rows), value=base)
    turned = [phrase(TURNED[op], plugin=plugin, value=value) for plugin, op, value in rows if op in TURNED]
    return _origin(base, rows, lr_g, turned)


def _names(base: Value, rows: Rows) -> Phrase:
    if not rows:
        return phrase("explain.base_alone", value=base)
    (plugin, _, value), *others = rows
    more = [phrase("explain.adds_too", plugin=name, value=names) for name, _, names in others]
    return phrase("explain.adds", *more, plugin=plugin, value=value)


def _origin(base: Value, rows: Rows, lr_g: float, turned: Sequence[Phrase]) -> Phrase:
    origin = phrase("explain.base", *turned, value=base)
    for plugin, op, value in rows:
        if op == "ratio":
            origin = phrase("explain.ratio", *turned, plugin=plugin, value=value, rate=lr_g)
    for plugin, op, value in rows:
        if op == "set":
            origin = phrase("explain.sets", *turned, plugin=plugin, value=value, base=base)
    return origin


def _gate(plugin: str, op: Op, value: Value, step: int) -> Phrase:
    if op == "gate":
        return phrase("explain.gate_open" if value else "explain.gate_closed", plugin=plugin)
    assert isinstance(value, int)
    if value == 1:
        return phrase("explain.every_step", plugin=plugin)
    due = -(-step // value) * value
    if due == step:
        return phrase("explain.its_turn", plugin=plugin, value=value)
    return phrase("explain.not_its_turn", plugin=plugin, value=value, due=due)
