"""`balancer zi2zi import`: a run goes on where a port stopped, and what an import lacks is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.port_files import FORK, LAYOUTS, files

from balancer.record import checkpoint
from balancer.record.run_config import read_toml
from zi2zi_model.drawing.inference import trained_run
from zi2zi_model.network.ports import read_port

Cli = Callable[..., Any]


@pytest.mark.parametrize("layout", ["EuphoriaYan", "max32002"])
def test_a_run_goes_on_where_the_port_stopped(tmp_path: Path, cli: Cli, layout: str) -> None:
    paths = files(tmp_path, LAYOUTS[layout])
    assert cli("zi2zi", "data", "build", "--out", tmp_path / "set", "--charset", "demo").status == 0
    run = tmp_path / "run"
    data = f"model.data={tmp_path / 'set'}"
    made = cli("zi2zi", "import", *paths, "--out", run, "--config", "document_resume", "--set", data)
    assert made.status == 0, made.err
    assert "imported at step 64010" in made.out
    assert read_toml(run / "config.toml")["train"]["lambda_adv"] == 0.2
    before = checkpoint.load_latest(run / "checkpoints")
    assert before.step == 64010
    port = read_port(*paths)
    assert all(torch.equal(before.state["generator"][key], value) for key, value in port.generator.items())
    draws = trained_run(run).generator.state_dict()
    assert all(torch.equal(draws[key], value) for key, value in port.generator.items())
    went_on = cli("train", "--resume", run, "--steps", 64012)
    assert went_on.status == 0, went_on.err
    after = checkpoint.load_latest(run / "checkpoints")
    assert after.step == 64012
    assert after.state["balance"]["knobs"] is not None
    changed = [not torch.equal(after.state["generator"][key], value) for key, value in port.generator.items()]
    assert any(changed)


def test_an_import_says_what_it_lacks(tmp_path: Path, cli: Cli) -> None:
    generator, discriminator = files(tmp_path, FORK)
    result = cli("zi2zi", "import", generator, discriminator, "--out", tmp_path / "run")
    assert result.status == 2
    assert "which glyphs will it train on?" in result.err
    result = cli(
        "zi2zi", "import", generator, "--out", tmp_path / "run", "--set", "model.pairs=x", "--set", "model.downs=6"
    )
    assert result.status == 2
    assert "model.downs = 6: 64010_net_G.pth has 5" in result.err
    assert not (tmp_path / "run").exists()
