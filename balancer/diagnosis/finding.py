"""What rules find: findings, remarks, and what they are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from balancer.diagnosis.units import Units
from balancer.reading.history import History
from balancer.reading.source import Source

Confidence = Literal["high", "medium", "low"]
Figure = float | int | str


@dataclass(frozen=True)
class Finding:
    """Something that a rule saw.

    `rule` names it; `variant` picks among several wordings of one rule. `evidence` are the figures that
    its words mention. `steps` is the range it holds for. `weight` orders findings, most important first
    (100 at most); a remark has neither weight nor remedy: it explains what was worked out.
    `remedies` are names of `balancer.diagnosis.remedies`, the first one first.
    """

    rule: str
    evidence: Mapping[str, Figure] = field(default_factory=dict)
    steps: tuple[float, float] | None = None
    confidence: Confidence = "medium"
    weight: int = 0
    variant: str = ""
    remedies: tuple[str, ...] = ()
    remark: bool = False

    @property
    def words(self) -> str:
        """The key of its words in the tables of words."""
        return f"{self.rule}.{self.variant}" if self.variant else self.rule


@dataclass(frozen=True)
class Structure:
    """What is known of the networks and the data, from a run or a checkpoint.

    Parameters are counts; `attention` names the levels with self-attention, such as ("512ch@12px",);
    `items` is the number of training items, `batch` that of a step.
    """

    g_parameters: int | None = None
    d_parameters: int | None = None
    attention: tuple[str, ...] | None = None
    items: int | None = None
    batch: int | None = None
    facts: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """What rules look at: the signals in known units, where they come from, and what is known of the model.

    `import_command` is the one that makes a run directory of a foreign log's networks, where there is one.
    """

    history: History
    source: Source
    units: Units
    structure: Structure | None = None
    items: int | None = None
    import_command: str | None = None


Rule = Callable[[Case], Iterable[Finding]]


@dataclass(frozen=True)
class NamedRule:
    """A rule with what it needs: signals, and rows of each; with less it is not judged, and said so."""

    name: str
    judge: Rule
    needs: tuple[str, ...] = ()
    rows: int = 1


@dataclass(frozen=True)
class NotJudged:
    """A rule that the log does not support: which signal is missing or too short."""

    rule: str
    missing: tuple[str, ...]
    rows: int
    needed: int


def rule(name: str, *, needs: Iterable[str] = (), rows: int = 1) -> Callable[[Rule], NamedRule]:
    """Make a function a rule of that name."""
    return lambda function: NamedRule(name, function, tuple(needs), rows)


def judge(rules: Iterable[NamedRule], case: Case) -> tuple[list[Finding], list[NotJudged]]:
    """What the rules find, most important first, and which of them the log does not support."""
    found: list[Finding] = []
    left: list[NotJudged] = []
    for named in rules:
        missing = tuple(name for name in named.needs if name not in case.history)
        rows = min((case.history[name].count for name in named.needs if name not in missing), default=0)
        if missing or (named.needs and rows < named.rows):
            left.append(NotJudged(named.name, missing, rows, named.rows))
            continue
        found += named.judge(case)
    found.sort(key=lambda finding: (finding.remark, -finding.weight))
    return found, left
