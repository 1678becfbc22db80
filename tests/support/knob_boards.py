"""A board of knobs that three plugins write to."""

from collections.abc import Mapping, Sequence
from typing import Any

from balancer import KnobSpec
from balancer.contract.knobs import STANDARD_KNOBS
from balancer.engine.clock import Clock
from balancer.engine.knob_board import KnobBoard

Change = tuple[Any, ...]
SPECS = {**STANDARD_KNOBS, "d_frozen": KnobSpec("d_frozen", "", ("add",), "", base=(), choices=("category", "style"))}


def board(
    base: Mapping[str, Any] | None = None,
    order: Sequence[str] = ("a", "b", "c"),
    changes: list[Change] | None = None,
    clock: Clock | None = None,
) -> KnobBoard:
    seen: list[Change] = [] if changes is None else changes
    return KnobBoard(SPECS, base or {}, order, clock or Clock(), seen.append)
