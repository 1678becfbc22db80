"""Lines that are read hundreds at a time say what they say when they are read one by one."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import balancer
from balancer.reading.alike import Alike

ROWS = 6000
FORMS: dict[str, Callable[[int, random.Random], str]] = {
    "a unit behind a figure": lambda n, r: (
        f"it={10 * n} lossD={r.uniform(0.4, 0.8):.5f} lossG={r.uniform(0.6, 3):.5f} speed={r.uniform(3, 5):.2f}it/s"
    ),
    "a bar": lambda n, r: (
        f"Epoch 3: 45%|####5   | {n}/9000 [00:12<00:15, {r.uniform(30, 36):.1f}it/s, d_loss={r.uniform(0.4, 0.8):.3f}, "
        f"g_loss={r.uniform(0.6, 3):.3f}]"
    ),
    "a name that changes": lambda n, r: (
        f"step {n}: d_loss: {r.uniform(0.4, 0.8):.4f} g_loss: {r.uniform(0.6, 3):.4f} {1 + n // 3000}d_extra: 0.5000"
    ),
    "seconds without a point": lambda n, r: (
        f"step {n}: d_loss: {r.uniform(0.4, 0.8):.4f} g_loss: {r.uniform(0.6, 3):.4f} time: {r.randrange(9)}s"
    ),
    "decimals that change": lambda n, r: (
        f"step {n}: d_loss: {r.uniform(0.4, 0.8):.{3 + n // 2500}f} g_loss: {r.uniform(0.6, 3):.4f}"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_they_are_read_alike(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, path = random.Random(4), tmp_path / "train.log"
    path.write_text("".join(FORMS[form](n, draw) + "\n" for n in range(ROWS)))
    at_once = balancer.diagnose(path).case
    monkeypatch.setattr(Alike, "learn", lambda self, line: None)
    one_by_one = balancer.diagnose(path).case
    assert at_once.source == one_by_one.source
    assert at_once.history.series.keys() == one_by_one.history.series.keys()
    for name, series in one_by_one.history.series.items():
        for part in ("steps", "last_steps", "values", "low", "high"):
            assert np.array_equal(getattr(at_once.history[name], part), getattr(series, part)), (name, part)
    assert at_once.source.kept == ROWS
