"""A run is read back with its config and its newest good checkpoint, whatever plugins are installed."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest
import torch
from support.point_runs import ran

from balancer import load_run
from balancer.errors import BalancerWarning, CheckpointError, ConfigError
from balancer.record import checkpoint
from balancer.testing import PointsSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("saved") / "run"
    return ran(out, "d_skip", ["model.width=8", "model.points=128", "train.ema_half_life=64"], steps=20)


def test_a_run_is_what_it_was_made_of_and_its_newest_weights(folder: Path) -> None:
    run = load_run(folder)
    assert (run.model, run.plugins, run.step, run.skipped) == ("points", ("d_skip",), 20, ())
    assert run.config == tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    assert run.settings == PointsSettings(width=8, points=128)
    assert run.data == {"training items": 128}
    state = checkpoint.load_latest(folder / "checkpoints").state
    for name in ("generator", "discriminator"):
        weights = getattr(run, name)
        assert weights.keys() == state[name].keys()
        assert all(torch.equal(weights[key], value) for key, value in state[name].items())
    assert run.average is not None and run.average.keys() == run.generator.keys()
    assert not all(torch.equal(run.average[key], value) for key, value in run.generator.items())


def test_the_sizes_of_a_run_are_those_of_its_networks_and_its_data(folder: Path) -> None:
    run = load_run(folder)
    counts = [
        sum(value.numel() for key, value in weights.items() if value.is_floating_point())
        for weights in (run.generator, run.discriminator)
    ]
    assert run.config["run"]["sizes"] == {
        "generator_parameters": counts[0],
        "discriminator_parameters": counts[1],
        "training_items": 128,
    }


def test_plugins_that_are_gone_do_not_matter(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    config = copy / "config.toml"
    config.write_text(config.read_text(encoding="utf-8").replace('"d_skip"', '"gone"'), encoding="utf-8")
    with pytest.warns(BalancerWarning, match=r"config.toml is not as the run wrote it"):
        run = load_run(copy)
    assert run.plugins == ("gone",)
    assert run.settings.width == 8


def test_a_damaged_newest_checkpoint_is_passed_over(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "checkpoints" / "step_00000020" / "state.json").write_text("{}")
    run = load_run(copy)
    assert (run.step, run.checkpoint.name, len(run.skipped)) == (10, "step_00000010", 1)
    assert "state.json is damaged" in run.skipped[0]


def test_what_is_not_such_a_run_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run there \(config\.toml is missing\)"):
        load_run(tmp_path)
    with pytest.raises(ConfigError, match="a run of model points, not of zi2zi"):
        load_run(folder, "zi2zi")
    (tmp_path / "config.toml").write_text('[run]\nmodel = "points"\n')
    with pytest.raises(ConfigError, match=r"run\.model or run\.plugins is missing, so it does not say what ran"):
        load_run(tmp_path)
    shutil.copy(folder / "config.toml", tmp_path)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load_run(tmp_path)
