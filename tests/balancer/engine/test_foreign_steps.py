"""Twelve training steps in the print and order of codes in use: balanced in eight lines, bit-equal without plugins."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.stripped import Balanced, adam_steps, marked, run_balanced, run_stripped, stripped, weights

from balancer.errors import BalancerWarning

FOREIGN = Path(__file__).parents[2] / "support" / "foreign"
PLUGINS = ["dynamic_lambda", "d_lr_ratio", "d_skip"]
SETTINGS = {"dynamic_lambda": {"warmup_steps": 2}}


@dataclass(frozen=True)
class Step:
    """What a script calls its optimizers, and what its own loss of D is for a step that is logged."""

    d: str
    g: str
    # Its loss of D when its outputs do not depend on its inputs and it is best at that; d_adv is ln 2 then.
    chance: float = math.log(2.0)
    rows: int = 15
    # Micro-batches to an update; updates of G in a step with both.
    parts: int = 1
    g_updates: int = 1
    # Rows without D at the start, and rows with an update of G.
    first: int = 0
    every: int = 1


STEPS = {
    "accelerate_accumulate": Step("disc_optimizer", "gen_optimizer", rows=12, parts=2),
    "amp": Step("optD", "optG", rows=20),
    "dcgan": Step("optimizerD", "optimizerG", 2 * math.log(2.0)),
    "ddp": Step("optimizerD", "optimizerG", rows=12),
    "esrgan": Step("optimizer_D", "optimizer_G", rows=16, first=4),
    "gan": Step("optimizer_D", "optimizer_G"),
    "hifigan": Step("optim_d", "optim_g", 4 * 0.5),
    "lightning_manual": Step("opt_d", "opt_g"),
    "pix2pix": Step("optimizer_D", "optimizer_G", 0.25, rows=12),
    "vqgan": Step("opt_disc", "opt_ae", 1.0),
    "wgan_gp": Step("optimizer_D", "optimizer_G", 2.0, rows=20, every=5),
    "zi2zi": Step("optimizerD", "optimizerG", 2 * math.log(2.0), rows=12, g_updates=2),
}
HERE = sorted(STEPS.keys() - {"ddp"})  # which takes two processes


def source(name: str) -> str:
    return (FOREIGN / f"{name}.py").read_text(encoding="utf-8")


def own_d_adv(step: Step, losses: list[float]) -> list[float]:
    """The script's own loss of D, step by step, on the scale of `d_adv`."""
    parts = [losses[at : at + step.parts] for at in range(0, len(losses), step.parts)]
    return [math.log(2.0) * sum(part) / len(part) / step.chance for part in parts]


@pytest.fixture(scope="module", params=HERE)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def watched(name: str, tmp_path_factory: pytest.TempPathFactory) -> Balanced:
    return run_balanced(FOREIGN / f"{name}.py", tmp_path_factory.mktemp("watched") / name, [])


@pytest.fixture(scope="module")
def acting(name: str, tmp_path_factory: pytest.TempPathFactory) -> Balanced:
    folder = tmp_path_factory.mktemp("acting") / name
    if name != "esrgan":
        return run_balanced(FOREIGN / f"{name}.py", folder, PLUGINS, SETTINGS)
    with pytest.warns(BalancerWarning, match=r"lambda_adv is 0\.005 in this script"):  # as it is in ESRGAN's own
        return run_balanced(FOREIGN / f"{name}.py", folder, PLUGINS, SETTINGS)


def test_twelve_steps_are_there() -> None:
    assert sorted(STEPS) == sorted(path.stem for path in FOREIGN.glob("*.py"))
    assert len(STEPS) == 12


@pytest.mark.parametrize("name", STEPS)
def test_eight_lines_are_balancers_and_without_them_nothing_is(name: str) -> None:
    assert len(marked(source(name))) <= 8
    assert "balance" not in stripped(source(name)).lower()


def test_without_plugins_the_bits_are_the_scripts(name: str, watched: Balanced) -> None:
    before = run_stripped(FOREIGN / f"{name}.py")
    assert weights(watched.names) == weights(before)
    assert watched.names["losses_d"] == before["losses_d"]


def test_a_row_for_each_step_has_the_scripts_own_loss(name: str, watched: Balanced) -> None:
    step, columns = STEPS[name], watched.columns
    assert columns["step"].tolist() == list(range(step.rows))
    assert columns["d_adv"].tolist()[step.first :] == pytest.approx(
        own_d_adv(step, watched.names["losses_d"]), abs=1e-4
    )
    assert not (columns["d_adv"][: step.first] > 0).any()


def test_updates_are_those_that_adam_counts(name: str, watched: Balanced, acting: Balanced) -> None:
    step = STEPS[name]
    for run in (watched, acting):
        assert run.balance.d_updates == adam_steps(run.names[step.d]) == run.columns["d_updates"].sum()
        assert run.balance.g_updates == adam_steps(run.names[step.g]) == run.columns["g_updates"].sum()
    if name != "amp":
        assert watched.balance.d_updates == step.rows - step.first
        assert watched.balance.g_updates == math.ceil(step.rows / step.every) * step.g_updates


