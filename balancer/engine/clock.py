"""The clock of a run: which step it is, and what has been done so far."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """The one count of a run's steps, epochs and updates; whoever needs one looks here.

    Attributes:
        step: the step under way, or the next one between two steps, from 0.
        epoch: the epoch of the newest step, from 0; -1 before the first step, or where nobody counts epochs.
        d_updates, g_updates: updates of D and of G done so far.
        begun: both as they were when the step under way began.
    """

    step: int = 0
    epoch: int = -1
    d_updates: int = 0
    g_updates: int = 0
    begun: tuple[int, int] = (0, 0)

    @property
    def in_step(self) -> tuple[int, int]:
        """Updates of D and of G in the step under way."""
        return self.d_updates - self.begun[0], self.g_updates - self.begun[1]

    def begin_step(self) -> None:
        """Another step begins."""
        self.begun = self.d_updates, self.g_updates

    def count(self, role: str, updates: int) -> None:
        """So many updates of this role were done in the step under way."""
        if role == "d":
            self.d_updates = self.begun[0] + updates
        else:
            self.g_updates = self.begun[1] + updates
