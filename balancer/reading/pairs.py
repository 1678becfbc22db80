"""Logs of any code that prints names beside figures: which lines are rows, and what they say of the losses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from balancer.reading.chinese import in_english
from balancer.reading.counters import Counters
from balancer.reading.families import LineParser
from balancer.reading.figure_names import has_unit, parted
from balancer.reading.figures import LISTED, MARKED, narrow, with_points
from balancer.reading.loss_names import EPOCH_NAMES, STEP_NAMES
from balancer.reading.names import REMEMBERED_NAMES, Names
from balancer.reading.several_names import several_names
from balancer.reading.tags import counter

_DIGIT: Final = re.compile("[0-9]")
_VALIDATION: Final = re.compile(
    r"(?<![\w/\\.])(?:val|valid|validation|eval|evaluation|test)(?![\w/\\.])", re.IGNORECASE
)
# Settings that argparse prints, all at once.
_SETTINGS: Final = "Namespace("
# A line is a row where it names a loss; these go along with one.
_NO_LOSSES: Final = ("lr", "lambda_", "epoch", "step")
_COUNTS: Final[tuple[str, ...]] = ("step", "epoch")
# What stands for the figures that were left out between the counters of a line.
_LEFT_OUT: Final = ";"


class Form(NamedTuple):
    """How a log writes its figures: behind marks or blanks too, with decimal commas or points."""

    figure: re.Pattern[str] = MARKED
    commas: bool = False


class _Piece(NamedTuple):
    """What stands between two figures of a line: the signals it names, and whether it says more than that."""

    signal: str | None
    # What further figures are, where the name stands for several.
    further: tuple[str | None, ...]
    is_loss: bool
    counts: bool
    validation: bool


class PairParser(LineParser):
    """Takes lines on which a loss of D or G is named: `name: figure`, `name = figure`, `name=figure`, or `name figure`.

    Attributes:
        counters: puts step and epoch into the rows.
    """

    def __init__(self, names: Names, form: Form = Form()) -> None:  # noqa: B008
        self._names: Final = names
        self._figure: Final = form.figure
        self._split: Final = form.figure.split
        self._commas: Final = form.commas
        # By the text between two figures, which in the lines of one log is mostly the same.
        self._pieces: Final[dict[str, _Piece]] = {}
        self.counters: Final = Counters()
        self._validation = 0

    def feed(self, line: str) -> Mapping[str, float] | None:
        """Take the next line: a row, or None."""
        parts = self._parts(line)
        if len(parts) == 1 or _SETTINGS in line:
            self.counters.put_text(line)
            return None
        row: dict[str, float] = {}
        where, losses = "", False
        pieces = self._pieces
        # Where each value has a line of its own, a rate has one too.
        rates = self.counters.takes_leads
        for at in range(0, len(parts) - 1, 4):
            text = parts[at]
            signal, further, is_loss, counts, validation = pieces.get(text) or self._piece(text)
            if validation and not row:
                self._validation += self._names_loss(parts[at:])
                return None
            if counts:
                where += text + parts[at + 1] + parts[at + 2] + parts[at + 3]
            elif where[-1:] != _LEFT_OUT:
                where += _LEFT_OUT
            if signal is not None and signal not in row:
                row[signal] = float(parts[at + 2])
                losses = losses or is_loss or rates
            if further:
                _put_further(further, parts[at + 3], parts[at + 4], row)
        if not losses:
            self.counters.put_text(line)
            return None
        text = parts[-1]
        if text and _DIGIT.search(text):
            where += text
        given = {name: row.pop(name) for name in _COUNTS if name in self._names.given and name in row}
        is_new = self.counters.put(where, row)
        row |= given
        if self._names.sums:
            self._names.add_up(row)
        self.steps_per_epoch = self.counters.steps_per_epoch
        return row if is_new else None

    def places(self, line: str) -> Mapping[str, int] | None:
        """Where the figures of a row begin, if it names its step."""
        found = self.counters.places(line)
        names = self._names
        if (
            found is None
            or self._commas
            or names.sums
            or not line.isascii()
            or not names.given.keys().isdisjoint(_COUNTS)
        ):
            return None
        last = 0
        for match in self._figure.finditer(line):
            piece = self._piece(line[last : match.start()])
            if piece.further or piece.validation:
                return None
            if piece.signal is not None:
                found.setdefault(piece.signal, match.start(2))
            last = match.end()
        return found

    @property
    def dropped(self) -> Mapping[str, int]:  # type: ignore[override]
        """Lines with losses that are no rows: of validation, or a progress bar that was drawn again."""
        return {"validation": self._validation, "redrawn": self.counters.redrawn}

    def counted(self, lines: Sequence[str]) -> dict[str, int]:
        """The names on these lines, with how often each stands there."""
        counts: dict[str, int] = {}
        for line in lines:
            for text in self._parts(line)[:-1:4] if _SETTINGS not in line else ():
                _, name = parted(text)
                if not name or (_is_counter(name) and name not in self._names.given.values()):
                    continue
                names = several_names(name) if name not in self._names.wanted else (name,)
                for each in names if len(names) > 1 else (self._shortened(name),):
                    if each in counts or len(counts) < REMEMBERED_NAMES:
                        counts[each] = counts.get(each, 0) + 1
        return counts

    @property
    def signals(self) -> set[str]:
        """What the lines so far name."""
        pieces = self._pieces.values()
        return {signal for piece in pieces for signal in (piece.signal, *piece.further) if signal is not None}

    def unmarked(self, lines: Sequence[str], marked: set[str]) -> list[str]:
        """Names without a mark before their figure, of other signals than those `marked`, that most rows have."""
        rows, counts = 0, Counter[str]()
        for line in lines:
            found = list(self.beside(line))
            rows += any(has_mark and piece.is_loss for _, piece, has_mark in found)
            named = {name: {piece.signal, *piece.further} - {None} for name, piece, has_mark in found if not has_mark}
            counts.update(name for name, signals in named.items() if signals and not signals & marked)
        return [name for name, count in counts.items() if 2 * count > rows]

    def beside(self, line: str, *, validation: bool = False) -> Iterator[tuple[str, _Piece, bool]]:
        """The names on a line, and whether a mark stands behind each.

        Without one only those of figures with decimals and without a unit, as losses are, and those that the user gave.

        Args:
            validation: whether the names on lines of validation are wanted too.
        """
        parts = self._parts(line) if _SETTINGS not in line else []
        for at in range(0, len(parts) - 1, 4):
            piece = self._pieces.get(parts[at]) or self._piece(parts[at])
            name = self._shortened(parted(parts[at])[1])
            if piece.validation and not validation:
                return
            has_mark, behind = parts[at + 1][0] in ":=", parts[at + 4]
            measured = not parts[at + 2].lstrip("+-").isdecimal() and not has_unit(behind, is_last=at + 5 == len(parts))
            if name and not _is_counter(name) and (has_mark or measured or name in self._names.wanted):
                yield name, piece, has_mark

    def _parts(self, line: str) -> list[str]:
        if not line.isascii():
            line = narrow(line)
        return self._split(with_points(line) if self._commas else line)

    def _piece(self, text: str) -> _Piece:
        rest, name = parted(text)
        several = several_names(name) if name and name not in self._names.wanted else (name,)
        given = self._shortened(name)
        is_counter = _is_counter(name) and given not in self._names.given.values()
        signal: str | None = None
        further: tuple[str | None, ...] = ()
        if len(several) > 1:
            signal, *rest_of_them = map(self._names.signal, several)
            further = tuple(rest_of_them)
        elif name and not is_counter:
            signal = self._names.signal(given)
        piece = _Piece(
            signal,
            further,
            any(found is not None and not found.startswith(_NO_LOSSES) for found in (signal, *further)),
            is_counter or _DIGIT.search(rest) is not None,
            _VALIDATION.search(text if text.isascii() else in_english(text)) is not None,
        )
        if len(self._pieces) < REMEMBERED_NAMES:
            self._pieces[text] = piece
        return piece

    def _names_loss(self, parts: Sequence[str]) -> bool:
        """Whether a line of validation names a loss, as rows do."""
        return any((self._pieces.get(text) or self._piece(text)).is_loss for text in parts[:-1:4])

    def _shortened(self, name: str) -> str:
        """What the user gave, where other words of the line stand before it."""
        return next((given for given in self._names.wanted if name.endswith(f" {given}")), name)


def _put_further(signals: Sequence[str | None], behind: str, rest: str, row: dict[str, float]) -> None:
    """Put the second and further figures of a name into the row: behind slashes, or in a list."""
    figures = [figure.strip() for figure in behind.split("/")[1:]]
    at = 0
    while not behind and len(figures) < len(signals) and (listed := LISTED.match(rest, at)) is not None:
        figures.append(listed[1])
        at = listed.end()
    for signal, figure in zip(signals, figures, strict=False):
        if signal is not None and signal not in row:
            row[signal] = float(figure)


def _is_counter(name: str) -> bool:
    return counter(name, STEP_NAMES) is not None or counter(name, EPOCH_NAMES) is not None
