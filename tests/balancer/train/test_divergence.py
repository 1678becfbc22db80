"""Divergence: said while it lasts and at the end, with exit status 0; and nothing said of runs that are well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from balancer.testing import toy_trainer
from balancer.train.divergence import STEPS, Divergence

Cli = Callable[..., Any]
POINTS = ("--model", "points", "--steps", 60, "--set", "train.batch_size=64")
ZI2ZI = ("--model", "zi2zi", "--steps", 24)


@pytest.mark.parametrize(
    ("model", "setting", "said"),
    [
        (ZI2ZI, "train.lr=1", "the run has diverged; lower train.lr"),
        (POINTS, "train.lambda_adv=1e6", "its other terms count for nothing: see lambda_adv"),
        (POINTS, "model.lambda_category=1e6", "of G's loss and counts for nothing: see lambda_adv"),
    ],
)
def test_a_run_that_diverges_says_so_meanwhile_and_at_the_end(
    model: tuple[Any, ...], setting: str, said: str, tmp_path: Path, cli: Cli
) -> None:
    args = ("train", *model, "--plugins", "", "--device", "cpu", "--seed", 1, "--set", setting)
    result = cli(*args, "--out", tmp_path / "run")
    assert result.status == 0
    meanwhile, end = [line for line in result.err.splitlines() if said in line]
    assert meanwhile.startswith("warning: step ")
    assert end.removesuffix(" (it has passed since)") == meanwhile
    if model is POINTS:
        assert cli(*args, "--quiet", "--out", tmp_path / "quiet").err == end + "\n"


@pytest.mark.parametrize("plugins", [[], ["dynamic_lambda", "d_lr_ratio"], ["d_skip", "label_smoothing"]])
@pytest.mark.parametrize("adversarial", ["bce", "lsgan", "hinge", "wasserstein", "relativistic"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_that_is_well_hears_nothing(plugins: list[str], adversarial: str, seed: int) -> None:
    if adversarial != "bce" and plugins:
        pytest.skip("these laws are those of BCE")
    trainer = toy_trainer(plugins, {"model": {"adversarial": adversarial}}, seed=seed, lr=5e-3)
    said = []
    while trainer.balance.step < 150:
        trainer.step(trainer.next_batch())
        said.append(trainer.divergence.update(trainer.balance.step, trainer.balance.row))
    assert set(said) == {None}


def test_one_term_alone_is_no_fault_and_a_few_bad_steps_are_none() -> None:
    row = {("g", "adv"): 0.7, ("g", "adv_share"): 1.0, ("knob", "lambda_adv"): 1.0, ("d", "d_adv"): 0.6}
    bad = {**row, ("g", "adv"): 1e5, ("d", "d_adv"): 1e5}
    divergence = Divergence()
    assert {divergence.update(7, row) for _ in range(60)} == {None}
    assert {divergence.update(7, bad) for _ in range(STEPS // 2 - 1)} == {None}
    said = [one for one in (divergence.update(7, bad) for _ in range(60)) if one]
    assert len(said) == 1 and said[0].startswith("step 7: G's losses are ")
    assert divergence.standing[0] == "diverged"
    assert {divergence.update(7, row) for _ in range(STEPS)} == {None}
    assert divergence.standing == ("", "")
    assert divergence.at_the_end == f"{said[0]} (it has passed since)"
