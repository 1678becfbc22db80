"""Codes that let G learn alone first print 0 for D's loss until then: nothing is won or lost before D begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import balancer

Line = Callable[[int, float], str]
BEFORE: dict[str, Line] = {
    "a progress bar of taming": lambda n, r: (
        f"Epoch 0:  {n}%|### | {50 * n}/9000 [10:00<12:00, 1.67it/s, loss=0.46, v_num=0, "
        f"train/aeloss_step={0.5 - n / 400 + r / 99:.3f}, train/discloss_step=0.000]"
    ),
    "logits of a new D": lambda n, r: (
        f"[{30000 + 100 * n}] train/total_loss: {0.6 - n / 400:.4f} train/nll_loss: {0.5 - n / 400:.4f} "
        f"train/disc_loss: 0.0000 train/logits_real: {r / 20:.4f} train/logits_fake: {r / 30 + 0.02:.4f}"
    ),
    "no weight yet": lambda n, r: (
        f"step {70000 + 100 * n} total_loss: {0.6 - n / 400:.4f} rec_loss: {0.3 - n / 900:.4f} disc_loss: 0.000 "
        f"lambda_adv: 0.0"
    ),
    "a script from its first step": lambda n, r: f"step {50 * n}: loss_D: 0.0000 loss_G: {1.2 - n / 300 + r / 50:.4f}",
    "halves": lambda n, r: f"iter {50 * n} D_real: 0.0 D_fake: 0.0 l1: {0.3 - n / 900 + r / 99:.4f}",
}
WON: dict[str, Line] = {
    "logits far apart": lambda n, r: (
        f"[{30000 + 100 * n}] train/total_loss: {0.6 + r / 99:.4f} train/disc_loss: 0.0000 "
        f"train/logits_real: {3 + r / 9:.4f} train/logits_fake: {-3 + r / 9:.4f}"
    ),
    "probabilities far apart": lambda n, r: (
        f"step {30000 + 100 * n}: d_loss: 0.000 D(x): 0.999 D(G(z)): 0.00{n % 3} l1: {0.2 + r / 300:.4f}"
    ),
    "late in a script": lambda n, r: f"step {90000 + 50 * n}: loss_D: 0.0000 loss_G: {9.2 + r / 5:.4f}",
}


def judged(path: Path, line: Line) -> balancer.Diagnosis:
    random = np.random.default_rng(7)
    path.write_text("".join(line(n, random.standard_normal()) + "\n" for n in range(80)))
    return balancer.diagnose(path)


@pytest.mark.parametrize("name", BEFORE)
def test_a_d_that_has_not_begun_has_not_won(name: str, tmp_path: Path) -> None:
    made = judged(tmp_path / "train.log", BEFORE[name])
    assert made.keys == set()
    assert made.verdict.words == "verdict.not_begun"
    assert "d_units.not_begun" in {remark.words for remark in made.remarks}


@pytest.mark.parametrize("name", WON)
def test_a_d_at_zero_has_won_where_its_outputs_say_so_or_the_log_begins_late(name: str, tmp_path: Path) -> None:
    made = judged(tmp_path / "train.log", WON[name])
    assert "saturated.lasting" in made.keys and made.verdict.words != "verdict.not_begun"


def test_what_else_goes_wrong_before_d_begins_is_found(tmp_path: Path) -> None:
    made = judged(tmp_path / "train.log", lambda n, r: f"step {50 * n}: loss_D: 0.0 l1: {'nan' if n > 40 else 0.3}")
    assert made.verdict.words == "verdict.back"
