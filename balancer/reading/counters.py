"""Where the step and epoch stand on a line of a text log, and how progress bars go on from epoch to epoch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

# Every repetition is bounded and possessive, so that no line takes long. Some write 1,000 for a thousand.
_THOUSANDS: Final = r"(?<!\d\d\d\d)(?:,\d{3}){1,4}+(?!\d|[,.]\d)"
_WHOLE: Final = rf"(\d{{1,12}}+(?:{_THOUSANDS})?+)"
_COUNT: Final = rf"(\d{{1,12}}+(?:{_THOUSANDS}|\.\d{{1,12}}+)?+)"
_COUNTER: Final = re.compile(
    # The lookahead for a first letter dismisses nearly every place of a line.
    r"(?<![A-Za-z0-9_])(?=[egisb])(epochs?|ep|global[_ ]?steps?|steps?|iter(?:ation)?s?|itr|it|batch)(?!\w)"
    r"['\"]?[ \t:=#\[(]{0,8}+"
    rf"{_COUNT}(?!\w)(?:[ \t]{{0,4}}+/[ \t]{{0,4}}+{_COUNT})?+",
    re.IGNORECASE,
)
_FRACTION: Final = re.compile(rf"(?<![\w./,-]){_WHOLE}[ \t]{{0,4}}+/[ \t]{{0,4}}+{_WHOLE}(?![\w./-])")
_FIRST: Final = re.compile(r"[ \t]{0,8}+(\d{1,12}+)(?=[ \t:,\[])")
# A line such as "Epoch 3/10", which rows without an epoch follow.
_HEADING: Final = re.compile(
    r"(?<![\w.])epochs?[ \t:#=\[(]{0,8}+(\d{1,9}+)(?![\w.])(?:[ \t]{0,4}+(?:/|of)[ \t]{0,4}+\d{1,9}+)?+"
    r"[^A-Za-z0-9]{0,80}\Z",
    re.IGNORECASE,
)
_LONGEST_HEADING: Final = 200  # characters of a heading
_ENDED_SHARE: Final = 0.9  # a bar that starts anew beyond this share of its length had ended


class Counters:
    """Puts step and epoch into the rows of one log.

    Attributes:
        steps_per_epoch: how far the counters of an epoch go, once a line has said so.
        repeated: rows whose bare fraction, such as [3/100], was that of the row before.
        counts_epochs: whether bare fractions are epochs, then.
    """

    def __init__(self) -> None:
        self.steps_per_epoch: float | None = None
        self.repeated = 0
        self.counts_epochs = False
        self._heading: float | None = None
        # A line that holds the step and epoch of losses on the next line, such as "Epoch: [3], [100/416]".
        self._ahead = ""
        # Bars that have ended; where the present one stands, how far it goes, and its row.
        self._bars = 0
        self._bar = 0.0
        self._total = 0.0
        self._row: Mapping[str, float] = {}

    def put_text(self, line: str) -> None:
        """Take a line that is not a row: it may be the heading of an epoch, or of a row whose losses come below."""
        if len(line) > _LONGEST_HEADING or ("poch" not in line and "POCH" not in line):
            return
        found = _HEADING.search(line)
        if found is not None:
            self._heading = float(found[1])
            return
        starts = [match.start(2) for match in _COUNTER.finditer(line) if match[1].lower().startswith("ep")]
        if starts and any(match.start() != starts[0] for match in _FRACTION.finditer(line)):
            self._ahead = line

    def put(self, line: str, row: dict[str, float]) -> bool:
        """Put in the step and epoch that the line names; False where it says no more than the row before."""
        epoch: float | None = None
        step: float | None = None
        total: float | None = None
        sure, is_new = False, True
        taken = -1
        for match in _COUNTER.finditer(line):
            name = match[1].lower()
            if name.startswith("ep"):
                if epoch is None:
                    epoch, taken = _number(match[2]), match.start(2)
            elif step is None or (name.startswith("global") and not sure):
                step, total = _number(match[2]), _number(match[3]) if match[3] else None
                sure = name.startswith("global")
        if step is None:
            found = [match for match in _FRACTION.finditer(line) if match.start() != taken]
            if epoch is None and len(found) > 1 and found[0].groups() != found[1].groups():
                # As in the examples of PyTorch: [epoch/epochs][batch/batches].
                epoch = _number(found.pop(0)[1])
            if found:
                step, total = _number(found[0][1]), _number(found[0][2])
                if epoch is None:
                    epoch = self._heading
                if epoch is None and (total <= 1 or self.counts_epochs):
                    step, epoch, total = None, step, None
                elif step > self._bar:
                    self._bar, self._total, self._row = step, total, row
                    step += self._bars * total if epoch is None else 0.0
                else:
                    is_new = self._goes_on(step, total, "%|" in line, epoch, row)
                    if epoch is None:
                        step += self._bars * total
        if step is None and epoch is None and self._ahead:
            line, self._ahead = self._ahead, ""
            return self.put(line, row)
        if epoch is None:
            epoch = self._heading
        if step is None and epoch is None:
            match_first = _FIRST.match(line)
            step = float(match_first[1]) if match_first else None
        if step is not None:
            row["step"] = step
        if epoch is not None:
            row["epoch"] = epoch
            if total:
                self.steps_per_epoch = total
        return is_new

    def _goes_on(self, step: float, total: float, is_bar: bool, epoch: float | None, row: dict[str, float]) -> bool:
        """Follow a progress bar, which starts anew with each epoch; whether it says anything new."""
        bar, end, before = self._bar, self._total, self._row
        self._bar, self._total, self._row = step, total, row
        alike = (step == bar or step == 0) and row.keys() == before.keys() - {"epoch", "step"}
        if alike and step == bar:
            same = all(before[name] == value for name, value in row.items())
            if is_bar and same and before.get("epoch") == epoch:
                return False
            # Keras prints one line for each epoch, on which the bar is full.
            through = step == total and not is_bar and not same
            self.repeated += not (through or is_bar)
        else:
            through = step < bar and bar >= _ENDED_SHARE * total
        if through and epoch is None:
            self._bars += 1
            self.steps_per_epoch = total
        # The end of a bar comes again as the beginning of the next one.
        return not (is_bar and alike and step == 0 and bar == end)


def _number(text: str) -> float:
    return float(text) if "," not in text else float(text.replace(",", ""))
