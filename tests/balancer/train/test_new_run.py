"""A run directory is begun from weights of elsewhere, as the user asked for it, and goes on from there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.point_runs import ran

from balancer import NewRun, load_run
from balancer.errors import CheckpointError, ConfigError
from balancer.record import checkpoint

Cli = Callable[..., Any]
ITEMS = ["model.points=128", "train.batch_size=32", "train.device=cpu"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_run(ran(tmp_path_factory.mktemp("base") / "run", "", ["model.width=8"], steps=5))


def test_it_holds_the_weights_the_step_and_what_was_asked_for(base: Any, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "run"
    new = NewRun(out, model="points", config="document_resume", settings=[*ITEMS, "train.seed=7"], plugins=["d_skip"])
    assert new.asked == {"points": 128}
    new.begin(base.generator, base.discriminator, step=500, settings={"width": 8})
    made = load_run(out)
    assert (made.step, made.plugins, made.settings.width, made.config["train"]["seed"]) == (500, ("d_skip",), 8, 7)
    assert made.config["train"]["lambda_adv"] == 0.2, "as the recipe says"
    assert made.config["run"]["sizes"]["training_items"] == 128
    for name in ("generator", "discriminator"):
        weights, given = getattr(made, name), getattr(base, name)
        assert all(torch.equal(weights[key], value) for key, value in given.items())
    went_on = cli("train", "--resume", out, "--steps", 503, "--quiet")
    assert went_on.status == 0, went_on.err
    assert load_run(out).step == 503


def test_without_a_discriminator_one_starts_untrained(base: Any, tmp_path: Path) -> None:
    NewRun(tmp_path / "run", model="points", settings=ITEMS).begin(base.generator, settings={"width": 8})
    made = load_run(tmp_path / "run")
    assert made.step == 0
    assert all(torch.equal(made.generator[key], value) for key, value in base.generator.items())
    assert not all(torch.equal(made.discriminator[key], value) for key, value in base.discriminator.items())


def test_weights_that_do_not_fit_and_a_used_directory_are_refused(base: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"the weights do not fit model points: .*size mismatch"):
        NewRun(tmp_path / "run", model="points", settings=ITEMS).begin(base.generator)
    assert not (tmp_path / "run").exists()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine").write_text("")
    with pytest.raises(ConfigError, match="exists"):
        NewRun(tmp_path / "used", model="points")


def test_one_that_was_broken_off_begins_anew_and_one_at_a_time(base: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def begin(save: Callable[..., object]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(checkpoint, "save", save)
            NewRun(out, model="points", settings=ITEMS).begin(base.generator, settings={"width": 8})

    def broken_off(*args: Any, **more: Any) -> None:
        beside = "from balancer.record.claim import locked; from pathlib import Path; import sys\n"
        said = subprocess.run(
            [sys.executable, "-c", f"{beside}with locked(Path(sys.argv[1])): pass", str(out)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert f"run directory {out} is in use: process {os.getpid()} on " in said.stderr
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin(broken_off)
    assert (out / "config.toml").exists()
    begin(checkpoint.save)
    assert load_run(out).step == 0
