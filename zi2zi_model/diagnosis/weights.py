"""Which weights l1 and const carry in G's loss, and whether they were logged with them: worked out from the sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from balancer.diagnosis import History, g_terms

Floats = npt.NDArray[np.float64]

# Weights of (l1, const) that the family's codes had: class defaults everywhere, and two command lines of the fork.
KNOWN: Final = {"100/15": (100.0, 15.0), "90/5": (90.0, 5.0), "97/15": (97.0, 15.0)}
DEFAULT: Final = KNOWN["100/15"]
# Raw l1 of images in [-1, 1] is 2 at most; weighted by 100 it is far above.
RAW_L1: Final = 2.0
_DECIMALS: Final = {"tf": 5, "port": 5}
_SHARE: Final = 0.8  # of the rows have to fit


@dataclass(frozen=True)
class FoundWeights:
    """What the sums say.

    `by`: "weighted" (the logged terms add up as they stand), "pair" (known weights fit, named by `pair`), "fit"
    (least squares), "inseparable" (sums fit, but l1 and const move together), "nothing" (no weights fit), "unlogged"
    (G's loss or one of its terms is missing). `l1` and `const` are their weights where known.
    """

    by: Literal["weighted", "pair", "fit", "inseparable", "nothing", "unlogged"]
    l1: float | None = None
    const: float | None = None
    pair: str = ""
    others: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Rows:
    """What the weighted l1 and const have to explain, row by row; `low` and `high` bound what else may be in it."""

    l1: Floats
    const: Floats
    left: Floats
    high: Floats
    # Terms whose weight is unknown as well.
    others: Mapping[str, Floats]
    adv_error: Floats
    half_unit: float


def find_weights(history: History, form: str) -> FoundWeights:
    """Compare g_loss with the sum of its logged terms, within print rounding.

    `form` is the log's format, which says how many decimals it prints.
    """
    if any(name not in history for name in ("g_loss", "adv", "l1", "const")):
        return FoundWeights("unlogged")
    rows = _rows(history, 0.5 * 10.0 ** -_DECIMALS.get(form, 4))
    tried = {"weighted": (1.0, 1.0), **KNOWN}
    if not rows.others:
        fits = {name: _fits(rows, *pair) for name, pair in tried.items()}
        best = min((name for name in fits if fits[name][0] >= _SHARE), key=lambda name: fits[name][1], default="")
        if best:
            share, off = fits[best]
            evidence = {"fitting": share, "residual": round(abs(off), 6), "rows": len(rows.left)}
            l1, const = tried[best]
            if best == "weighted":
                return FoundWeights("weighted", evidence=evidence)
            return FoundWeights("pair", l1, const, best, evidence=evidence)
    return _least_squares(rows)


def _rows(history: History, half_unit: float) -> _Rows:
    extra = [name for name in g_terms(history) if name not in ("adv", "l1", "const", "category", "tv")]
    names = ["g_loss", "adv", "l1", "const", *extra]
    names += [name for name in ("category", "tv", "lambda_adv") if name in history]
    steps, on_grid = history.aligned(names)
    keep = np.ones(len(steps), dtype=bool)
    trust: Floats | float = 1.0
    adv_error = np.zeros(len(steps))
    if "lambda_adv" in on_grid:
        trust = on_grid["lambda_adv"]
        series = history["lambda_adv"]
        if series.span > 1 and len(series.values) == len(steps):
            # Where it changed within a span, the mean of the product is not the product of the means.
            steady = series.low == series.high
            if steady.sum() >= 10:
                keep = steady
            else:
                adv_error = (series.high - series.low) * on_grid["adv"]
        adv_error = adv_error + 0.005 * np.abs(on_grid["adv"])  # printed with two decimals
    zero = np.zeros(len(steps))
    category = on_grid.get("category", zero)
    left = on_grid["g_loss"] - trust * on_grid["adv"] - on_grid.get("tv", zero)
    # The category loss in the log is D's, of both halves; that in G's loss is of the generated half, measured later.
    # The later format leaves it out.
    high = 2 * np.abs(category) if "category" in on_grid else np.full(len(steps), 0.1)
    return _Rows(
        on_grid["l1"][keep],
        on_grid["const"][keep],
        left[keep],
        high[keep],
        {name: on_grid[name][keep] for name in extra},
        adv_error[keep],
        half_unit,
    )


def _fits(rows: _Rows, l1: float, const: float) -> tuple[float, float]:
    """Share of the rows that these weights explain, and the median of what they leave."""
    left = rows.left - l1 * rows.l1 - const * rows.const
    rounding = _rounding(rows, l1 + const)
    inside = (left >= -rounding) & (left <= rounding + rows.high)
    return float(inside.mean()), float(np.median(left))


def _rounding(rows: _Rows, weights: float) -> Floats:
    """How far rounded figures can miss their sum; 5 % more for floating point."""
    return 1.05 * rows.half_unit * (weights + 4) + rows.adv_error


def _least_squares(rows: _Rows) -> FoundWeights:
    columns = [rows.l1, rows.const, *rows.others.values()]
    logged_category = rows.high if np.ptp(rows.high) > 0 else None
    if logged_category is not None:
        columns.append(rows.high)
    table = np.stack(columns, axis=1)
    count, width = table.shape
    scale = np.abs(table).mean(axis=0)
    if count < 5 * width or (scale == 0).any():
        return FoundWeights("nothing", evidence={"rows": count})
    solution, _, rank, _ = np.linalg.lstsq(table / scale, rows.left, rcond=1e-9)
    found = solution / scale
    off = rows.left - table @ found
    evidence = {"rows": count, "residual": float(np.median(np.abs(off)))}
    # Rounding of the columns, at three times its spread, and what the category loss may add.
    allowed = _rounding(rows, float(np.abs(found).clip(max=1000).sum())) + 0.5 * rows.high
    if np.mean(np.abs(off) <= allowed) < _SHARE or off.std() > 0.05 * rows.left.std() + float(allowed.max()):
        return FoundWeights("nothing", evidence=evidence)
    if rank < width:
        return FoundWeights("inseparable", evidence=evidence)
    inverse = np.linalg.inv((table / scale).T @ (table / scale))
    spread = np.sqrt(np.diagonal(inverse)) / scale
    noise = max(float(off.std()), rows.half_unit * float(np.abs(found).sum()) / np.sqrt(3))
    errors = 2 * noise * spread
    if logged_category is None:
        # A category loss that is not logged, or a steady one, is taken for a part of any column.
        errors = errors + 3 * float(rows.high.max()) / scale
    # A column that hardly moves by itself is drowned by its own rounding, which pulls its weight towards 0.
    moves = 1 / (spread * np.sqrt(count))
    evidence |= {"l1_error": float(errors[0]), "const_error": float(errors[1])}
    known = 2 + len(rows.others)
    clear = (errors[:known] <= 0.1 * found[:known]) & (moves[:known] > 10 * rows.half_unit)
    if not clear.all():
        if (found[:known] < -errors[:known]).any():
            return FoundWeights("nothing", evidence=evidence)
        return FoundWeights("inseparable", evidence=evidence)
    others = {name: float(value) for name, value in zip(rows.others, found[2:known], strict=True)}
    return FoundWeights("fit", float(found[0]), float(found[1]), others=others, evidence=evidence)
