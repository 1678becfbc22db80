"""decisions.jsonl: every change of a contribution to a knob, in their order; written, read and cut here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from balancer.contract.knobs import Decision, Value
from balancer.contract.moments import HOOK_NAMES
from balancer.errors import CheckpointError
from balancer.record.files import write_atomically
from balancer.record.folder import DECISIONS


class DecisionLog:
    """Appends decisions, one JSON object a line."""

    def __init__(self, folder: Path) -> None:
        self._path: Final = folder / DECISIONS
        self.file: IO[str] | None = None

    def append(self, decision: Decision) -> None:
        """Keep one decision."""
        if self.file is None:
            self.file = self._path.open("a", encoding="utf-8")
        self.file.write(json.dumps(dataclasses.asdict(decision), ensure_ascii=False) + "\n")


def decision_lines(folder: Path) -> Iterator[Decision | None]:
    """The decisions of a run directory, None for a line that holds none; nothing where no plugin ever wrote.

    A last line that a kill tore off is passed over.

    Raises:
        CheckpointError: the file cannot be read.
    """
    path = folder / DECISIONS
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                yield _parsed(line)
    except FileNotFoundError:
        return
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None


def read_decisions(folder: Path) -> Iterator[Decision]:
    """The decisions of a run directory one by one.

    Raises:
        CheckpointError: a line in the middle is not a decision, or the file cannot be read.
    """
    for number, decision in enumerate(decision_lines(folder), 1):
        if decision is None:
            path = folder / DECISIONS
            raise CheckpointError(
                f"{path}, line {number} is not a decision: the file is damaged; take that line out to go on"
            )
        yield decision


def cut_decisions(folder: Path, step: int) -> None:
    """Forget the decisions of `step` and later.

    Raises:
        ValueError, KeyError: a line is damaged.
    """
    path = folder / DECISIONS
    if not path.is_file():
        return
    kept = []
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n") and json.loads(line)["step"] < step:
            kept.append(line)
    write_atomically(path, b"".join(kept))


def _parsed(line: bytes) -> Decision | None:
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
        effective=_value(row["effective"]),
        signals={str(name): float(value) for name, value in row.get("signals", {}).items()},
        note=str(row.get("note", "")),
    )


def from_json(value: Any) -> Any:
    """A value of a knob as JSON gives it back, which has no tuples."""
    return tuple(value) if isinstance(value, list) else value


def _value(value: Any) -> Value | None:
    names = isinstance(value, list) and all(isinstance(name, str) for name in value)
    if names or value is None or isinstance(value, bool | int | float):
        given: Value | None = from_json(value)
        return given
    raise ValueError
