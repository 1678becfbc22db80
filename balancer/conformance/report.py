"""What a conformance run found: named checks, each passed, failed or with a remark."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["pass", "FAIL", "remark"]


@dataclass(frozen=True)
class Check:
    """One promise, and how it stands; the sentence says what was seen, where, and what to do."""

    name: str
    outcome: Outcome
    sentence: str

    def __str__(self) -> str:
        return f"{self.outcome:<6} {self.name}: {self.sentence}"


@dataclass(frozen=True)
class Report:
    """All checks of one plugin, in the order they were made."""

    plugin: str
    checks: tuple[Check, ...]

    @property
    def failures(self) -> tuple[Check, ...]:
        """The promises that are broken."""
        return tuple(check for check in self.checks if check.outcome == "FAIL")

    @property
    def passed(self) -> bool:
        """Whether none is broken."""
        return not self.failures

    def strict(self) -> Report:
        """The same with every remark as a failure."""
        checks = (
            Check(one.name, "FAIL" if one.outcome == "remark" else one.outcome, one.sentence) for one in self.checks
        )
        return Report(self.plugin, tuple(checks))

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data, for JSON."""
        rows = [{"name": one.name, "outcome": one.outcome, "sentence": one.sentence} for one in self.checks]
        return {"plugin": self.plugin, "passed": self.passed, "checks": rows}


def judged(name: str, faults: Iterable[str], kept: str, outcome: Outcome = "FAIL") -> list[Check]:
    """A check for each fault, or one that says what was kept."""
    found = [Check(name, outcome, " ".join(fault.split())) for fault in dict.fromkeys(faults)]
    return found or [Check(name, "pass", kept)]


def sentence_of(error: BaseException) -> str:
    """An exception as one line, with the notes that say whose it is."""
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    text = f"{error}" if type(error).__module__ == "balancer.errors" else f"{type(error).__name__}: {error}"
    return " ".join(f"{text}{notes}".split())[:600]
