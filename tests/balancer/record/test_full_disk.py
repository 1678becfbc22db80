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


def test_a_full_disk_is_told_once_for_each_log_and_what_is_lost_at_the_end(
    full_disk: tuple[dict[str, Any], str],
) -> None:
    result, errors = full_disk
    told = sorted(warning.partition("the ")[2].partition(":")[0] for warning in result["warnings"])
    now = "log cannot be written now, it is tried again with each entry"
    begun = [line for line in told if line.endswith(now)]
    assert begun == [f"{name} {now}" for name in ("TensorBoard", "decisions.jsonl", "signals")]
    ends = [message for message in result["warnings"] if " log is not whole: " in message]
    assert len(ends) == 3
    (lost,) = [line for line in ends if "the signals log" in line]
    assert 0 < int(lost.partition("refused ")[2].split()[0]) <= 120 - result["kept"]
    assert "Traceback" not in errors


PASSING = """
import resource, sys, warnings
from pathlib import Path

from balancer.record.recorder import Recorder
from balancer.record.decisions import read_notes
from balancer.record.signals import read_signals
from balancer.contract.notes import Note

folder = Path(sys.argv[1]) / "run"
recorder = Recorder(folder, log_every=1)
no_limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for step in range(3000):
        if step in (1000, 1400):  # for a while nothing may grow
            size = (folder / "signals.bin").stat().st_size if step == 1000 else no_limit
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, no_limit))
        recorder.step(step, 0, {("d", "d_adv"): step / 7, ("g", "adv"): 1.0})
        recorder.note(Note(step, 0, "audit", "balancer", "said"))
        if step % 100 == 99:
            recorder.flush()
    recorder.close()
for warning in caught:
    print(str(warning.message).partition(": ")[2])
signals, notes = read_signals(folder), [note.step for note in read_notes(folder)]
assert sorted(notes) == notes and len(set(notes)) == len(notes)
assert (signals["d_adv"] == signals["step"] / 7).all()
print(3000 - len(signals["step"]), 3000 - len(notes), int(signals["step"][-1]), notes[-1])
"""


def test_a_disk_that_has_room_again_is_written_again_and_what_is_lost_is_said(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PASSING, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *said, figures = done.stdout.splitlines()
    signals, notes, *last = map(int, figures.split())
    assert last == [2999, 2999]
    assert 0 < signals < 400 and 0 < notes < 400, "what was in buffers came later"
    told = {line.partition(" log ")[0].removeprefix("the "): line for line in said if " is written again: " in line}
    assert told["signals"].endswith(f": {signals} entries are lost")
    assert told["decisions.jsonl"].endswith(f": {notes} entries are lost")
    assert set(told) == {"signals", "decisions.jsonl", "TensorBoard"}
    assert len(said) == 6, "one line when it begins, one when it is over"