def test_plugins_turn_what_they_say(name: str, acting: Balanced) -> None:
    step, columns = STEPS[name], acting.columns
    assert columns["step"].tolist() == list(range(step.rows))
    due = [float(at % 2 == 0 and at >= step.first) for at in range(step.rows)]
    assert columns["d_update"].tolist() == [float(at % 2 == 0) for at in range(step.rows)]
    if name != "amp":
        assert columns["d_updates"].tolist() == due
    assert columns["lr_d"].tolist() == pytest.approx((0.25 * columns["lr_g"]).tolist())
    turned = {round(rate, 12) for rate in acting.d_rates}
    assert turned <= {round(rate, 12) for rate in columns["lr_d"].tolist()}
    assert 0.25 in columns["lambda_adv"]
    assert (columns["lambda_adv"] != 0.25).any()


def test_overflows_are_no_updates(tmp_path: Path) -> None:
    run = run_balanced(FOREIGN / "amp.py", tmp_path / "log", [])
    updates = zip(run.columns["d_updates"].tolist(), run.columns["g_updates"].tolist(), strict=True)
    assert set(updates) == {(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)}


def test_a_critic_has_its_gap_as_the_script_has_its_loss(tmp_path: Path) -> None:
    critic = source("wgan_gp").replace('ADVERSARIAL = "hinge"', 'ADVERSARIAL = "wasserstein"')
    path = FOREIGN / "wgan_gp.py"
    watched = run_balanced(path, tmp_path / "watched", [], source=critic, supplies=())
    assert weights(watched.names) == weights(run_stripped(path, critic))
    assert "d_adv" not in watched.columns
    gaps = [-loss for loss in watched.names["losses_d"]]
    assert watched.columns["critic_gap"].tolist() == pytest.approx(gaps, abs=1e-4)
    acting = run_balanced(path, tmp_path / "acting", PLUGINS[1:], source=critic, supplies=())
    assert acting.balance.d_updates == adam_steps(acting.names["optimizer_D"]) == 10


def test_a_relativistic_average_has_the_scripts_own_loss(tmp_path: Path) -> None:
    relative = source("esrgan").replace('ADVERSARIAL = "bce"', 'ADVERSARIAL = "relativistic_average"')
    path = FOREIGN / "esrgan.py"
    watched = run_balanced(path, tmp_path / "watched", [], source=relative)
    assert weights(watched.names) == weights(run_stripped(path, relative))
    assert watched.columns["d_adv"][4:].tolist() == pytest.approx(watched.names["losses_d"], abs=1e-4)


DRIVER = """
import hashlib, json, os, sys
from pathlib import Path

import torch
from support.stripped import adam_steps, run_balanced, run_stripped, weights

torch.distributed.init_process_group("gloo")
script, folder, rank = Path(sys.argv[1]), Path(sys.argv[2]), torch.distributed.get_rank()
before = run_stripped(script)
watched = run_balanced(script, folder / "watched", [])
acting = run_balanced(script, folder / "acting", json.loads(sys.argv[3]), json.loads(sys.argv[4]))
answer = {
    "weights": [weights(names) for names in (before, watched.names, acting.names)],
    "losses": watched.names["losses_d"],
    "counted": [[run.balance.d_updates, run.balance.g_updates] for run in (watched, acting)],
    "adam": [[adam_steps(run.names[f"optimizer{role}"]) for role in "DG"] for run in (watched, acting)],
    "d_adv": [row["signal/d_adv"] for row in watched.rows],
    "knobs": [[row["knob/lambda_adv"], row["lr/d"], row["knob/d_update"]] for row in acting.rows],
}
(folder / f"rank{rank}.json").write_text(json.dumps(answer))
os._exit(0)  # gloo's threads must not meet an interpreter that is being taken down: now and then that aborts
"""


def test_two_ranks_of_plain_ddp_are_balanced_alike(tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    given = [tmp_path / "driver.py", FOREIGN / "ddp.py", tmp_path, json.dumps(PLUGINS), json.dumps(SETTINGS)]
    tests = os.pathsep.join(str(FOREIGN.parents[at]) for at in (1, 2))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": tests}
    result = subprocess.run([*command, *map(str, given)], env=environment, text=True, capture_output=True)
    assert result.returncode == 0, result.stderr
    answers: list[dict[str, Any]] = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    first, second = answers
    before, watched, acting = first["weights"]
    assert first["weights"] == second["weights"]
    assert before == watched != acting
    assert first["d_adv"] == second["d_adv"]
    mean = [(one + two) / 2 for one, two in zip(first["losses"], second["losses"], strict=True)]
    assert first["d_adv"] == pytest.approx(mean, abs=1e-4)
    assert first["losses"] != second["losses"]
    assert first["counted"] == first["adam"] == second["adam"] == [[12, 12], [6, 12]]
    assert first["knobs"] == second["knobs"]
