"""decisions.jsonl: every change of a contribution to a knob and every note, in order; written, read and cut here.

A note is a line with the key `note_kind`, which no decision has. The last key of a line, `crc32`, is its checksum (see
`sealed.py`).
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import EllipsisType
from typing import IO, Any, Final

from balancer.contract.knobs import Decision, Value
from balancer.contract.moments import HOOK_NAMES
from balancer.contract.notes import NOTE_KINDS, Note
from balancer.errors import CheckpointError
from balancer.record import files
from balancer.record.damage import Damage, between
from balancer.record.folder import DECISIONS
from balancer.record.sealed import ends_whole, holds, sealed

_LONGEST: Final = 16 * 2**20  # bytes of a line
_NOTE: Final = "note_kind"
_FIELDS: Final = tuple(field.name for field in dataclasses.fields(Decision))
_STEP: Final = re.compile(rb'"step": (\d{1,16})')

# An ellipsis is a whole line that was not looked into.
Held = Decision | Note | EllipsisType


class DecisionLog:
    """Appends decisions and notes, one sealed JSON object a line."""

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
        self.file.write(sealed(row, ensure_ascii=False) + b"\n")


def decision_lines(folder: Path) -> Iterator[tuple[int, Decision | None]]:
    """The decisions of a run directory, each with the number of its line; None for a line that is damaged, which a
    warning names. Nothing without the file, and a last line that a kill tore off is passed over.

    Raises:
        CheckpointError: the file cannot be read.
    """
    damage = Damage(folder / DECISIONS, "line")
    try:
        for number, _, entry in _entries(folder, damage, _parsed):
            if entry is None or isinstance(entry, Decision):
                yield number, entry
    finally:
        damage.warn()


def read_decisions(folder: Path) -> Iterator[Decision]:
    """The decisions of a run directory one by one; see `decision_lines`."""
    for _, decision in decision_lines(folder):
        if decision is not None:
            yield decision


def read_notes(folder: Path) -> Iterator[Note]:
    """The notes of a run directory one by one; see `decision_lines`."""
    damage = Damage(folder / DECISIONS, "line")
    try:
        for _, _, entry in _entries(folder, damage, _parsed_note):
            if isinstance(entry, Note):
                yield entry
    finally:
        damage.warn()


def cut_decisions(folder: Path, step: int) -> Damage:
    """Forget the decisions and notes of `step` and later; a damaged line goes with the one before it.

    Raises:
        CheckpointError: the file cannot be read.
    """
    damage, stays = Damage(folder / DECISIONS, "line"), True
    if files.exists(folder, DECISIONS):
        with files.rewritten(folder, DECISIONS) as file:
            for _, line, entry in _entries(folder, damage, _parsed):
                if isinstance(entry, Decision | Note):
                    stays = entry.step < step
                if stays:
                    file.write(line.removesuffix(b"\n") + b"\n")
    return damage


def _entries(
    folder: Path, damage: Damage, parsed: Callable[[bytes], Held | None]
) -> Iterator[tuple[int, bytes, Held | None]]:
    """Every whole line with its number, from 1, and what it holds; None where it is damaged, which `damage` notes."""
    before: int | None = None
    broken = range(0)

    def note(after: int | None) -> None:
        nonlocal broken
        if broken:
            lines = f"line {broken[0]}" if len(broken) == 1 else f"lines {broken[0]} to {broken[-1]}"
            damage.note(f"{lines}, {between(before, after)}", len(broken))
        broken = range(0)

    for number, line in _lines(folder):
        entry = parsed(line)
        if entry is None:
            broken = range(broken.start if broken else number, number + 1)
        else:
            step = _step(line)
            note(step)
            before = step
        yield number, line, entry
    note(None)


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
                if not line.endswith(b"\n") and not ends_whole(line):
                    return
                yield number, line
    except FileNotFoundError:
        return
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None


def _step(line: bytes) -> int | None:
    match = _STEP.search(line)
    return None if match is None else int(match[1])


def _parsed(line: bytes) -> Decision | Note | None:
    whole = holds(line)
    if whole is False:
        return None
    try:
        row = json.loads(line)
        entry = _note(row) if _NOTE in row else _decision(row)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    # Before 0.2 lines had no seal: what one has that no such line had is a key that was hit.
    known = (_NOTE, "step", "epoch", "who", "text") if isinstance(entry, Note) else _FIELDS
    return entry if whole or row.keys() <= {*known} else None


def _parsed_note(line: bytes) -> Held | None:
    """A note; of most lines, which are decisions, only that they are whole, which needs no parsing."""
    if _NOTE.encode() in line:
        return _parsed(line)
    return None if holds(line) is False else ...


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
