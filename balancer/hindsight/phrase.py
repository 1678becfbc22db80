"""What is to be said of a run in hindsight, as data: which words, with which figures; `balancer.show` says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from balancer.contract.knobs import Value

Figure = Value | str | None


@dataclass(frozen=True)
class Phrase:
    """The key of its words in the tables of words, the figures that they mention, and the phrases that follow it."""

    words: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    then: tuple[Phrase, ...] = ()


def phrase(words: str, /, *then: Phrase, **figures: Figure) -> Phrase:
    """A phrase with its figures."""
    return Phrase(words, figures, then)
