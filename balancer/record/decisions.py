"""decisions.jsonl, read back: every change of a contribution to a knob, in the order it was made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from balancer.contract.knobs import Decision, Value
from balancer.contract.moments import HOOK_NAMES
from balancer.errors import CheckpointError
from balancer.record.recorder import DECISIONS


def read_decisions(folder: Path) -> Iterator[Decision]:
    """The decisions of a run directory one by one; none where the file is missing, as no plugin ever wrote.

    A last line that a kill tore off is passed over.

    Raises:
        CheckpointError: a line in the middle is no decision, or the file cannot be read.
    """
    path = folder / DECISIONS
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                decision = parse_decision(line)
                if decision is None:
                    raise CheckpointError(
                        f"{path}, line {number} is no decision: the file is damaged; take that line out to go on"
                    )
                yield decision
    except FileNotFoundError:
        return
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None


def parse_decision(line: bytes) -> Decision | None:
    """The decision that a line holds; None where it holds none."""
    try:
        return _decision(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _decision(row: Any) -> Decision:
    if row["moment"] not in HOOK_NAMES or not 0 <= row["step"] < 2**53:
        raise ValueError
    if not all(isinstance(row[name], str) for name in ("plugin", "knob", "op")):
        raise ValueError
    return Decision(
        step=int(row["step"]),
        epoch=int(row["epoch"]),
        moment=row["moment"],
        plugin=row["plugin"],
        knob=row["knob"],
        op=row["op"],
        old=_value(row["old"]),
        new=_value(row["new"]),
        effective=_required(_value(row["effective"])),
        signals={str(name): float(value) for name, value in row.get("signals", {}).items()},
        note=str(row.get("note", "")),
    )


def _value(value: Any) -> Value | None:
    """JSON knows no tuples."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    raise ValueError


def _required(value: Value | None) -> Value:
    if value is None:
        raise ValueError
    return value
