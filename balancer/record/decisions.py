"""decisions.jsonl: every change of a contribution to a knob and every note, in order; written, read and cut here.

A note is a line with the key `note_kind`, which no decision has.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from balancer.contract.knobs import Decision, Value
from balancer.contract.moments import HOOK_NAMES
from balancer.contract.notes import NOTE_KINDS, Note
from balancer.errors import CheckpointError
from balancer.record import files
from balancer.record.folder import DECISIONS

_LONGEST: Final = 16 * 2**20  # bytes of a line
_NOTE: Final = "note_kind"


class DecisionLog:
    """Appends decisions and notes, one JSON object a line."""

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self.file: IO[bytes] | None = None

    def append(self, entry: Decision | Note) -> None:
        """Keep one decision or note."""
        row = dataclasses.asdict(entry)
        if isinstance(entry, Note):
            row = {_NOTE: row.pop("kind"), **row}
        if self.file is None:
            # As bytes, of which a write that fails takes all or nothing.
            self.file = files.open_to_append(self._folder, DECISIONS)
        # Half of a surrogate pair, which UTF-8 has no bytes for, becomes JSON's own escape of it.
        self.file.write((json.dumps(row, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))


def decision_lines(folder: Path) -> Iterator[Decision | None]:
    """The decisions of a run directory, None for a line that holds neither one nor a note; nothing without the file.

    A last line that a kill tore off is passed over.

    Raises:
        CheckpointError: the file cannot be read.
    """
    for _, line in _lines(folder):
        entry = _parsed(line)
        if not isinstance(entry, Note):
            yield entry


def read_decisions(folder: Path) -> Iterator[Decision]:
    """The decisions of a run directory one by one.

    Raises:
        CheckpointError: a line in the middle is neither a decision nor a note, or the file cannot be read.
    """
    for number, line in _lines(folder):
        entry = _parsed(line)
        if entry is None:
            path = folder / DECISIONS
            raise CheckpointError(
                f"{path}, line {number} is not a decision: the file is damaged; take that line out to go on"
            )
        if not isinstance(entry, Note):
            yield entry


def read_notes(folder: Path) -> Iterator[Note]:
    """The notes of a run directory one by one; damaged lines are left to those who read decisions.

    Raises:
        CheckpointError: the file cannot be read.
    """
    key = _NOTE.encode()
    for _, line in _lines(folder):
        # Most lines are decisions, which need not be parsed for that.
        if key in line and isinstance(entry := _parsed(line), Note):
            yield entry


def cut_decisions(folder: Path, step: int) -> None:
    """Forget the decisions and notes of `step` and later.

    Raises:
        ValueError, KeyError: a line is damaged.
    """
    if not files.exists(folder, DECISIONS):
        return
    with files.rewritten(folder, DECISIONS) as file:
        file.writelines(line for _, line in _lines(folder) if json.loads(line)["step"] < step)


def _lines(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Every whole line with its number, from 1."""
    path = folder / DECISIONS
    try:
        with files.open_to_read(folder, DECISIONS) as file:
            number = 0
            while line := file.readline(_LONGEST + 1):
                number += 1
                if len(line) > _LONGEST:
                    why = f"line {number} is longer than {_LONGEST / 2**20:.0f} MiB: the file is damaged"
                    raise CheckpointError(f"{path}, {why}; take that line out to go on")
                if not line.endswith(b"\n"):
                    return
                yield number, line
    except FileNotFoundError:
        return
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None


def _parsed(line: bytes) -> Decision | Note | None:
    try:
        row = json.loads(line)
        return _note(row) if _NOTE in row else _decision(row)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _note(row: Any) -> Note:
    kind, who, text = row[_NOTE], row["who"], row["text"]
    if kind not in NOTE_KINDS or not 0 <= row["step"] < 2**53:
        raise ValueError
    if not isinstance(who, str) or not isinstance(text, str):
        raise ValueError
    return Note(int(row["step"]), int(row["epoch"]), kind, who, text)


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
