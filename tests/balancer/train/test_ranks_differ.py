"""Real processes that train together and differ, or lose one of them: one line, and all end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.distributions import plugin_package
from support.two_ranks import torchrun

from balancer.record import checkpoint

# Both ranks meet in each case, differ, and go on to the next.
DRIVER = """
import dataclasses, hashlib, json, os, sys
from pathlib import Path

import torch

from balancer import Plugin, hookimpl
from balancer.errors import RanksDiffer
from balancer.record.run_config import make_config
from balancer.testing import PointsFamily, toy_trainer
from balancer.train import same_everywhere
from balancer.train.progress import Progress
from balancer.train.run import build

folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
os.chdir(folder / str(rank))
sys.path.insert(0, str(folder / str(rank)))
torch.set_num_threads(1)
same_everywhere.HEARD = 0.0  # no launcher here ends one rank because another has ended
heard = {}


def case(name, act):
    try:
        act()
        heard[name] = ""
    except RanksDiffer as error:
        heard[name] = str(error)


def built(plugins=("d_skip",), family=None, **train):
    config = make_config({}, {"train": {"device": "cpu", "steps": 4, **train}}, plugins=plugins, model="points")
    build(config if family is None else dataclasses.replace(config, family=family), None)


class FromFile(PointsFamily):
    '''Has its data from a file of one name on each machine.'''

    def build(self, settings):
        model = super().build(settings)
        model.data_record = lambda: {"points.bin": hashlib.sha256(Path("points.bin").read_bytes()).hexdigest()}
        return model


class Own(Plugin):
    '''Decides on its rank, which plugins must not.'''

    name = "own"
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def after_d_step(self, ctx):
        self.knobs["lambda_adv"].mul(1.0 + (rank if ctx.step == 2 else 0))


def knobs():
    trainer = toy_trainer([Own], {}, None, batch_size=8, log_every=3)
    try:
        trainer.run(9, Progress(9, 0, quiet=True))
    finally:
        heard["ended"] = trainer.balance.step


def start():
    trainer = toy_trainer([], {}, None, batch_size=8)
    same_everywhere.require_same_start(0, trainer.G, trainer.D)
    with torch.no_grad():
        next(trainer.D.parameters()).view(-1)[0] += rank
    same_everywhere.require_same_start(0, trainer.G, trainer.D)


case("nothing", built)
case("seed", lambda: built(seed=rank))
case("batch_size", lambda: built(batch_size=16 - 8 * rank))
case("lambda_adv", lambda: built(lambda_adv=1 - 0.5 * rank))
case("steps", lambda: built(steps=4 + rank))
case("plugin", lambda: built(plugins=["d_skip", "label_smoothing"][: 2 - rank]))
case("version", lambda: built(plugins=["shared"]))
case("data", lambda: built(family=FromFile()))
case("start", start)
case("knobs", knobs)
(folder / f"{rank}.json").write_text(json.dumps(heard))
os._exit(0)  # gloo's threads must not meet an interpreter that is being taken down: now and then that aborts
"""

COMMAND = """
import os, sys

from balancer.cli.main import main

rank = int(os.environ["RANK"])
sys.argv = ["balancer", *"train --model points --device cpu --steps".split(), str(10 + rank), "--out", sys.argv[1]]
main()
"""

WITNESS = """
from balancer import Plugin, hookimpl


class Witness(Plugin):
    name = "witness"

    @hookimpl
    def transform_d_input(self, ctx, images, condition):
        return images, condition
