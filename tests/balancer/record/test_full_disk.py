"""Logs that no longer fit on the disk: told once, and training goes on unchanged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FULL_DISK = """
import json, resource, sys, warnings
from pathlib import Path

import torch

from balancer.record.signals import read_signals
from balancer.testing import toy_trainer

torch.set_num_threads(1)
folder, steps = Path(sys.argv[1]), 120
settings = {"dynamic_lambda": {"warmup_steps": 0, "bands": [[0.6, 0.2]], "above": 0.5}}
weights = []
for place in (folder / "whole", folder / "full"):
    trainer = toy_trainer(["dynamic_lambda", "d_skip"], settings, place, log_every=1)
    if place.name == "full":
        trainer.balance.recorder._decisions.file = open("/dev/full", "w")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(steps):
            trainer.step(trainer.next_batch())
            if step == 60:
                trainer.balance.recorder.flush()
        trainer.balance.end_run()
    weights.append([*trainer.G.state_dict().values(), *trainer.D.state_dict().values()])
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
whole, full = read_signals(folder / "whole"), read_signals(folder / "full")
kept = len(full["step"])
print(json.dumps({
    "equal": all(map(torch.equal, *weights)),
    "done": trainer.balance.step,
    "kept": kept,
    "prefix": all(full[name].tolist() == whole[name][:kept].tolist() for name in full),
    "warnings": [str(warning.message) for warning in caught],
}))
"""


@pytest.fixture(scope="module")
def full_disk(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """A run whose files may not grow beyond 8 KiB and whose decisions go to /dev/full, beside one with room."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    out = tmp_path_factory.mktemp("full_disk")
    done = subprocess.run([sys.executable, "-c", FULL_DISK, out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result, done.stderr


def test_a_full_disk_never_stops_training_nor_changes_it(full_disk: tuple[dict[str, Any], str]) -> None:
    result, _ = full_disk
    assert result["done"] == 120
    assert result["equal"]
    assert 0 < result["kept"] < 120
    assert result["prefix"]


def test_a_full_disk_is_told_once_for_each_log(full_disk: tuple[dict[str, Any], str]) -> None:
    result, errors = full_disk
    told = sorted(warning.partition("no more ")[2].partition(":")[0] for warning in result["warnings"])
    assert told == ["TensorBoard log in this run", "decisions.jsonl log in this run", "signals log in this run"]
    assert "Traceback" not in errors
