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
    """

    step: int = 0
    epoch: int = -1
    d_updates: int = 0
    g_updates: int = 0
