"""Weights with which the terms of G's loss reach stated shares of it, from the raw terms that were measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from balancer.diagnosis.finding import Case
from balancer.diagnosis.trends import curve
from balancer.diagnosis.units import g_terms
from balancer.errors import ConfigError, suggestion

# The source document's own sums, L1 0.25 × 100 = 25, const 0.28 × 15 = 4.2, adv ≈ 10, with its lambda_adv of 0.3.
DOCUMENT_TERMS: Final = {"adv": 0.3 * 10, "l1": 25.0, "const": 4.2}
ASSUMED_BATCH: Final = 16  # zi2zi's, where nothing else is known


@dataclass(frozen=True)
class Weight:
    """One term: its raw level (median of the last fifth of the log), its weight and share now and as proposed."""

    term: str
    raw: float
    weight: float | None
    share: float | None
    new_weight: float
    new_share: float


@dataclass(frozen=True)
class Calibration:
    """Proposed weights; the weight of `reference` is kept, since only proportions matter to Adam.

    `items`, `batch` and `steps_per_epoch` say what the number of characters decides; no weight depends on it.
    """

    reference: str
    weights: tuple[Weight, ...]
    steps: tuple[float, float]
    items: int | None
    batch: int
    # Which terms' targets came from the document, not from the user.
    from_document: bool
    steps_per_epoch: int | None
    # Whether the terms are those of a model that `balancer train` knows.
    ours: bool

    @property
    def far(self) -> tuple[str, ...]:
        """Terms whose weight would change tenfold or more: their raw values hardly count at present."""
        return tuple(row.term for row in self.weights if row.weight and not 0.1 < row.new_weight / row.weight < 10)

    def flags(self) -> list[str]:
        """The settings as `--set` takes them, but for terms that are `far`; none for a model that is not ours."""
        if not self.ours:
            return []
        found = []
        for row in self.weights:
            if row.term != self.reference and row.term not in self.far:
                table = "train" if row.term == "adv" else "model"
                found.append(f"--set {table}.lambda_{row.term}={row.new_weight:.4g}")
        return found


def calibrate(case: Case, shares: Mapping[str, float]) -> Calibration:
    """Weights for target shares of G's loss; without any, those of the source document's case.

    A target w′ of share s follows from the reference term r, which keeps its weight:
    w′ · raw / (w_r · raw_r) = s / s_r. Terms without a target keep their proportions among themselves.

    Raises:
        ConfigError: no raw terms to calibrate, an unknown term, or shares that are not shares.
    """
    levels = _levels(case)
    if len(levels) < 2 or "adv" not in levels:
        raise ConfigError(
            f"--calibrate: {case.source.path} holds {', '.join(levels) or 'no terms'} of G's loss; it takes "
            "adv and one more (name them with --tag, such as --tag adv=loss/G_GAN --tag l1=loss/G_L1)"
        )
    for term in shares:
        if term not in levels:
            raise ConfigError(f"--share {term}: the log has no such term above 0: {suggestion(term, sorted(levels))}")
    now = {term: _weight(case, term) for term in levels}
    whole = sum(level * (now[term] or 0.0) for term, level in levels.items())
    # A term that hardly counts, such as the category loss of one style, has no share to give.
    levels = {
        term: level
        for term, level in levels.items()
        if term in shares or term in DOCUMENT_TERMS or now[term] is None or level * (now[term] or 0.0) >= 1e-3 * whole
    }
    # The heaviest term that is not adversarial: what holds the structure.
    reference = max((term for term in levels if term != "adv"), key=lambda term: levels[term] * (now[term] or 0.0))
    kept = now[reference]
    if kept is None:
        raise ConfigError(
            f"--calibrate: the weight of {reference} is not known; give it with --weight {reference}=VALUE"
        )
    targets = _targets(levels, now, shares)
    total_now = sum(level * (now[term] or 0.0) for term, level in levels.items())
    known = all(weight is not None for weight in now.values())
    rows = []
    for term, raw in levels.items():
        weight = now[term]
        new = kept * levels[reference] * targets[term] / targets[reference] / raw
        share = raw * weight / total_now if known and weight is not None and total_now > 0 else None
        rows.append(Weight(term, raw, weight, share, new, targets[term]))
    structure = case.structure
    items = case.items or (structure.items if structure else None)
    batch = (structure.batch if structure and structure.batch else None) or ASSUMED_BATCH
    per_epoch = case.source.steps_per_epoch
    steps = round(per_epoch) if per_epoch else math.ceil(items / batch) if items else None
    ours = case.source.kind == "run" or bool(case.source.family)
    return Calibration(reference, tuple(rows), _window(case, reference), items, batch, not shares, steps, ours)


def parse_shares(text: str) -> dict[str, float]:
    """`adv=0.1,l1=0.75` as numbers.

    Raises:
        ConfigError: not of that form, or not shares of a whole.
    """
    shares: dict[str, float] = {}
    for item in text.split(","):
        term, equals, value = item.partition("=")
        try:
            shares[term.strip()] = float(value.strip().removesuffix("%")) / (100 if value.strip().endswith("%") else 1)
        except ValueError:
            equals = ""
        if not equals or not term.strip():
            raise ConfigError(f"--share {item.strip()!r}: expected TERM=SHARE, such as adv=0.1")
    if not all(0 < share < 1 for share in shares.values()) or sum(shares.values()) > 1 + 1e-9:
        raise ConfigError(f"--share {text}: shares lie between 0 and 1 and add up to 1 at most")
    return shares


def _levels(case: Case) -> dict[str, float]:
    found = {}
    for term in g_terms(case.history):
        level = float(np.median(curve(case.history[term]).tail(least=1)))
        if level > 1e-6:  # a category loss of 0 has no share to give
            found[term] = level
    return found


def _weight(case: Case, term: str) -> float | None:
    name = f"lambda_{term}"
    if name in case.history:
        return float(case.history[name].values[-1])
    return case.units.weights.get(term)


def _targets(
    levels: Mapping[str, float], now: Mapping[str, float | None], shares: Mapping[str, float]
) -> dict[str, float]:
    if not shares:
        shares = {term: DOCUMENT_TERMS[term] for term in levels if term in DOCUMENT_TERMS}
        whole = sum(shares.values())
        # Terms that the document does not know keep their weights, as far as those are known.
        rest = {term: levels[term] * (now[term] or 0.0) for term in levels if term not in shares}
        left = sum(levels[term] * (now[term] or 0.0) for term in levels)
        other = sum(rest.values()) / left if left else 0.0
        known = {term: share / whole * (1 - other) for term, share in shares.items()}
        return known | {term: value / left if left else 0.0 for term, value in rest.items()}
    open_terms = {term: levels[term] * (now[term] or 0.0) for term in levels if term not in shares}
    left = 1 - sum(shares.values())
    if not open_terms and left > 1e-6:
        raise ConfigError(f"--share: the shares of all {len(shares)} terms must add up to 1, not {1 - left:.3g}")
    if open_terms and left <= 0:
        raise ConfigError(f"--share: nothing is left for {', '.join(open_terms)}")
    whole = sum(open_terms.values())
    if open_terms and whole <= 0:
        raise ConfigError(f"--calibrate: the weights of {', '.join(open_terms)} are not known: give them with --weight")
    return dict(shares) | {term: left * value / whole for term, value in open_terms.items()}


def _window(case: Case, term: str) -> tuple[float, float]:
    part = curve(case.history[term])
    return float(part.steps[-max(1, len(part) // 5)]), part.end
