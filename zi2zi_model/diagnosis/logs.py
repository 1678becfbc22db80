"""The logs of the zi2zi family: rows of losses in five print formats, and what other lines say once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from balancer.diagnosis import Fact, LineParser

# Every repetition is bounded and unambiguous, so that no line takes long.
_HEAD: Final = re.compile(
    r"Epoch:[ \t]{0,8}\[[ \t]{0,8}(\d{1,9})[ \t]{0,8}\][ \t]{0,8},[ \t]{0,8}(Batch:[ \t]{0,8})?"
    r"\[[ \t]{0,8}(\d{1,9})[ \t]{0,8}/[ \t]{0,8}(\d{1,9})[ \t]{0,8}\]"
)
_CUT_HEAD: Final = re.compile(r"Epoch:[ \t]{0,8}\[[ \t]{0,8}\d{1,9}[ \t]{0,8}\][ \t]{0,8}(?:,|$)")
# What stands between the head and the first loss: the time.
_BETWEEN: Final = 80
_SIGNALS: Final = {
    "cheat_loss": "adv",
    "adv_loss": "adv",
    "per_loss": "perceptual",
    "perc_loss": "perceptual",
    "perceptual_loss": "perceptual",
    "d_loss": "d_loss",
    "g_loss": "g_loss",
    "lr": "lr",
    "lr_d": "lr_d",
    "lr_g": "lr_g",
}
# Columns in print order, and the decimals of the last one (None: not finite).
_Layout = tuple[tuple[str, ...], int | None]


class ZiLogParser(LineParser):
    """Reads logs of kaonashi-tyc/zi2zi and its PyTorch ports.

    `format` becomes "tf" (tv loss; 5 decimals), "port" (5 decimals), "fork" (4 decimals), "later" (`lambda_adv` is
    logged) or "two-line" (losses on the line below the epoch). `step` is epoch · batches + batch. A row that ends
    sooner than the rows before it, in its columns or in the decimals of its last figure, was cut off: it is refused,
    unless the row after it looks the same, which then is how the log goes on.
    """

    ends_alike = True

    def __init__(self) -> None:
        self.format = ""
        self.steps_per_epoch: float | None = None
        self._known: set[_Layout] = set()
        self._suspect: _Layout | None = None
        self._names: dict[str, str | None] = {}
        # Epoch, batch and batches of a head whose losses are on the next line.
        self._pending: tuple[int, int, int] | None = None

    def feed(self, line: str) -> Mapping[str, float] | Sequence[Fact] | None:
        """Take the next line: a row, facts (of step -1), or None."""
        # The last one: a process that was killed leaves the beginning of a row before the next one's.
        at = line.rfind("Epoch:")
        if at >= 0:
            return self._row(line, at)
        if "_loss:" in line:
            return self._losses_only(line)
        if self._pending is not None and line.strip():
            self._pending = None
        for needle, pattern, fact in _FACTS:
            if needle in line:
                match = pattern.search(line)
                if match is not None:
                    return [fact(match)]
        return None

    def places(self, line: str) -> Mapping[str, int] | None:
        """Where the figures of a row begin, unless it has two lines."""
        at = line.rfind("Epoch:")
        head = _HEAD.match(line, at) if at >= 0 else None
        first = line.find("_loss:", head.end()) if head is not None else -1
        if head is None or first < 0 or self._suspect is not None:
            return None
        found = {"epoch": head.start(1), "batch": head.start(3), "batches": head.start(4)}
        begin = first - 1
        for part in line[begin:].split(","):
            name, _, figure = part.partition(":")
            signal = self._names.get(name)
            if signal is not None:
                found[signal] = begin + len(name) + 1 + len(figure) - len(figure.lstrip())
            begin += len(part) + 1
        return found

    def _row(self, line: str, at: int) -> Mapping[str, float] | None:
        self._pending = None
        match = _HEAD.match(line, at)
        if match is None:
            if _CUT_HEAD.match(line, at):
                raise ValueError("a row cut off in its head")
            return None
        epoch, batch, batches = int(match[1]), int(match[3]), int(match[4])
        if batches == 0 or batch > batches:
            raise ValueError("a batch beyond the last one")
        first = line.find("_loss:", match.end())
        if first < 0 and match[2]:
            self._pending = epoch, batch, batches
            return None
        if first < 0 or first - match.end() > _BETWEEN:
            raise ValueError("a row without losses")
        return self._values(line[first - 1 :], epoch, batch, batches, two_lines=False)

    def _losses_only(self, line: str) -> Mapping[str, float] | None:
        pending, self._pending = self._pending, None
        first = line.find("_loss:")
        if pending is not None and line[first - 1 : first] in ("d", "g"):
            return self._values(line[first - 1 :], *pending, two_lines=True)
        if line.count("_loss:") >= 4 and ("cheat_loss:" in line or "l1_loss:" in line):
            raise ValueError("losses without their epoch")
        return None

    def _values(self, text: str, epoch: int, batch: int, batches: int, *, two_lines: bool) -> Mapping[str, float]:
        row: dict[str, float] = {}
        columns = []
        name = figure = ""
        try:
            for part in text.split(","):
                name, _, figure = part.partition(":")
                columns.append(name)
                signal = self._names[name] if name in self._names else self._named(name)
                value = float(figure)
                if signal is not None:
                    if signal in row:
                        raise ValueError
                    row[signal] = value
        except ValueError:
            raise ValueError("a row cut off, or mixed with another") from None
        layout = tuple(columns), _decimals(figure)
        if layout not in self._known:
            self._admit(layout, row, text, two_lines)
        self._suspect = None
        self.steps_per_epoch = batches
        row["epoch"] = epoch
        row["step"] = epoch * batches + batch
        return row

    def _named(self, name: str) -> str | None:
        plain = name.strip()
        signal = _SIGNALS.get(plain)
        if signal is None and plain.isidentifier():
            if plain.endswith("_loss"):
                signal = plain.removesuffix("_loss")
            elif plain.startswith("lambda_"):
                signal = plain
        self._names[name] = signal
        return signal

    def _admit(self, layout: _Layout, row: Mapping[str, float], text: str, two_lines: bool) -> None:
        columns = layout[0]
        if not {"d_loss", "g_loss"} <= row.keys() or len(row) < 4:
            raise ValueError("a row cut off")
        first = _decimals(text.partition(",")[0])
        known = {*self._known}
        if not columns[-1].strip().startswith("lambda"):
            known.add((columns, first))
        cut = not {"l1", "const"} <= row.keys() or any(_begins(layout, whole) for whole in known)
        if cut and layout != self._suspect:
            self._suspect = layout
            raise ValueError("a row cut off")
        self._known.add(layout)
        if two_lines:
            self.format = "two-line"
        elif "tv" in row:
            self.format = "tf"
        elif "lambda_adv" in row:
            self.format = "later"
        elif first is not None or not self.format:
            self.format = "port" if (first or 0) >= 5 else "fork"


def _begins(layout: _Layout, whole: _Layout) -> bool:
    """Whether a layout is what is left of another when its end is missing."""
    columns, last = layout
    if columns != whole[0]:
        return columns == whole[0][: len(columns)]
    return last is not None and whole[1] is not None and last < whole[1]


def _decimals(figure: str) -> int | None:
    number = figure.rpartition(":")[2].strip()
    _, point, digits = number.partition(".")
    if not point:
        return 0 if number.lstrip("-").isdigit() else None
    return len(digits)


def _fact(kind: str, **values: float | str) -> Fact:
    return Fact(kind, -1.0, values)


def _number(text: str) -> float | str:
    return float(text) if text.isdigit() else text


def _learning_rate(match: re.Match[str]) -> Fact:
    return _fact("learning_rate", network=match[1], old=float(match[2]), new=float(match[3]))


_COUNTS: Final = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9}
# A part of the line, which is quick to look for; its pattern; what it says.
_FACTS: Final[tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], Fact]], ...]] = (
    (
        "of parameters",
        re.compile(
            r"\[Network ([GD])\][ \t]{0,8}Total number of parameters ?:[ \t]{0,8}(\d{1,12}(?:\.\d{1,9})?) ?([KMB]?)"
        ),
        lambda match: _fact("parameters", network=match[1], count=round(float(match[2]) * _COUNTS[match[3]])),
    ),
    (
        "learning rate from",
        re.compile(
            r"net_([GD]) learning rate from (\d\.\d{1,12}(?:e-\d{1,3})?) to (\d\.\d{1,12}(?:e-\d{1,3})?)(?=\.?\s*$)"
        ),
        _learning_rate,
    ),
    (
        "heckpoint",
        re.compile(r"heckpoint (?:saved at )?step (\d{1,12})\s*$"),
        lambda match: _fact("checkpoint", step=float(match[1])),
    ),
    (
        "Resumed model from",
        re.compile(r"Resumed model from step/epoch: {0,8}(\w{1,32})"),
        lambda match: _fact("resumed", step=_number(match[1])),
    ),
    ("load model ", re.compile(r"^load model (\d{1,12})\s*$"), lambda match: _fact("resumed", step=float(match[1]))),
    (
        "End of Epoch",
        re.compile(r"End of Epoch (\d{1,9}) --- Time: (\d{1,12}(?:\.\d{1,9})?)s"),
        lambda match: _fact("epoch_end", epoch=float(match[1]), seconds=float(match[2])),
    ),
)
