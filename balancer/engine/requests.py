"""What plugins request of the host: an end, a checkpoint, a sheet; kept for a step, and said where nobody looks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from balancer.contract.notes import Request

ASK: Final = {
    "end": "`if balance.end_requested: break` after balance.end_step()",
    "checkpoint": "look at balance.requests after balance.end_step()",
    "sheet": "look at balance.requests after balance.end_step()",
}


class Requests:
    """Requests of the step under way, or of the last one.

    Args:
        note: keeps a line in the log, under a name.
    """

    def __init__(self, note: Callable[[str, str], None]) -> None:
        self._note: Final = note
        self._standing: list[Request] = []
        self._looked = False
        # Kinds of which it was said that nobody looks.
        self._said: Final[set[str]] = set()
        # Whether an end was requested at any time.
        self.end = False

    def __call__(self, request: Request) -> None:
        """A plugin requests something."""
        self._standing.append(request)
        self._looked = False
        self.end = self.end or request.kind == "end"
        self._note(request.plugin, f"{request.kind}: {request.reason}")

    def look(self) -> tuple[Request, ...]:
        """The host looks at what stands."""
        self._looked = True
        return tuple(self._standing)

    def next_step(self) -> None:
        """Another step begins, or the run ends: what nobody looked at is said, once for each kind."""
        if not self._looked:
            for request in self._standing:
                if request.kind not in self._said:
                    self._said.add(request.kind)
                    line = (
                        f"plugin {request.plugin} requested {'an' if request.kind == 'end' else 'a'} {request.kind} in "
                        f"step {request.step} ({request.reason}), which this script does not grant: {ASK[request.kind]}"
                    )
                    logging.getLogger("balancer").warning(line)
                    self._note("balancer", line)
        self._standing.clear()
