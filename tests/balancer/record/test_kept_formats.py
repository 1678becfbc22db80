"""Run directories, checkpoints and data sets that earlier versions wrote are read by this one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from balancer import explain, load_run, read_signals
from balancer.record.decisions import read_decisions

FORMATS = Path(__file__).parents[2] / "formats"
VERSIONS = sorted(path.name for path in FORMATS.iterdir() if path.is_dir())


@pytest.fixture(params=VERSIONS)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of what one version wrote."""
    return Path(shutil.copytree(FORMATS / request.param, tmp_path / "kept"))


def test_a_run_and_its_checkpoint_are_read(kept: Path) -> None:
    run = load_run(kept / "run")
    assert (run.step, run.model, run.plugins, run.skipped) == (8, "points", ("d_skip", "dynamic_lambda"), ())
    assert sum(value.numel() for value in run.generator.values()) == 290
    signals = read_signals(kept / "run")
    assert signals["step"].tolist() == list(range(8))
    assert np.isfinite(signals["d_adv"]).all()
    assert signals["d_updates"].sum() == 4
    decisions = [row.plugin for row in read_decisions(kept / "run")]
    assert decisions[:2] == ["d_skip", "dynamic_lambda"]
    assert "d_skip" in str(explain(kept / "run", 3))


def test_a_run_goes_on(kept: Path, cli: Callable[..., Any]) -> None:
    ended = cli("train", "--resume", kept / "run", "--steps", "12", "--quiet")
    assert ended.status == 0, ended.err
    assert read_signals(kept / "run")["step"].tolist() == list(range(12))
    assert load_run(kept / "run").step == 12


@pytest.mark.parametrize(
    "command",
    [
        ("report", "run", "--out", "page.html"),
        ("diagnose", "run"),
        ("explain", "run", "--step", "3"),
        ("replay", "run", "--plugins", "dynamic_lambda"),
        ("zi2zi", "data", "show", "dataset"),
    ],
)
def test_every_command_that_reads_takes_it(
    command: tuple[str, ...], kept: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kept)
    ended = cli(*command)
    assert ended.status == 0, ended.err
