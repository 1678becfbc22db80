"""The axis of steps that rows are put on: counters that begin anew with each epoch or each start go on there."""

from __future__ import annotations

from typing import Final

from balancer.diagnose.source import Source

RESTARTS: Final = 1000  # so many are kept


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
        """Steps in an epoch; None as long as nothing tells."""
        if self._epochs > 0 and self._steps > 0:
            return self._steps / self._epochs
        if self._begun is None or self._changed is None or self._changed[0] <= self._begun[0]:
            return None
        # One change alone: the first row is taken for the beginning of its epoch.
        return (self._changed[0] - self._begun[0]) / (self._changed[1] - self._begun[1])


class Axis:
    """Puts rows on one axis of steps, and notes in the source where the run started over or went back.

    Rows that have no step are numbered. A step that falls while the epoch grows counts within the epoch.
    One that falls otherwise belongs to a run that went back there, whose rows supersede those before; but in
    a log that is `appended` to, one that falls to where the log began is a new start, and goes on from the last step.
    """

    def __init__(self, source: Source, *, appended: bool) -> None:
        self._source: Final = source
        self._appended: Final = appended
        self._length: Final = EpochLength()
        self._rows = 0
        self._named = False
        self._first: float | None = None
        self._first_epoch: float | None = None
        self._raw: float | None = None
        self._raw_epoch: float | None = None
        # The step that was reached, and what to add to a raw step and a raw epoch.
        self.step = -1.0
        self._add = 0.0
        self._epoch = 0.0
        self._add_epoch = 0.0
        # Steps and epochs that were passed where steps count within the epoch; how far apart rows are.
        self._within = 0.0, 0.0
        self._interval = 0.0
        self._resumed: float | None = None

    def place(self, step: float | None, epoch: float | None, per_epoch: float | None = None) -> float:
        """The step of the next row on the axis; `epoch_of` then tells its epoch.

        Args:
            per_epoch: steps in an epoch, where the log says so.
        """
        if step is not None:
            self._named = True
        elif self._named and self._raw is not None:
            # The rest of the step before, on a line of its own.
            step = self._raw
        else:
            step = float(self._rows) if epoch is None or per_epoch is None else epoch * per_epoch
        self._rows += 1
        last = self._raw
        if last is None:
            self._first, self._first_epoch = step, epoch
        if self._resumed is not None:
            self._resume(step, epoch, per_epoch)
        elif last is not None and step <= last:
            if epoch is not None and self._raw_epoch is not None and epoch > self._raw_epoch:
                # Else as long as its last row says, and the rest of an interval that ends in the next one.
                long = per_epoch or max(last + (self._interval or max(step, 1.0)) - step, 1.0)
                self._add += long * (epoch - self._raw_epoch)
                self._within = (
                    self._within[0] + long * (epoch - self._raw_epoch),
                    self._within[1] + epoch - self._raw_epoch,
                )
            elif step < last:
                self._fall(step, epoch)
        elif last is not None:
            self._interval = step - last
        self._raw, self._raw_epoch = step, epoch if epoch is not None else self._raw_epoch
        self.step = step + self._add
        if epoch is not None:
            self._epoch = epoch + self._add_epoch
            self._length.put(self.step, self._epoch)
        return self.step

    def epoch_of(self, epoch: float) -> float:
        """The epoch of the row that was placed last, over all starts."""
        return epoch + self._add_epoch

    def resumed(self, step: float) -> None:
        """The log said that the run goes on from there: a row that then counts from below is meant from there on."""
        self._resumed = step

    @property
    def steps_per_epoch(self) -> float | None:
        """Steps of the axis in an epoch."""
        steps, epochs = self._within
        return steps / epochs if epochs else self._length.steps

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

    def _fall(self, step: float, epoch: float | None) -> None:
        assert self._first is not None
        # Where rows are 100 steps apart, a new start's first row may be at 0 or at 100.
        anew = step <= self._first + self._interval and (
            epoch is None or self._first_epoch is None or epoch <= self._first_epoch
        )
        if self._appended and (anew or self._within[1]):
            self._note(self.step, self.step + max(step, 1.0))
            self._add = self.step + max(step, 1.0) - step
            if epoch is not None and self._raw_epoch is not None:
                self._add_epoch = self._epoch + 1 - epoch
        else:
            self._note(self.step, step + self._add)

    def _note(self, before: float, after: float) -> None:
        if len(self._source.restarts) < RESTARTS:
            self._source.restarts.append((before, after))
