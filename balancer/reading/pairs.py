"""Logs of any code that prints names beside figures: which lines are rows, and what they say of the losses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from balancer.reading.counters import Counters
from balancer.reading.families import LineParser
from balancer.reading.loss_names import EPOCH_NAMES, STEP_NAMES
from balancer.reading.names import REMEMBERED_NAMES, Names
from balancer.reading.tags import counter

# Every repetition is bounded and possessive, so that no line takes long.
_SIZE: Final = r"(?:[eE][-+]?\d{1,9}+)?+"
_FIGURE: Final = re.compile(
    r"([:=][ \t]{0,8}+(?:tensor)?+\(?+\[?)"
    rf"([-+]?(?:\d{{1,400}}+(?:\.\d{{0,400}}+)?+{_SIZE}|\.\d{{1,400}}+{_SIZE}|[nN][aA][nN]|[iI][nN][fF](?:inity)?))(?!\w)"
)
# The name at the end of what stands before a figure.
_NAME: Final = re.compile(
    r"(?<![\w.])([A-Za-z][\w.()/\-]{0,63}+(?: \(?[A-Za-z][\w.()/\-]{0,63}+){0,5}+)['\"]?[ \t]{0,8}+\Z"
)
_REACH: Final = 200  # characters before a figure in which its name is looked for
_DIGIT: Final = re.compile("[0-9]")
_VALIDATION: Final = re.compile(
    r"(?<![\w/\\.])(?:val|valid|validation|eval|evaluation|test)(?![\w/\\.])", re.IGNORECASE
)
# A line is a row where it names a loss; these go along with one.
_NO_LOSSES: Final = ("lr", "lambda_", "epoch")


class _Piece(NamedTuple):
    """What stands between two figures of a line: the signal it names, and whether it says more than that."""

    signal: str | None
    is_loss: bool
    counts: bool
    validation: bool


class PairParser(LineParser):
    """Takes lines on which a loss of D or G is named: `name: figure`, `name = figure`, `name=figure`."""

    def __init__(self, names: Names) -> None:
        self._names: Final = names
        # By the text between two figures, which in the lines of one log is mostly the same.
        self._pieces: Final[dict[str, _Piece]] = {}
        self._counters: Final = Counters()

    def feed(self, line: str) -> Mapping[str, float] | None:
        """Take the next line: a row, or None."""
        parts = _FIGURE.split(line)
        if len(parts) == 1:
            self._counters.put_text(line)
            return None
        row: dict[str, float] = {}
        where, losses = "", False
        pieces = self._pieces
        for at in range(0, len(parts) - 1, 3):
            text = parts[at]
            signal, is_loss, counts, validation = pieces.get(text) or self._piece(text)
            if validation and not row:
                return None
            if counts:
                where += text + parts[at + 1] + parts[at + 2]
            if signal is not None and signal not in row:
                row[signal] = float(parts[at + 2])
                losses = losses or is_loss
        if not losses:
            self._counters.put_text(line)
            return None
        text = parts[-1]
        if (pieces.get(text) or self._piece(text)).counts:
            where += text
        is_new = self._counters.put(where, row)
        self.steps_per_epoch = self._counters.steps_per_epoch
        return row if is_new else None

    def take_fractions_for_epochs(self, rows: int, other: PairParser) -> None:
        """Take fractions such as [3/100] for epochs, where `other`, after so many rows, saw them stand still."""
        self._counters.counts_epochs = 2 * other._counters.repeated > rows

    def counted(self, lines: Sequence[str]) -> dict[str, int]:
        """The names on these lines, with how often each stands there."""
        counts: dict[str, int] = {}
        for line in lines:
            for text in _FIGURE.split(line)[:-1:3]:
                match = _NAME.search(text[-_REACH:])
                if match is None or _is_counter(name := _balanced(match[1])):
                    continue
                name = self._shortened(name)
                if name in counts or len(counts) < REMEMBERED_NAMES:
                    counts[name] = counts.get(name, 0) + 1
        return counts

    def _piece(self, text: str) -> _Piece:
        match = _NAME.search(text[-_REACH:])
        name = _balanced(match[1]) if match is not None else ""
        is_counter = _is_counter(name)
        signal = None if not name or is_counter else self._names.signal(self._shortened(name))
        rest = text[: len(text) - len(match[0])] if match is not None else text
        piece = _Piece(
            signal,
            signal is not None and not signal.startswith(_NO_LOSSES),
            is_counter or _DIGIT.search(rest) is not None,
            _VALIDATION.search(text) is not None,
        )
        if len(self._pieces) < REMEMBERED_NAMES:
            self._pieces[text] = piece
        return piece

    def _shortened(self, name: str) -> str:
        """What the user gave, where other words of the line stand before it."""
        return next((given for given in self._names.given.values() if name.endswith(f" {given}")), name)


def _balanced(name: str) -> str:
    """A name without a bracket that was opened before it, or is closed after it."""
    opened = name.count("(") - name.count(")")
    if opened > 0:
        return name.rpartition("(")[2]
    return name.rstrip(")") if opened < 0 else name


def _is_counter(name: str) -> bool:
    return counter(name, STEP_NAMES) is not None or counter(name, EPOCH_NAMES) is not None
