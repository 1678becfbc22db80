"""`balancer zi2zi compare`: nobody is named inside the noise of seeds, and what cannot be compared is refused."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.zi2zi_runs import arguments, call, ok

from zi2zi_model.judges.figures import FIGURES

Cli = Callable[..., Any]
RUN: dict[str, Any] = {"charset": "demo", "max_characters": 60, "held_out": 0.3, "g_channels": 8, "max_channels": 32}
SEEDS = (0, 1, 2, 3, 4)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five runs each of a setting, `plain/N`, of the same from other random numbers, and of one that hardly learns."""
    folder = tmp_path_factory.mktemp("seeds")
    # One more row of the embedding, which no style uses, makes all random numbers others.
    for name, rate, rows in (("plain", "2e-3", 8), ("other", "2e-3", 9), ("slow", "1e-5", 8)):
        for seed in SEEDS:
            options = ("--set", f"train.seed={seed}", "--set", f"train.lr={rate}")
            call(*arguments(folder / name / str(seed), 30, **RUN, styles=rows), *options)
    return folder


def test_two_seeds_of_one_setting_name_nobody(seeds: Path, tmp_path: Path, cli: Cli) -> None:
    """All ten pairs that five runs make."""
    for one, two in itertools.combinations(SEEDS, 2):
        pair = (seeds / "plain" / str(one), seeds / "plain" / str(two))
        result = json.loads(ok(cli("zi2zi", "compare", *pair, "--out", tmp_path / "pair.png", "--json")).out)
        assert [*result["closer"]] == [*FIGURES]
        assert not any(result["closer"].values())
        assert not any(result["closer by"].values())
        assert result["verdict"].startswith("One run a side names no winner")
        figures = [run["figures"] for run in result["runs"]]
        assert figures[0]["L1"] != figures[1]["L1"]


def test_a_setting_against_itself_over_several_seeds_names_nobody(seeds: Path, tmp_path: Path, cli: Cli) -> None:
    """Two seeds a side, ten times, and five."""
    for number, chosen in enumerate([*itertools.combinations(SEEDS, 2), SEEDS]):
        sides = [tmp_path / str(number) / name for name in ("plain", "other")]
        for side in sides:
            for seed in chosen:
                shutil.copytree(seeds / side.name / str(seed), side / str(seed))
        result = json.loads(ok(cli("zi2zi", "compare", *sides, "--out", tmp_path / "pair.png", "--json")).out)
        assert result["seeds"] == [*chosen]
        assert not any(result["closer"].values()), result["closer by"]
        assert result["verdict"].startswith(f"Neither came closer: over {len(chosen)} seeds")


def test_what_every_seed_shows_is_named(seeds: Path, tmp_path: Path, cli: Cli) -> None:
    words = ("zi2zi", "compare", seeds / "slow", seeds / "plain", "--out", tmp_path / "pair.png")
    result = json.loads(ok(cli(*words, "--json")).out)
    assert result["seeds"] == [*SEEDS]
    assert result["closer"]["L1"] == "plain"
    low, high = result["closer by"]["L1"]
    slow, plain = (np.array([row["L1"] for row in run["of each run"]]) for run in result["runs"])
    assert 0 < low < (slow - plain).mean() < high
    # Each is named by the sign of its interval, and by nothing else.
    for name, interval in result["closer by"].items():
        named = {"plain": interval is not None and interval[0] > 0, "slow": interval is not None and interval[1] < 0}
        assert named == {label: result["closer"][name] == label for label in named}
    printed = ok(cli(*words)).out
    assert ", 5 seeds a side\n" in printed
    assert "plain came closer to the target by " in printed
    assert printed.count("…") == sum(interval is not None for interval in result["closer by"].values())


def test_runs_that_cannot_be_compared(seeds: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plain = seeds / "plain"
    ok(cli(*arguments(tmp_path / "raw", 1, **RUN, align="none")))
    shutil.copytree(plain / "0", tmp_path / "twice" / "a")
    shutil.copytree(plain / "0", tmp_path / "twice" / "b")
    shutil.copytree(plain / "0", tmp_path / "mixed" / "a")
    shutil.copytree(seeds / "slow" / "1", tmp_path / "mixed" / "b")
    shutil.copytree(plain / "0", tmp_path / "fewer" / "0")
    shutil.copytree(plain / "1", tmp_path / "fewer" / "1")
    for first, second, message in (
        (plain, plain, "one and the same run"),
        (plain / "0", Path("raw"), "differ in their glyph data"),
        (plain / "0", Path("nowhere"), "no run there"),
        (plain, Path("twice"), "two of its runs have the seed 0, a and b"),
        (plain, Path("mixed"), "its runs differ in more than their seed: train.lr"),
        (plain, Path("fewer"), "paired by their seeds, which differ: [0, 1, 2, 3, 4] in "),
    ):
        result = cli("zi2zi", "compare", first, second)
        assert result.status == 2
        assert message in result.err and result.err.count("\n") == 1
    assert not Path("compare.png").exists()
