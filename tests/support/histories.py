"""Invented runs whose trouble is known, as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from balancer.diagnosis.diagnose import Diagnosis, diagnose_history
from balancer.reading.history import History
from balancer.reading.source import Source

Rows = list[tuple[float, dict[str, float]]]


def as_history(rows: Iterable[tuple[float, dict[str, float]]]) -> History:
    history = History()
    for step, row in rows:
        history.add(step, row)
    return history


def run_of(
    signals: Callable[[float, np.random.Generator], dict[str, float]], rows: int = 400, seed: int = 0, first: int = 0
) -> Rows:
    """`rows` rows, 100 steps apart; `signals` takes the time from 0 to 1."""
    random = np.random.default_rng(seed)
    return [(first + index * 100, signals(index / max(rows - 1, 1), random)) for index in range(rows)]


def document_signals(t: float, random: np.random.Generator, weights: tuple[float, float] = (90, 5)) -> dict[str, float]:
    """The source document's case: D at 0.0003–0.01, cheat 4 → 12, L1 ≈ 0.25, const ≈ 0.28, category 0."""
    level = np.log(0.01) + (np.log(0.0003) - np.log(0.01)) * t
    d_loss = float(np.clip(np.exp(level + random.normal(0, 0.5)), 0.0003, 0.01))
    adv = 4 + 8 * t + random.normal(0, 0.3)
    l1 = 0.245 + 0.01 * t + random.normal(0, 0.003)
    const = 0.275 + 0.01 * t + random.normal(0, 0.005)
    return {
        "d_loss": d_loss,
        "adv": adv,
        "l1": l1,
        "const": const,
        "category": 0.0,
        "g_loss": adv + weights[0] * l1 + weights[1] * const,
    }


def healthy_signals(t: float, random: np.random.Generator) -> dict[str, float]:
    """A balanced run: D swings in 0.1–0.4, cheat and G's loss fall slowly."""
    l1 = 0.25 - 0.05 * t + random.normal(0, 0.006)
    const = 0.28 - 0.05 * t + random.normal(0, 0.01)
    adv = 2.6 - 0.8 * t + random.normal(0, 0.3)
    return {
        "d_loss": float(np.clip(0.25 + random.normal(0, 0.05), 0.05, None)),
        "adv": adv,
        "l1": l1,
        "const": const,
        "category": 0.0,
        "g_loss": adv + 90 * l1 + 5 * const,
    }


def judged(rows: Rows, **more: Any) -> Diagnosis:
    """The diagnosis of rows as a log of no known family; `more` are fields of its source, and `stated`."""
    stated = more.pop("stated", None)
    items = more.pop("items", None)
    source = Source("train.log", "log", rows=len(rows), **more)
    return diagnose_history(as_history(rows), source, stated=stated, items=items)


def words(diagnosis: Diagnosis) -> list[str]:
    """The keys of the problems found."""
    return [finding.words for finding in diagnosis.findings]


def remarks(diagnosis: Diagnosis) -> list[str]:
    """The keys of the remarks."""
    return [remark.words for remark in diagnosis.remarks]


def found(diagnosis: Diagnosis, key: str) -> dict[str, float]:
    """The evidence of the one finding of that key."""
    (finding,) = [finding for finding in diagnosis.findings if finding.words == key]
    return dict(finding.evidence)  # type: ignore[arg-type]
