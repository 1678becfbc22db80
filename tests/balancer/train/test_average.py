"""The moving average of G's weights: how much a step keeps, what it begins with, and which runs have one."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.point_runs import ran

from balancer import NewRun, load_run
from balancer.testing import same_weights, toy_trainer
from balancer.train.average import kept

Cli = Callable[..., Any]


def steps(trainer: Any, count: int) -> Any:
    while trainer.balance.step < count:
        trainer.step(trainer.next_batch())
    return trainer


def test_a_half_life_is_when_half_is_left() -> None:
    assert kept(8, 800, 10**6) ** (800 / 8) == pytest.approx(0.5)
    assert kept(16, 10_000, 10**6) == pytest.approx(0.5 ** (16 / 10_000))


@pytest.mark.parametrize("items", [8, 400, 2_400, 15_999])
def test_until_then_half_is_left_after_a_twentieth_of_the_items_so_far(items: int) -> None:
    assert kept(8, 800, items) == pytest.approx(0.5 ** (8 / (0.05 * items)))
    assert kept(8, 800, items) < kept(8, 800, 16_000) == kept(8, 800, 10**9)


def test_a_short_run_draws_with_nothing_of_its_first_weights() -> None:
    left = {}
    for count in (100, 300):
        left[count] = 1.0
        for step in range(1, count):
            left[count] *= kept(8, 800, 8 * step)
    assert max(left.values()) < 1e-6
    # A fixed decay would have left half of them after 100 steps.
    assert kept(8, 800, 10**9) ** 99 == pytest.approx(0.5, abs=0.01)


def test_the_average_follows_g_from_its_first_step_on() -> None:
    trainer = toy_trainer([], ema_half_life=64.0)
    assert trainer.average is not None
    expected = torch.zeros(())
    for step in range(1, 80):
        steps(trainer, step)
        now = torch.cat([p.detach().flatten() for p in trainer.G.parameters()])
        # A batch of 32 items is half a half-life, as soon as 20 half-lives have passed.
        share = 0.5 ** (32 / min(64.0, 0.05 * 32 * (step - 1))) if step > 1 else 0.0
        expected = share * expected + (1 - share) * now
        average = torch.cat([p.flatten() for p in trainer.average.module.parameters()])
        assert torch.allclose(average, expected, atol=1e-5), step
    assert share == pytest.approx(0.5**0.5)


def test_the_average_changes_nothing_of_the_training() -> None:
    assert same_weights(steps(toy_trainer([], ema_half_life=100.0), 4), steps(toy_trainer([]), 4))


def test_a_resumed_average_goes_on_where_it_was() -> None:
    one = steps(toy_trainer([], ema_half_life=100.0), 9).average.state_dict()
    state = steps(toy_trainer([], ema_half_life=100.0), 5).state_dict()
    again = toy_trainer([], ema_half_life=100.0)
    again.load_state_dict(state)
    two = steps(again, 9).average.state_dict()
    assert int(one["n_averaged"]) == 9
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_zero_is_no_average() -> None:
    assert toy_trainer([], ema_half_life=0.0).average is None


def test_an_average_can_begin_in_a_run_that_had_none(tmp_path: Path, cli: Cli) -> None:
    run = ran(tmp_path / "run", "", [], steps=4)
    change = ["--set", "train.ema_half_life=100", "--allow-change", "train.ema_half_life"]
    assert cli("train", "--quiet", "--resume", run, "--steps", "8", *change).status == 0
    assert load_run(run).average is not None


def test_a_run_of_given_weights_draws_with_them(tmp_path: Path) -> None:
    base = load_run(ran(tmp_path / "base", "", [], steps=4))
    items = ["train.ema_half_life=64", "train.device=cpu"]
    NewRun(tmp_path / "run", model="points", settings=items).begin(base.generator, settings=base.config["model"])
    average = load_run(tmp_path / "run").average
    assert average is not None
    assert all(torch.equal(average[key], value) for key, value in base.generator.items())


# zi2zi keeps one of its own accord.

ZI2ZI = (
    "--plugins",
    "",
    "--device",
    "cpu",
    "--quiet",
    "--set",
    "model.max_characters=12",
    "--set",
    "model.held_out=0.3",
)


def begun(cli: Cli, run: Path, *words: object) -> Path:
    result = cli("train", *ZI2ZI, "--steps", 1, "--out", run, *words)
    assert result.status == 0, result.err
    return run


def half_life(run: Path) -> float | None:
    value: float | None = tomllib.loads((run / "config.toml").read_text())["train"].get("ema_half_life")
    return value


def of_before(run: Path) -> Path:
    """Take the setting out of a run's config, as runs have it that began where there was no such default."""
    config = run / "config.toml"
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(line for line in lines if not line.startswith("ema_half_life")))
    return run


def test_a_run_says_which_it_has_and_zero_switches_it_off(tmp_path: Path, cli: Cli) -> None:
    on = begun(cli, tmp_path / "on")
    assert half_life(on) == 800 and load_run(on).average is not None
    off = begun(cli, tmp_path / "off", "--set", "train.ema_half_life=0")
    assert half_life(off) == 0 and load_run(off).average is None


def test_a_run_of_before_goes_on_without_one_and_so_does_its_config(tmp_path: Path, cli: Cli) -> None:
    config = of_before(begun(cli, tmp_path / "new", "--set", "train.ema_half_life=0")) / "config.toml"
    old = begun(cli, tmp_path / "old", "--config", config)
    assert half_life(old) is None and load_run(old).average is None
    result = cli("train", "--resume", old, "--steps", 2, "--quiet")
    assert result.status == 0, result.err
    assert half_life(old) is None and load_run(old).average is None
    on = begun(cli, tmp_path / "on", "--config", config, "--set", "train.ema_half_life=40")
    assert half_life(on) == 40 and load_run(on).average is not None
