"""Logs of any code that prints names beside figures: which lines are rows, and where their step and epoch stand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from balancer.diagnose.extension import LineParser
from balancer.diagnose.names import KEPT, Names
from balancer.diagnose.tags import EPOCHS, STEPS, counter
from balancer.errors import ConfigError

LONGEST: Final = 2000  # characters of a line that a user's own expression is tried on: it may take their square

# Every repetition is bounded and takes nothing back, so that no line takes long.
_SIZE: Final = r"(?:[eE][-+]?\d{1,9}+)?+"
_FIGURE: Final = re.compile(
    r"([:=][ \t]{0,8}+(?:tensor\()?+\[?)"
    rf"([-+]?(?:\d{{1,400}}+(?:\.\d{{0,400}}+)?+{_SIZE}|\.\d{{1,400}}+{_SIZE}|[nN][aA][nN]|[iI][nN][fF](?:inity)?))(?!\w)"
)
# The name at the end of what stands before a figure.
_NAME: Final = re.compile(
    r"(?<![\w.])([A-Za-z][\w.()/\-]{0,63}+(?: [A-Za-z][\w.()/\-]{0,63}+){0,5}+)['\"]?[ \t]{0,8}+\Z"
)
_REACH: Final = 200  # characters before a figure in which its name is looked for
_COUNTER: Final = re.compile(
    r"(?<![A-Za-z0-9_])(epochs?|global[_ ]?steps?|steps?|iter(?:ation)?s?|it|batch)(?!\w)['\"]?[ \t:=#\[(]{0,8}+"
    r"(\d{1,12}+(?:\.\d{1,12}+)?+)(?!\w)(?:[ \t]{0,4}+/[ \t]{0,4}+(\d{1,12}+))?+",
    re.IGNORECASE,
)
_FRACTION: Final = re.compile(r"(?<![\w./-])(\d{1,12}+)[ \t]{0,4}+/[ \t]{0,4}+(\d{1,12}+)(?![\w./-])")
_DIGIT: Final = re.compile("[0-9]")
_FIRST: Final = re.compile(r"[ \t]{0,8}+(\d{1,12}+)(?=[ \t:,\[])")
_VALIDATION: Final = re.compile(
    r"(?<![\w/\\.])(?:val|valid|validation|eval|evaluation|test)(?![\w/\\.])", re.IGNORECASE
)
# Rows are told by a loss; these go along.
_NO_LOSSES: Final = ("lr", "lambda_", "epoch")
_ENDED: Final = 0.9  # a bar that starts anew from here on was through


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
        # Bars that were through, and where the present one stands.
        self._bars = 0
        self._bar = 0.0

    def feed(self, line: str) -> Mapping[str, float] | None:
        """Take the next line: a row, or None."""
        parts = _FIGURE.split(line)
        if len(parts) == 1:
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
            return None
        text = parts[-1]
        if (pieces.get(text) or self._piece(text)).counts:
            where += text
        if where:
            self._place(where, row)
        return row

    def counted(self, lines: Sequence[str]) -> dict[str, int]:
        """The names on these lines, with how often each stands there."""
        counts: dict[str, int] = {}
        for line in lines:
            for text in _FIGURE.split(line)[:-1:3]:
                match = _NAME.search(text[-_REACH:])
                if match is None or _is_counter(match[1]):
                    continue
                name = self._shortened(match[1])
                if name in counts or len(counts) < KEPT:
                    counts[name] = counts.get(name, 0) + 1
        return counts

    def _piece(self, text: str) -> _Piece:
        match = _NAME.search(text[-_REACH:])
        name = match[1] if match is not None else ""
        is_counter = _is_counter(name)
        signal = None if not name or is_counter else self._names.signal(self._shortened(name))
        rest = text[: len(text) - len(match[0])] if match is not None else text
        made = _Piece(
            signal,
            signal is not None and not signal.startswith(_NO_LOSSES),
            is_counter or _DIGIT.search(rest) is not None,
            _may_validate(text) and _VALIDATION.search(text) is not None,
        )
        if len(self._pieces) < KEPT:
            self._pieces[text] = made
        return made

    def _shortened(self, name: str) -> str:
        """What the user told, where other words of the line stand before it."""
        return next((told for told in self._names.told.values() if name.endswith(f" {told}")), name)

    def _place(self, line: str, row: dict[str, float]) -> None:
        """Put in the step and epoch that the line names."""
        epoch: float | None = None
        step: float | None = None
        total: float | None = None
        sure = False
        taken = -1
        for match in _COUNTER.finditer(line):
            name = match[1].lower()
            if name.startswith("epoch"):
                if epoch is None:
                    epoch, taken = float(match[2]), match.start(2)
            elif step is None or (name.startswith("global") and not sure):
                step, total = float(match[2]), float(match[3]) if match[3] else None
                sure = name.startswith("global")
        if step is None:
            found = [match for match in _FRACTION.finditer(line) if match.start() != taken]
            if epoch is None and len(found) > 1:
                # As in the examples of PyTorch: [epoch/epochs][batch/batches].
                epoch = float(found.pop(0)[1])
            if found:
                step, total = float(found[0][1]), float(found[0][2])
                if epoch is None:
                    step = self._through(step, total)
        if step is None and epoch is None:
            match_first = _FIRST.match(line)
            step = float(match_first[1]) if match_first else None
        if step is not None:
            row["step"] = step
        if epoch is not None:
            row["epoch"] = epoch
            if total:
                self.steps_per_epoch = total

    def _through(self, step: float, total: float) -> float:
        """The step of a progress bar that starts anew with each epoch."""
        if step < self._bar and self._bar >= _ENDED * total:
            self._bars += 1
        self._bar = step
        if self._bars:
            self.steps_per_epoch = total
        return self._bars * total + step


class PatternParser(LineParser):
    """Takes lines that a regular expression of the user's finds something in; its groups are the signals.

    Raises:
        ConfigError: no regular expression, or without named groups.
    """

    def __init__(self, pattern: str, told: Mapping[str, str]) -> None:
        try:
            self._pattern: Final = re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigError(f"--pattern {pattern!r} is no regular expression: {error}") from None
        if not set(self._pattern.groupindex) - {"step", "epoch"}:
            raise ConfigError(
                f"--pattern {pattern!r} names no signal: put figures in named groups, such as (?P<d_loss>[0-9.]+)"
            )
        self.signals: Final = {group: signal for signal, group in told.items()}
        for group in self.signals:
            if group not in self._pattern.groupindex:
                raise ConfigError(f"--tag {self.signals[group]}={group}: --pattern has no group of that name")

    def feed(self, line: str) -> Mapping[str, float] | None:
        """Take the next line: a row, or None."""
        if len(line) > LONGEST:
            raise ValueError(f"a line too long for --pattern ({LONGEST} characters)")
        match = self._pattern.search(line)
        if match is None:
            return None
        try:
            return {
                self.signals.get(name, name): float(text)
                for name, text in match.groupdict().items()
                if text is not None and text.strip()
            }
        except ValueError:
            raise ValueError("a group of --pattern that is no number") from None

    @property
    def groups(self) -> Sequence[str]:
        """The groups that are signals."""
        return [name for name in self._pattern.groupindex if name not in ("step", "epoch")]


def _may_validate(text: str) -> bool:
    lower = text.lower()
    return "val" in lower or "test" in lower


def _is_counter(name: str) -> bool:
    return counter(name, STEPS) is not None or counter(name, EPOCHS) is not None
