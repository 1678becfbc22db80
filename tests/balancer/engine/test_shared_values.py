"""Two ranks over gloo: what a plugin publishes or returns on one of them alone, and what is the same on both."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DRIVER = """
import copy, hashlib, json, os, sys
from pathlib import Path

import torch

torch.set_num_threads(1)
folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/tests"]

from support.published import EncodecBalance, FeatureMatching, LazyR1, LeCam, VqganWeight
from support.shapes_runs import shapes_trainer

from balancer import KnobSpec, Plugin, SignalSpec, hookimpl
from balancer.errors import BalancerError
from balancer.testing import toy_trainer
from balancer.train.progress import Progress


class Spread(Plugin):
    name = "spread"
    brings_signals = (SignalSpec("spread", "plugin", "spread of this rank's real logits"),)

    @hookimpl
    def d_loss_terms(self, ctx):
        self.local = ctx.real_logits.std().item()
        self.publish("spread", self.local)


class Gate(Plugin):
    '''Decides on the spread whether D rests, right after it was published.'''

    name = "zz_gate"
    reads = ("spread",)
    writes = {"d_update": ("gate",), "lambda_adv": ("mul",)}

    def __init__(self, config):
        super().__init__(config)
        self.told = []

    @hookimpl
    def d_loss_terms(self, ctx):
        self.told.append(self.signals["spread"].value)

    @hookimpl
    def after_d_step(self, ctx):
        self.knobs["d_update"].gate(ctx.d_skipped or self.told[-1] < self.level)
        self.knobs["lambda_adv"].mul(self.told[-1])


class Alone(Plugin):
    '''Publishes, or returns its term, on the first rank only.'''

    name = "alone"
    brings_signals = (SignalSpec("lonely", "plugin", ""),)
    brings_terms = ("lonely",)
    what = "signal"

    @hookimpl
    def d_loss_terms(self, ctx):
        if rank == 0 and self.what == "signal":
            self.publish("lonely", 1.0)
        if rank == 0 and self.what == "term":
            return {"lonely": ctx.real_logits.mean()}


class Term(Alone):
    what = "term"
    reads = ("d_lonely",)

    @hookimpl
    def after_d_step(self, ctx):
        self.signals["d_lonely"]


class Draws(Plugin):
    name = "draws"

    def __init__(self, config):
        super().__init__(config)
        self.same, self.own = [], []

    @hookimpl
    def on_step_start(self, ctx):
        self.same.append(torch.rand(1, generator=self.rng).item())
        self.own.append(torch.rand(1, generator=self.rank_rng).item())


class Ends(Plugin):
    name = "ends"
    requests = ("end", "checkpoint")

    @hookimpl
    def after_g_step(self, ctx):
        if rank == 1 and ctx.step == 2:
            self.request("end", "the second rank has seen enough")


def digest(trainer):
    sha = hashlib.sha256()
    for net in (trainer.G, trainer.D):
        for value in net.state_dict().values():
            sha.update(value.contiguous().numpy().tobytes())
    return sha.hexdigest()


def plugin(trainer, name):
    (found,) = [one for one in trainer.balance.composition.plugins if one.name == name]
    return found


def steps(trainer, count):
    for _ in range(count):
        trainer.step(trainer.next_batch())
    return trainer


answer = {}
gated = toy_trainer([Spread, Gate])
plugin(gated, "zz_gate").level = 0.027
local, updates = [], []
for _ in range(8):
    steps(gated, 1)
    local.append(plugin(gated, "spread").local)
    updates.append(gated.balance.last_row["updates/d"])
answer["gated"], answer["local"], answer["told"] = digest(gated), local, plugin(gated, "zz_gate").told
answer["updates"] = updates

for kind in (Alone, Term):
    try:
        steps(toy_trainer([kind]), 1)
        answer[kind.what] = None
    except BalancerError as error:
        answer[kind.what] = str(error)

drawn = steps(toy_trainer([Draws]), 3)
state = copy.deepcopy(drawn.state_dict())
steps(drawn, 2)
again = toy_trainer([Draws])
again.load_state_dict(state)
steps(again, 2)
answer["same"], answer["own"] = plugin(drawn, "draws").same, plugin(drawn, "draws").own
answer["resumed"] = plugin(again, "draws").own

laws = {"vqgan_weight": {"rec": {"l1": 10.0, "shape": 1.0}}}
shapes = shapes_trainer([VqganWeight, LeCam, LazyR1], {**laws, "lazy_r1": {"every": 2}}, gradients_every=1)
rows = []
for _ in range(3):
    steps(shapes, 1)
    row = shapes.balance.last_row
    rows.append({tag: row[tag] for tag in row if "grad" in tag or "lambda" in tag})
