"""D's and G's part of a step: what the host said of it, and what its optimizer did, in any order and number."""

from __future__ import annotations

from typing import Any, Final

from balancer.engine.optimizers import Optimizers


class Turn:
    """One network's part of the step under way.

    Reports of a part *gather* until one comes with an update: they are micro-batches of it. Where the host passed no
    optimizer of this role, nobody knows of updates but by what the host says.
    """

    __slots__ = ("_optimizers", "_role", "fired", "gathers", "open", "reports", "seen", "told", "usual")

    def __init__(self, optimizers: Optimizers, role: str) -> None:
        self._optimizers: Final = optimizers
        self._role: Final = role
        # Whether it has begun and its closing moment, `after_d_step` or `after_g_step`, is still to come.
        self.open = False
        # Whether the last report came without an update.
        self.gathers = False
        # How many updates the last report knew of.
        self.seen = 0
        # How often the closing moment has fired in this step, and of how many updates it has told: of the one to come
        # too, where the other network's part began before it.
        self.fired = 0
        self.told = 0
        # The host's reports of it in this step; how many of these and of updates the step before had.
        self.reports = 0
        self.usual: tuple[int, int] | None = None

    def begin(self) -> None:
        """Another step begins."""
        self.open = self.gathers = False
        self.reports = self.seen = self.fired = self.told = 0

    @property
    def counted(self) -> bool:
        """Whether its optimizer tells of its updates."""
        return self._optimizers.knows(self._role)

    @property
    def updates(self) -> int:
        """Updates in this step, where they are counted."""
        return self._optimizers.updates[self._role]

    @property
    def updated(self) -> bool:
        """Whether there was an update that no moment has told of."""
        return self.updates > self.told

    @property
    def waits(self) -> bool:
        """Whether gradients gather for an update to come."""
        gathers = (self.open or self.gathers) and self.updates == self.seen
        return gathers and self._optimizers.has_gradients(self._role)

    @property
    def in_parts(self) -> bool:
        """Whether the next report is of another micro-batch: where D rests, as it was in the steps before."""
        rests_in_parts = not self.updates and self.usual is not None and self.usual[0] > self.usual[1]
        return self.gathers or (self.counted and self.reports > 0 and rests_in_parts)

    @property
    def overflowed(self) -> bool:
        """Whether its gradients are not all finite."""
        return self._optimizers.overflowed(self._role)

    @property
    def done(self) -> bool:
        """Whether this step has had it as the one before did: as many updates, D's told of, or a turn that was skipped.

        Where nobody counts, G's always.
        """
        if self.counted:
            if self.usual is None:
                return False
            d, (reports, updates) = self._role == "d", self.usual
            updated = self.updates >= updates and not (d and self.updated)
            rested = d and not self.updates and self.fired > 0 and not self.gathers
            return self.reports >= reports and (updated or rested)
        return self._role == "g" or self.fired > 0

    @property
    def untold(self) -> bool:
        """Whether its gradients gather for an update that no moment has told of."""
        return self.gathers and self.told <= self.updates

    def report(self, *, resting: bool = False) -> None:
        """The host reports of it: with an update, for one to come, or of a network that rests in this step."""
        self.reports += 1
        self.gathers = self.counted and not resting and self.updates == self.seen
        self.seen = self.updates

    def end_step(self) -> None:
        """The step is over."""
        self.usual = self.reports, self.updates or (self.usual[1] if self.usual else 1)

    def close(self) -> None:
        """Its closing moment fires."""
        self.told = self.updates + (self.gathers and not self.updated)
        self.open = False
        self.fired += 1

    def state_dict(self) -> dict[str, Any]:
        """Where it stands within the step, as primitives."""
        return {name: getattr(self, name) for name in ("open", "gathers", "seen", "fired", "told", "reports", "usual")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.open, self.gathers, self.seen = state["open"], state["gathers"], state["seen"]
        self.fired, self.told, self.reports = state["fired"], state["told"], state["reports"]
        self.usual = None if state["usual"] is None else (state["usual"][0], state["usual"][1])
