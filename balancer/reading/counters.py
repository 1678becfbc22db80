"""Where the step and epoch stand on a line of a text log, and how progress bars go on from epoch to epoch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from balancer.reading.chinese import in_english
from balancer.reading.figures import narrow
from balancer.reading.loss_names import NEVER

# Every repetition is bounded and possessive, so that no line takes long. Some write 1,000 for a thousand.
_THOUSANDS: Final = r"(?<!\d\d\d\d)(?:,\d{3}){1,4}+(?!\d|[,.]\d)"
_WHOLE: Final = rf"(\d{{1,12}}+(?:{_THOUSANDS})?+)"
_COUNT: Final = rf"(\d{{1,12}}+(?:{_THOUSANDS}|\.\d{{1,12}}+)?+)"
_COUNTER: Final = re.compile(
    # The lookahead for a first letter dismisses nearly every place of a line.
    r"(?<![A-Za-z0-9_])(?=[egisbucn])"
    r"(epochs?|ep|global[_ ]?(?:steps?|iter)|cur(?:rent)?_(?:step|iter)|n_iter|steps?|iter(?:ation)?s?|itr|it|batch"
    r"|updates?)(?!\w)"
    r"['\"]?[ \t:=#\[(]{0,8}+"
    rf"{_COUNT}(?!\w)(?:[ \t]{{0,4}}+/[ \t]{{0,4}}+{_COUNT})?+",
    re.IGNORECASE,
)
_FRACTION: Final = re.compile(rf"(?<![\w./,-]){_WHOLE}[ \t]{{0,4}}+/[ \t]{{0,4}}+{_WHOLE}(?![\w./-])")
# A day and a month, with the time, at the beginning of a line.
_DATE: Final = re.compile(r"[ \t\[]{0,2}[0-3]\d/[0-3]\d[ \t][0-2]\d:[0-5]\d")
# What else stands before a fraction that is no counter, such as mem 5/24.
_BESIDE: Final = re.compile(r"([A-Za-z]{1,32})[ \t:=]{0,4}\Z")
_NO_COUNTERS: Final = NEVER | {"gpu", "ram", "vram", "cuda", "lr", "loss", "data"}
# The last step and learning rate that RVC and its like print on a line of their own.
_STEP_AND_RATE: Final = re.compile(r"\[(\d{1,12}+), ?\d[\d.eE+-]{0,30}+\]\s{0,8}+\Z")
_FIRST: Final = re.compile(r"[ \t>]{0,8}+(\d{1,12}+)(?=[ \t:,\[)])")
# A line such as "Epoch 3/10", which rows without an epoch follow.
_HEADING: Final = re.compile(
    r"(?<![\w.])epochs?[ \t:#=\[(]{0,8}+(\d{1,9}+)(?![\w.])(?:[ \t]{0,4}+(?:/|of)[ \t]{0,4}+\d{1,9}+)?+"
    r"(?:[ \t]{0,4}+\[\d{1,3}+(?:\.\d{1,9}+)?+%\])?+[^A-Za-z0-9]{0,80}\Z",
    re.IGNORECASE,
)
_LONGEST_HEADING: Final = 200  # characters of a heading
_ENDED_SHARE: Final = 0.9  # a bar that starts anew beyond this share of its length had ended


class Counters:
    """Puts step and epoch into the rows of one log.

    Attributes:
        steps_per_epoch: how far the counters of an epoch go, once a line has said so.
        redrawn: rows that say no more than the one before, as progress bars have them.
        repeated: rows whose bare fraction, such as [3/100], was that of the row before.
        counts_epochs: whether bare fractions are epochs, then.
        led: rows without a step, each with names that no row had since a line of other text named one,
        unled: and other rows without one.
        takes_leads: whether the steps of such lines are those of the rows below them, then.
    """

    def __init__(self) -> None:
        self.steps_per_epoch: float | None = None
        self.redrawn = 0
        self.repeated = 0
        self.counts_epochs = False
        self.led = 0
        self.unled = 0
        self.takes_leads = False
        # Names in the rows since a line of other text named a step; None before the first such line.
        self._since: set[str] | None = None
        self._heading: float | None = None
        # A line that holds the step and epoch of losses on the next line, such as "Epoch: [3], [100/416]".
        self._ahead = ""
        # Bars that have ended; where the present one stands, how far it goes, and its row.
        self._bars = 0
        self._bar = 0.0
        self._total = 0.0
        self._row: Mapping[str, float] = {}

    def learn(self, rows: int, trial: Counters) -> None:
        """Take over what the counters of a trial, over so many rows, tell of the log."""
        # Fractions such as [3/100] that stand still are epochs.
        self.counts_epochs = 2 * trial.repeated > rows
        self.takes_leads = trial.led > 4 * trial.unled and 2 * trial.led > rows

    def put_text(self, line: str) -> None:
        """Take a line that is not a row: it may be the heading of an epoch, or of a row whose losses come below."""
        if len(line) > _LONGEST_HEADING:
            return
        if not line.isascii():
            line = in_english(narrow(line))
        counted = list(_COUNTER.finditer(line))
        step_and_rate = _STEP_AND_RATE.search(line)
        if step_and_rate is not None or any(not match[1].lower().startswith("ep") for match in counted):
            self._since = set()
            if self.takes_leads:
                self._ahead = line if step_and_rate is None else f"step {step_and_rate[1]}"
        if not counted:
            return
        found = _HEADING.search(line)
        if found is not None:
            self._heading = float(found[1])
            return
        starts = [match.start(2) for match in counted if match[1].lower().startswith("ep")]
        if starts and any(match.start() != starts[0] for match in _FRACTION.finditer(line)):
            self._ahead = line

    def put(self, line: str, row: dict[str, float]) -> bool:
        """Put in the step and epoch that the line names; False where it says no more than the row before."""
        is_new = self._put(line if line.isascii() else in_english(line), row)
        self.redrawn += not is_new
        return is_new

    def places(self, line: str) -> dict[str, int] | None:
        """Where step, epoch and an epoch's steps begin on a line that names them; None where it does not."""
        found: dict[str, int] = {}
        sure = False
        for match in _COUNTER.finditer(line):
            name = match[1].lower()
            if "," in match[0]:
                return None
            if name.startswith("ep"):
                found.setdefault("epoch", match.start(2))
            elif "step" not in found or (name.startswith("global") and not sure):
                found["step"], sure = match.start(2), name.startswith("global")
                found.pop("batches", None)
                if match[3]:
                    found["batches"] = match.start(3)
        if "step" not in found or (self._heading is not None and "epoch" not in found):
            return None
        if "epoch" not in found:
            found.pop("batches", None)
        return found

    def _put(self, line: str, row: dict[str, float]) -> bool:
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
            found = [match for match in _FRACTION.finditer(line) if match.start() != taken and _counts(line, match)]
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
        if step is None and epoch is None:
            self._follow(row)
            if self._ahead:
                line, self._ahead = self._ahead, ""
                return self._put(line, row)
        if epoch is None:
            epoch = self._heading
        if step is None and epoch is None:
            match_first = _FIRST.match(line)
            step = float(match_first[1]) if match_first else None
        if step is not None:
            row["step"] = step
        if epoch is not None:
            row["epoch"] = epoch
            if total is not None and total >= 1:
                self.steps_per_epoch = total
        return is_new

    def _follow(self, row: Mapping[str, float]) -> None:
        """Count a row without a step: whether a line of other text named one for it."""
        if self._since is None or self._since & row.keys():
            self.unled += 1
        else:
            self.led += 1
            self._since |= row.keys()

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


def _counts(line: str, fraction: re.Match[str]) -> bool:
    """Whether a fraction may count something of the run."""
    if fraction.start() < 3 and _DATE.match(line) is not None:
        return False
    beside = _BESIDE.search(line, max(fraction.start() - 40, 0), fraction.start())
    return beside is None or beside[1].lower() not in _NO_COUNTERS


def _number(text: str) -> float:
    return float(text) if "," not in text else float(text.replace(",", ""))
