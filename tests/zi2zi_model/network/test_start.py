"""A start from another run: its weights and networks, a row for each new style, and what cannot be started from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from support.zi2zi_runs import TWO_STYLES, arguments, ok, state, zi2zi
from torch import Tensor

from balancer import load_run
from balancer.errors import CheckpointError
from balancer.record.run_config import read_toml
from zi2zi_model.drawing.inference import trained_run
from zi2zi_model.network.model import Zi2zi
from zi2zi_model.network.networks import Generator
from zi2zi_model.network.start import start_from
from zi2zi_model.settings import Zi2ziSettings

Cli = Callable[..., Any]
NEW: dict[str, Any] = {"max_characters": 40, "held_out": 0.2, "charset": "demo"}


@pytest.fixture
def base(trained: Path, tmp_path: Path) -> Path:
    """The run of `trained` where it can be deleted."""
    return shutil.copytree(trained, tmp_path / "base")


def begun(start: Path, **model: Any) -> tuple[Zi2zi, dict[str, Tensor]]:
    """A model that starts from a run, and D's weights as they were before."""
    model_ = zi2zi(**{"max_channels": 64, **NEW, "start": start, **model})
    fresh = deepcopy(model_.discriminator.state_dict())
    model_.begin()
    return model_, fresh


def test_a_new_style_begins_at_the_mean_of_the_trained_ones(trained: Path) -> None:
    model, fresh = begun(trained)
    assert (model.settings.styles, model.settings.style_offset) == (5, 4)
    old = state(trained)
    assert isinstance(model.generator, Generator)
    rows, old_rows = model.generator.embedding.weight.detach(), old["generator"]["embedding.weight"]
    assert torch.equal(rows[:4], old_rows)
    assert torch.allclose(rows[4], old_rows[:2].mean(0))
    assert not torch.allclose(rows[4], old_rows.mean(0))
    for key in ("category.weight", "category.bias"):
        now = model.discriminator.state_dict()[key]
        assert torch.equal(now[:4], old["discriminator"][key])
        assert torch.equal(now[4:], fresh[key][4:])
    for network, name in ((model.generator, "generator"), (model.discriminator, "discriminator")):
        now = network.state_dict()
        assert now.keys() == old[name].keys()
        for key, value in now.items():
            assert key in ("embedding.weight", "category.weight", "category.bias") or torch.equal(value, old[name][key])
    assert set(model.batch(range(4))["style"].tolist()) == {4}
    assert model.data_record()["rows"] == [4]


def test_g_alone_is_taken_and_d_begins_anew(trained: Path) -> None:
    old = state(trained)
    other = {"d_channels": 16, "d_head": "patch", "spectral_norm": True}
    for d_settings in ({}, other):
        model, fresh = begun(trained, start_networks="g", style_offset=0, **TWO_STYLES, **d_settings)
        now = model.generator.state_dict()
        assert all(torch.equal(now[key], value) for key, value in old["generator"].items())
        assert all(torch.equal(model.discriminator.state_dict()[key], value) for key, value in fresh.items())
    assert any(not torch.equal(fresh[key], value) for key, value in old["discriminator"].items() if key in fresh)
    assert list(model.begin()) == [f"starting from {trained.name} at step {load_run(trained).step}, G alone"]


def test_g_alone_must_fit_and_needs_a_run(trained: Path) -> None:
    with pytest.raises(CheckpointError, match=r"networks: model\.g_channels is 8, there 16$"):
        begun(trained, start_networks="g", g_channels=8, d_channels=16)
    with pytest.raises(ValidationError, match="start_networks g does nothing without start"):
        Zi2ziSettings.model_validate({"start_networks": "g"})


def test_several_new_styles_get_a_row_each(trained: Path) -> None:
    model, _ = begun(trained, **TWO_STYLES)
    assert (model.settings.styles, model.settings.style_offset) == (6, 4)
    rows = model.generator.state_dict()["embedding.weight"]
    assert torch.equal(rows[4], rows[5])
    assert set(model.batch(range(30))["style"].tolist()) == {4, 5}


def test_networks_are_those_of_the_run_to_start_from(trained: Path) -> None:
    there, here = read_toml(trained / "config.toml")["model"], Zi2ziSettings.model_validate({"start": trained})
    for key in ("decoder", "norm", "style_dim", "max_channels", "d_channels", "lambda_l1"):
        assert getattr(here, key) == there[key], key
    assert Zi2ziSettings.model_validate({"start": trained, "lambda_l1": 70}).lambda_l1 == 70
    assert here.max_characters is None  # the data are its own


