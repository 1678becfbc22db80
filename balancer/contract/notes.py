"""What is said of a run while it goes on, rather than turned: what audits saw, requests, a composition's warnings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

NoteKind = Literal["audit", "request", "composition"]
NOTE_KINDS: Final[tuple[NoteKind, ...]] = get_args(NoteKind)


@dataclass(frozen=True)
class Note:
    """One thing that was said: at which step, of what kind, by whom (a plugin's name, or "balancer"), in one line."""

    step: int
    epoch: int
    kind: NoteKind
    who: str
    text: str
