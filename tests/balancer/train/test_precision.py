"""bf16 is autocast in forward passes: weights, gradients' steps and losses stay fp32. Precision is process-global."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

CHILD = """
import json, math, sys

import torch

from balancer.record.run_config import make_config
from balancer.train.run import build

torch.set_num_threads(1)
JOBS = {
    "points": {"run": {"model": "points"}, "model": {"points": 64, "norm": "batch"}},
    "zi2zi": {
        "run": {"model": "zi2zi"},
        "train": {"batch_size": 4},
        "model": {"max_characters": 24, "g_channels": 8, "d_channels": 8, "max_channels": 64, "spectral_norm": True},
    },
}
answer = {}
for name, tables in JOBS.items():
    tables["run"]["plugins"] = ["dynamic_lambda", "d_skip"]
    tables["train"] = {**tables.get("train", {}), "device": "cpu", "precision": sys.argv[1]}
    trainer = build(make_config(tables, {}), None)
    seen = set()
    nets = (trainer.G, trainer.D)
    for module in (module for net in nets for module in net.modules()):
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
            module.register_forward_hook(lambda module, inputs, output: seen.add(str(output.dtype)))
    before = [p.detach().clone() for net in nets for p in net.parameters()]
    rows = []
    for _ in range(2):  # the second step skips D
        trainer.step(trainer.next_batch())
        rows.append(trainer.balance.last_row)
    state = trainer.state_dict()
    tensors = [*state["generator"].values(), *state["discriminator"].values()]
    for role in ("g", "d"):
        tensors += [v for s in state["optimizers"][role]["state"].values() for v in s.values()]
    after = [p for net in nets for p in net.parameters()]
    finite = [math.isfinite(v) for row in rows for v in row.values()] + [bool(p.isfinite().all()) for p in after]
    answer[name] = {
        "layers": sorted(seen),
        "kept": sorted({str(t.dtype) for t in tensors if torch.is_tensor(t) and t.is_floating_point()}),
        "finite": all(finite),
        "moved": sum(not torch.equal(one, two) for one, two in zip(before, after)) / len(after),
        "losses": {k: v for k, v in rows[0].items() if k.startswith("loss/")},
        "d_updates": trainer.balance.d_updates,
    }
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def trained() -> dict[str, dict[str, Any]]:
    """Two steps of both models in bf16 and in fp32, each precision in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = {
        precision: subprocess.Popen(
            [sys.executable, "-W", "error", "-c", CHILD, precision],
            env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for precision in ("bf16", "fp32")
    }  # fmt: skip
    answers = {}
    for precision, process in processes.items():
        out, err = process.communicate()
        assert process.returncode == 0, err
        answers[precision] = json.loads(out)
    return answers


@pytest.mark.parametrize("model", ["points", "zi2zi"])
def test_bf16_trains_with_weights_in_fp32(model: str, trained: dict[str, dict[str, Any]]) -> None:
    bf16, fp32 = trained["bf16"][model], trained["fp32"][model]
    assert bf16["layers"] == ["torch.bfloat16"], "every layer computes in bf16, or the setting does nothing"
    assert fp32["layers"] == ["torch.float32"]
    assert bf16["kept"] == fp32["kept"] == ["torch.float32"]
    assert bf16["finite"]
    assert bf16["moved"] > 0.9
    assert bf16["d_updates"] == 1
    assert bf16["losses"] != fp32["losses"]
    # Eight bits of mantissa: a few parts in a thousand each, summed over layers.
    assert bf16["losses"] == pytest.approx(fp32["losses"], rel=0.05, abs=0.02)
