"""D's and G's part of a step: what the host said of it, and what its optimizer did, in any order and number."""

from __future__ import annotations

from typing import Any, Final

from balancer.engine.optimizers import Optimizers


class Turn:
    """One network's part of the step under way.

    Reports of a part *gather* until one comes with an update: they are micro-batches of it. Where the host passed no
    optimizer of this role, nobody knows of updates but by what the host says.
    """

    __slots__ = ("_optimizers", "_role", "fired", "gathers", "open", "told")

    def __init__(self, optimizers: Optimizers, role: str) -> None:
        self._optimizers: Final = optimizers
        self._role: Final = role
        # Whether it has begun and its closing moment, `after_d_step` or `after_g_step`, is still to come.
        self.open = False
        # Whether the last report came without an update.
        self.gathers = False
        # How often the closing moment has fired in this step, and after how many updates it last did.
        self.fired = 0
        self.told = 0

    def begin(self) -> None:
        """Another step begins."""
        self.open = self.gathers = False
        self.fired = self.told = 0

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
        return (self.open or self.gathers) and self._optimizers.has_gradients(self._role)

    @property
    def done(self) -> bool:
        """Whether this step has had it: an update, or a turn that was skipped; where nobody counts, G's always."""
        if self.counted:
            return self.updates > 0 or (self._role == "d" and self.fired > 0 and not self.gathers)
        return self._role == "g" or self.fired > 0

    def close(self) -> None:
        """Its closing moment fires."""
        self.open = False
        self.fired += 1
        self.told = self.updates

    def state_dict(self) -> dict[str, Any]:
        """Where it stands within the step, as primitives."""
        return {"open": self.open, "gathers": self.gathers, "fired": self.fired, "told": self.told}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.open, self.gathers = state["open"], state["gathers"]
        self.fired, self.told = state["fired"], state["told"]
