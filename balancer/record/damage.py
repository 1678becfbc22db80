"""What of one file of a run is damaged, in a sentence: how much of it, and between which steps."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Final

from balancer.errors import BalancerWarning

SHOWN: Final = 3  # places that the sentence names


@dataclass
class Damage:
    """Damaged rows, lines or records of a file (`unit`, in the singular), with the first places in words."""

    path: object
    unit: str
    count: int = 0
    places: list[str] = field(default_factory=list)

    def note(self, where: str, count: int = 1) -> None:
        """Count what is damaged at one place."""
        self.count += count
        if len(self.places) <= SHOWN:
            self.places.append(where if len(self.places) < SHOWN else "…")

    def __str__(self) -> str:
        many = f"{self.count:,} damaged {self.unit}s are" if self.count > 1 else f"a damaged {self.unit} is"
        return f"{self.path}: {many} left out ({'; '.join(self.places)}), the rest is used"

    def said(self) -> list[str]:
        """The sentence, where there is something to say."""
        return [str(self)] if self.count else []

    def warn(self) -> None:
        """Say it as a warning, where there is something to say."""
        for sentence in self.said():
            warnings.warn(sentence, BalancerWarning, stacklevel=2)


def between(before: float | None, after: float | None) -> str:
    """Where something lies that cannot say itself at which step, by the steps before and after it."""
    if before is None and after is None:
        return "no step beside it"
    if before is None:
        return f"before step {after:.0f}"
    if after is None:
        return f"after step {before:.0f}"
    return f"step {before:.0f}" if after == before else f"between steps {before:.0f} and {after:.0f}"
