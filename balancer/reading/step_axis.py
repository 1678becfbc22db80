"""The axis of steps that rows are put on: counters that begin anew with each epoch or each start go on there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from balancer.reading.source import Source

if TYPE_CHECKING:
    from balancer.reading.series import Floats

MOST_RESTARTS: Final = 1000  # so many are kept
HIGHEST_EPOCH: Final = 1e9  # a higher number is not an epoch
HIGHEST_STEP: Final = 2.0**53  # nor is a higher one a step: floats cannot tell it from the next


class EpochLength:
    """How many steps an epoch has, from the steps at which its number grows."""

    def __init__(self) -> None:
        self._begun: tuple[float, float] | None = None
        self._changed: tuple[float, float] | None = None
        self._steps = 0.0
        self._epochs = 0.0

    def put(self, step: float, epoch: float) -> None:
        """Take a row's step and epoch."""
        last = self._changed or self._begun
        if last is None or step < last[0] or epoch < last[1]:
            self._begun, self._changed = (step, epoch), None
        elif epoch > last[1]:
            if self._changed is not None:
                self._steps += step - self._changed[0]
                self._epochs += epoch - self._changed[1]
            self._changed = step, epoch

    @property
    def steps(self) -> float | None:
        """Steps in an epoch; None as long as the rows do not show it."""
        if self._epochs > 0 and self._steps > 0:
            steps = self._steps / self._epochs
        elif self._begun is None or self._changed is None or self._changed[0] <= self._begun[0]:
            return None
        else:
            # One change alone: the first row is taken for the beginning of its epoch.
            steps = (self._changed[0] - self._begun[0]) / (self._changed[1] - self._begun[1])
        return steps if steps <= HIGHEST_STEP else None


