"""A row of the fault matrix: how often something was tried, and what was lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Row:
    """One kind of fault: trials, and each loss in a sentence."""

    kind: str
    tried: int = 0
    lost: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.kind:<64}{self.tried:>7}{self.tried - len(self.lost):>10}{len(self.lost):>6}"


# Of a fresh folder, what is lost; the trials of one row, each with its name.
Trial = tuple[str, Callable[[Path], str]]