"""

EXPECTED = {
    "seed": "train.seed is 0 on rank 0 and 1 on rank 1",
    "batch_size": "train.batch_size is 16 on rank 0 and 8 on rank 1",
    "lambda_adv": "train.lambda_adv is 1.0 on rank 0 and 0.5 on rank 1",
    "steps": "train.steps is 4 on rank 0 and 5 on rank 1",
    "version": "plugin shared is 'acme-shared 1.0' on rank 0 and 'acme-shared 2.0' on rank 1",
}
DIFFER = "ranks differ before the first step: "
DO = ": start all with the same settings, data and packages"


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What both ranks were told in each case."""
    folder = tmp_path_factory.mktemp("differ")
    for rank in (0, 1):
        plugin_package(folder / str(rank), "shared", "", version=f"{rank + 1}.0")
        (folder / str(rank) / "points.bin").write_bytes(bytes(64 + rank))
    (folder / "driver.py").write_text(DRIVER)
    result = torchrun(folder / "driver.py", folder)
    assert result.returncode == 0, result.stderr
    assert "ranks" not in result.stderr, "the audit leaves it to the loop, which ends"
    first, second = (json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    return dict(first)


def test_each_difference_is_named_before_the_first_step(heard: dict[str, str]) -> None:
    assert heard["nothing"] == ""
    assert {name: heard[name] for name in EXPECTED} == {name: DIFFER + said + DO for name, said in EXPECTED.items()}


def test_settings_of_a_plugin_that_a_rank_lacks_go_with_it(heard: dict[str, str]) -> None:
    said = heard["plugin"]
    assert said.startswith(f"{DIFFER}plugin label_smoothing is 'balancer ")
    assert said.endswith(f"' on rank 0 and not there on rank 1{DO}")
    assert said.count(" on rank 1") == 1


def test_other_data_of_one_name_and_other_weights_are_found(heard: dict[str, str]) -> None:
    assert heard["data"].startswith(f"{DIFFER}data: points.bin is '")
    assert heard["data"].endswith(f" on rank 1{DO}")
    assert heard["data"].count(" on rank 1") == 1
    assert heard["start"].startswith(f"{DIFFER}SHA-256 of the weights is ")


def test_a_knob_that_ranks_hold_differently_ends_the_run(heard: dict[str, str]) -> None:
    assert heard["knobs"].startswith("ranks differ after step 2: lambda_adv is 1.0 on rank 0 and 2.0 on rank 1; ")
    assert "mul of lambda_adv by plugin own is 1.0 on rank 0 and 2.0 on rank 1: a plugin decides on" in heard["knobs"]
    assert heard["ended"] == 3


def test_the_command_says_it_once_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "command.py").write_text(COMMAND)
    result = torchrun(tmp_path / "command.py", tmp_path / "run")
    said = [line for line in result.stderr.splitlines() if "ranks differ" in line]
    assert said == [f"balancer: {DIFFER}train.steps is 10 on rank 0 and 11 on rank 1{DO}"]
    assert "exitcode  : 2 " in result.stderr, "torchrun's own account of the rank that ended first"
    assert result.stderr.count("balancer: ") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("lost", "how"), [(0, signal.SIGKILL), (1, signal.SIGSTOP)])
def test_a_rank_that_is_killed_or_stops_ends_the_other(lost: int, how: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "witness.py").write_text(WITNESS)
    run = tmp_path / "run"
    command = [
        sys.executable, "-m", "balancer", "train", "--model", "points", "--device", "cpu", "--steps", "1000000",
        "--quiet", "--plugins", f"{tmp_path / 'witness.py'}:Witness", "--out", str(run),
        "--set", "train.timeout=3", "--set", "train.checkpoint_every=5",
    ]  # fmt: skip
    # Without a launcher, which would end the other by itself.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meet = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    ranks = []
    for number in "01":
        environment = os.environ | meet | {"RANK": number, "LOCAL_RANK": number}
        ranks.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        while not list(run.glob("checkpoints/step_*")):
            assert [rank.poll() for rank in ranks] == [None, None]
            time.sleep(0.1)
        ranks[lost].send_signal(how)
        ranks[1 - lost].wait(timeout=240)
        stderr = ranks[1 - lost].stderr
        said = "" if stderr is None else stderr.read()
    finally:
        for rank in ranks:
            rank.kill()
            rank.communicate()
    assert ranks[1 - lost].returncode == 2
    assert said.startswith(f"balancer: rank {1 - lost} has lost another rank, which is gone or did not answer within ")
    assert said.count("\n") == 1, said
    assert not (run / "traceback.txt").exists(), "no plugin is to blame"
    assert checkpoint.load_latest(run / "checkpoints").step > 0


def test_a_first_rank_that_takes_the_call_and_never_answers_ends_the_other(tmp_path: Path) -> None:
    """As one that was stopped just after it began to listen."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        meet = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1"}
        words = ("--model", "points", "--plugins", "", "--steps", "2", "--device", "cpu", "--set", "train.timeout=2")
        ended = subprocess.run(
            [sys.executable, "-m", "balancer", "train", *words, "--out", "run"],
            cwd=tmp_path,
            env={**os.environ, **meet, "MASTER_PORT": str(silent.getsockname()[1]), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("balancer: ")]
    assert ended.returncode == 2 and "rank 1 has not met the others within train.timeout" in line
    assert not (tmp_path / "run").exists()