class StepAxis:
    """Puts rows on one axis of steps, and notes in the source where the run started over or went back.

    Rows that have no step are numbered. A step that falls while the epoch grows counts within the epoch: there a
    row's step is its epoch's, counted from the first one, and its own. One that falls otherwise belongs to a run
    that went back there, whose rows supersede those before; one that falls to where the log began is another run,
    unless it `goes_on`: then steps are counted on from the last one.

    Args:
        goes_on: asked of a row that falls to where the log began; None where rows then always supersede.
        origin: steps before the epoch that the log begins with, where steps count within it.
    """

    def __init__(self, source: Source, *, goes_on: Callable[[], bool] | None = None, origin: float = 0.0) -> None:
        self._source: Final = source
        self._goes_on: Final = goes_on
        self._origin: Final = origin
        self._length: Final = EpochLength()
        self._rows = 0
        self._named = False
        self._numbers = False
        self._first: float | None = None
        self._first_epoch: float | None = None
        self._raw: float | None = None
        self._raw_epoch: float | None = None
        # The step that was reached, and what to add to a raw step and a raw epoch.
        self.step = -1.0
        self._add = origin
        self._epoch = 0.0
        self._add_epoch = 0.0
        # Steps and epochs that were passed where steps count within the epoch; how far apart rows are.
        self._within = 0.0, 0.0
        self._interval = 0.0
        # How often the epoch grew while the step fell, and while it did not.
        self._wraps = 0
        self._flows = 0
        self._resumed: float | None = None

    def place(self, step: float | None, epoch: float | None, per_epoch: float | None = None) -> float:
        """The step of the next row on the axis; `epoch_of` then gives its epoch.

        Args:
            per_epoch: steps in an epoch, where the log says so.
        """
        passed = 0.0
        if epoch is not None:
            if not -HIGHEST_EPOCH <= epoch <= HIGHEST_EPOCH:
                epoch = None
            elif self._raw_epoch is not None:
                passed = epoch - self._raw_epoch
        if step is not None:
            self._named = True
        elif self._named and self._raw is not None:
            # The rest of the step before, on a line of its own.
            step = self._raw
        elif epoch is not None and per_epoch is not None:
            step = epoch * per_epoch
        else:
            self._numbers = True
            if passed < 0 and self._resumed is None:
                self._rows = self._row_of(epoch)
            step = float(self._rows)
        self._rows += 1
        last, within = self._raw, self._wraps > self._flows
        if last is None:
            self._first, self._first_epoch = step, epoch
        if self._resumed is not None:
            self._resume(step, epoch, per_epoch)
        elif last is None:
            pass
        elif passed > 0 and (step < last or (step == last and self._wraps >= self._flows)):
            # Else as long as its last row says, and the rest of an interval that ends in the next one.
            self._pass(per_epoch or max(last + (self._interval or max(step, 1.0)) - step, 1.0), passed)
            self._wraps += 1
        elif step < last or (passed < 0 and within):
            self._fall(step, epoch, (per_epoch or self._mean) if within else 0.0)
        elif passed > 0 and within:
            # Such as where fewer rows are printed than epochs pass.
            self._pass(per_epoch or self._mean, passed)
        elif step > last:
            self._flows += passed > 0
            self._interval = step - last
        self._raw = step
        self.step = step + self._add
        if epoch is not None:
            self._raw_epoch = epoch
            self._epoch = epoch + self._add_epoch
            self._length.put(self.step, self._epoch)
        return self.step

    def run(self, steps: Floats) -> Floats:
        """The steps on the axis of rows that go on in the epoch of the one that was placed last.

        Args:
            steps: of shape (n,), each above the one before.
        """
        if len(steps):
            assert self._raw is not None
            self._rows += len(steps)
            self._interval = float(steps[-1]) - (float(steps[-2]) if len(steps) > 1 else self._raw)
            self._raw = float(steps[-1])
            self.step = self._raw + self._add
        return steps + self._add

    @property
    def awaits_resume(self) -> bool:
        """Whether the next row is one from which the run goes on."""
        return self._resumed is not None

    def epoch_of(self, epoch: float) -> float:
        """The epoch of the row that was placed last, over all starts."""
        return epoch + self._add_epoch

    def resumed(self, step: float) -> None:
        """The log said that the run goes on from there: a row that then counts from below is meant from there on."""
        self._resumed = step

    @property
    def numbered(self) -> bool:
        """Whether steps are the numbers of rows, since none names a step."""
        return self._numbers and not self._named

    @property
    def counts_within(self) -> bool:
        """Whether steps count within the epoch."""
        return self._wraps > self._flows

    @property
    def steps_per_epoch(self) -> float | None:
        """Steps of the axis in an epoch."""
        return self._mean if self.counts_within else self._length.steps

    @property
    def _mean(self) -> float:
        return self._within[0] / self._within[1]

    def _pass(self, long: float, epochs: float) -> None:
        self._add += long * epochs
        self._within = self._within[0] + long * epochs, self._within[1] + epochs

    def _row_of(self, epoch: float | None) -> int:
        """The number of the first row of an epoch that came before, where rows are numbered."""
        if epoch is None or self._first_epoch is None:
            return self._rows
        return min(self._rows, max(0, round((epoch - self._first_epoch) * (self._length.steps or 1.0))))

    def _resume(self, step: float, epoch: float | None, per_epoch: float | None) -> None:
        assert self._resumed is not None
        at, self._resumed = self._resumed, None
        self._add = at if step < at else 0.0
        if self._raw is not None:
            self._note(self.step, step + self._add)
        if epoch is not None:
            self._add_epoch = float(at // per_epoch) if per_epoch and step < at else 0.0
            if self._raw_epoch is not None and not per_epoch and epoch < self._raw_epoch:
                self._add_epoch = self._epoch + 1 - epoch
        self._first, self._first_epoch = step, epoch

    def _fall(self, step: float, epoch: float | None, long: float) -> None:
        """Go back, or on from a new start; `long` is an epoch's length where steps count within it, else 0."""
        assert self._first is not None
        since_first = 0.0 if epoch is None or self._first_epoch is None else epoch - self._first_epoch
        # Where rows are 100 steps apart, a new start's first row may be at 0 or at 100.
        anew = step <= self._first + self._interval and since_first <= 0
        if anew and self._goes_on is not None and self._goes_on():
            self._note(self.step, self.step + max(step, 1.0))
            self._add = self.step + max(step, 1.0) - step
            if epoch is not None and self._raw_epoch is not None:
                self._add_epoch = self._epoch + 1 - epoch
            return
        if anew:
            self._add, self._add_epoch = max(self._origin + since_first * long, 0.0), 0.0
        elif epoch is not None and self._raw_epoch is not None:
            self._add = max(self._add - round((self._raw_epoch - epoch) * long), 0.0)
        self._note(self.step, step + self._add)

    def _note(self, before: float, after: float) -> None:
        if len(self._source.restarts) < MOST_RESTARTS:
            self._source.restarts.append((before, after))