answer["rows"], answer["shapes"] = rows, digest(shapes)
outputs = steps(shapes_trainer([EncodecBalance], {"encodec_balance": {"shares": {"adv": 1.0, "l1": 1.0}}}), 1)
answer["encodec"] = [outputs.balance.last_row[f"knob/lambda_{term}"] for term in ("adv", "l1")]

parts = steps(shapes_trainer([VqganWeight, FeatureMatching], laws, gradients_every=1, micro_batches=2), 2)
row = parts.balance.last_row
answer["parts"] = [digest(parts), {tag: row[tag] for tag in row if "grad" in tag or "lambda" in tag}]

ended = toy_trainer([Ends], folder=folder / "run")
answer["finished"] = ended.run(9, Progress(9, quiet=True))
answer["ended"] = ended.balance.step
(folder / f"rank{rank}.json").write_text(json.dumps(answer))
os._exit(0)  # gloo's threads must not meet an interpreter that is being taken down: now and then that aborts
"""

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two ranks, and after them a single process, had to say at their end."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "driver.py").write_text(DRIVER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(folder / "driver.py"), str(folder), str(ROOT)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def test_ranks_whose_signal_disagrees_decide_alike_and_end_equal(ranks: list[dict[str, Any]]) -> None:
    first, second = ranks
    assert first["local"] != second["local"]
    assert first["told"] == second["told"]
    told = [0.5 * (one + two) for one, two in zip(first["local"], second["local"], strict=True)]
    distinct = list(dict.fromkeys(told))  # D rests in some steps, and then nobody publishes
    assert first["told"] == pytest.approx(distinct)
    assert first["updates"] == second["updates"]
    assert 0.0 in first["updates"] and 1.0 in first["updates"]
    assert first["gated"] == second["gated"]


def test_what_one_rank_alone_publishes_or_returns_is_a_sentence_and_no_hang(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert "plugin alone, hook d_loss_terms, step 0: lonely was published on 50% of the ranks" in rank["signal"]
        assert "the term of d_lonely on 50% of the ranks: return it on all of them or on none" in rank["term"]


def test_random_numbers_are_the_same_or_each_rank_s_own_also_after_a_resume(ranks: list[dict[str, Any]]) -> None:
    first, second = ranks
    assert first["same"] == second["same"]
    assert not set(first["own"]) & set(second["own"])
    for rank in ranks:
        assert rank["resumed"] == rank["own"][3:]


def test_gradients_are_those_of_the_whole_batch(ranks: list[dict[str, Any]]) -> None:
    from support.published import EncodecBalance, LazyR1, LeCam, VqganWeight
    from support.shapes_runs import shapes_trainer
    from support.toy_steps import advance

    first, second = ranks
    assert first["rows"] == second["rows"] and first["shapes"] == second["shapes"]
    laws = {"vqgan_weight": {"rec": {"l1": 10.0, "shape": 1.0}}, "lazy_r1": {"every": 2}}
    alone = advance(shapes_trainer([VqganWeight, LeCam, LazyR1], laws, gradients_every=1), 1).balance.last_row
    for tag, value in first["rows"][0].items():
        assert alone[tag] == pytest.approx(value, rel=1e-3), tag
    settings = {"encodec_balance": {"shares": {"adv": 1.0, "l1": 1.0}}}
    row = advance(shapes_trainer([EncodecBalance], settings), 1).balance.last_row
    assert first["encodec"] == second["encodec"]
    assert first["encodec"] == pytest.approx([row[f"knob/lambda_{term}"] for term in ("adv", "l1")], rel=1e-3)


def test_gradients_of_micro_batches_on_ranks_are_too(ranks: list[dict[str, Any]]) -> None:
    from support.published import FeatureMatching, VqganWeight
    from support.shapes_runs import shapes_trainer
    from support.toy_steps import advance

    (weights, row), second = ranks[0]["parts"], ranks[1]["parts"]
    assert second == [weights, row]
    laws = {"vqgan_weight": {"rec": {"l1": 10.0, "shape": 1.0}}}
    alone = advance(shapes_trainer([VqganWeight, FeatureMatching], laws, gradients_every=1), 2).balance.last_row
    for tag, value in row.items():
        assert alone[tag] == pytest.approx(value, rel=1e-2), tag


def test_a_request_of_one_rank_ends_the_run_on_both(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert (rank["finished"], rank["ended"]) == (False, 3)
