"""What is said of a run while it goes on, rather than turned: audits, requests of plugins, ways back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

NoteKind = Literal["audit", "request", "rollback"]
NOTE_KINDS: Final[tuple[NoteKind, ...]] = get_args(NoteKind)

# What a plugin may ask of its host.
RequestKind = Literal["end", "checkpoint", "sheet"]
REQUESTS: Final[tuple[RequestKind, ...]] = get_args(RequestKind)


@dataclass(frozen=True)
class Note:
    """One thing that was said: at which step, of what kind, by whom (a plugin's name, or "balancer"), in one line."""

    step: int
    epoch: int
    kind: NoteKind
    who: str
    text: str


@dataclass(frozen=True)
class Request:
    """What a plugin asks of its host: to end the run, to keep a checkpoint, to draw a sheet; and why."""

    kind: RequestKind
    plugin: str
    step: int
    reason: str