def test_an_offset_of_0_goes_on_with_the_styles_of_the_run(trained: Path) -> None:
    model, _ = begun(trained, style_offset=0, **TWO_STYLES)
    assert model.settings.styles == 4
    old = state(trained)
    for network, name in ((model.generator, "generator"), (model.discriminator, "discriminator")):
        assert all(torch.equal(value, old[name][key]) for key, value in network.state_dict().items())
    assert set(model.batch(range(30))["style"].tolist()) == {0, 1}


def test_without_a_start_nothing_is_loaded() -> None:
    model = zi2zi()
    before = deepcopy(model.generator.state_dict())
    assert start_from(model.settings, model.generator, model.discriminator) == ()
    assert all(torch.equal(before[key], value) for key, value in model.generator.state_dict().items())


def test_a_fine_tuned_run_stands_without_its_base(base: Path, tmp_path: Path, cli: Cli) -> None:
    tuned = tmp_path / "tuned"
    model = {**NEW, "start": base, "freeze_encoder": True}
    words = arguments(tuned, 2, "dynamic_lambda", **model)
    result = ok(cli(*(word for word in words if word != "--quiet")))
    assert "starting from base at step 4, with 1 new style row" in result.out + result.err
    at_start = state(base)
    for key, value in state(tuned)["generator"].items():
        assert not key.startswith("encoder.") or torch.equal(value, at_start["generator"][key]), key

    ok(cli(*arguments(tmp_path / "whole", 4, "dynamic_lambda", **model)))
    shutil.rmtree(base)
    ok(cli("train", "--resume", tuned, "--steps", "4", "--quiet"))
    one, two = (state(run)["generator"] for run in (tmp_path / "whole", tuned))
    assert all(torch.equal(one[key], two[key]) for key in one)

    out = tmp_path / "drawn"
    ok(cli("zi2zi", "infer", tuned, "--text", "永", "--between", "0,4", "--steps", "3", "--out", out, "--json"))
    assert {"永_00.png", "永_01.png", "永_02.png", "between.gif", "between.png"} == {p.name for p in out.iterdir()}
    run = trained_run(tuned)
    assert (run.rows, run.row(None)) == ((4,), 4)
    assert not torch.equal(run.vector(0), run.vector(4))


def test_a_tuned_run_can_be_started_from_again(base: Path, tmp_path: Path, cli: Cli) -> None:
    ok(cli(*arguments(tmp_path / "one", 1, start=base, **NEW)))
    model, _ = begun(tmp_path / "one")
    assert (model.settings.styles, model.settings.style_offset) == (6, 5)


def no_run(base: Path) -> dict[str, Any]:
    return {"start": base.parent}


def no_checkpoint(base: Path) -> dict[str, Any]:
    shutil.rmtree(base / "checkpoints")
    return {"start": base}


def damaged(base: Path) -> dict[str, Any]:
    (base / "config.toml").write_text("[model", encoding="utf-8")
    return {"start": base}


def other_networks(base: Path) -> dict[str, Any]:
    return {"start": base, "downs": 4}


def other_size(base: Path) -> dict[str, Any]:
    return {"start": base, "image_size": 96}


def other_style_dim(base: Path) -> dict[str, Any]:
    return {"start": base, "style_dim": 16}


def fewer_styles(base: Path) -> dict[str, Any]:
    return {"start": base, "styles": 2, "style_offset": 0}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (no_run, "is not the config of a zi2zi run"),
        (no_checkpoint, "there is no checkpoint in"),
        (damaged, "is not the config of a zi2zi run"),
        (other_networks, "does not fit this run's networks: model.downs is 4, there 5\n"),
        (other_size, "does not fit this run's networks: model.image_size is 96, there 64\n"),
        (other_style_dim, "does not fit this run's networks: model.style_dim is 16, there 24\n"),
        (fewer_styles, "does not fit this run's networks: Error(s) in loading state_dict for Generator: size mismatch"),
    ],
)
def test_a_start_that_cannot_be_used_is_refused_in_one_line(
    make: Callable[[Path], dict[str, Any]], said: str, base: Path, tmp_path: Path, cli: Cli
) -> None:
    words = arguments(tmp_path / "run", **{**NEW, **make(base)})
    for _ in range(2):  # nothing is left that would stand in the way of another try
        result = cli(*words)
        assert (result.status, result.err.count("\n")) == (2, 1), result.err
        assert said in result.err


def test_a_run_of_another_model_is_not_a_start(tmp_path: Path, cli: Cli) -> None:
    points = ["train", "--model", "points", "--plugins", "", "--steps", "1", "--quiet", "--device", "cpu"]
    ok(cli(*points, "--out", tmp_path / "points"))
    result = cli(*arguments(tmp_path / "run", start=tmp_path / "points", **NEW))
    assert (result.status, result.err.count("\n")) == (2, 1), result.err
    assert "is not the config of a zi2zi run" in result.err
