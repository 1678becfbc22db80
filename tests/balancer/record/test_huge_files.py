"""A huge file under the name of one of a run's is refused in a sentence, or not read: no command fills the memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.point_runs import ran

HUGE = 1 << 40  # bytes, all of them holes
NAMES = (
    "config.toml", "config.until_00000005.toml", "signals.json", "signals.bin", "decisions.jsonl", "compositions.jsonl",
    "events", "sheets/step_00000008.png", "traceback.txt", ".holder.json", "checkpoints/step_00000020/manifest.json",
    "checkpoints/step_00000020/state.json", "checkpoints/step_00000020/tensors.safetensors",
)  # fmt: skip
SCRIPT = """
import resource, sys
from balancer.cli.main import main

resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))
for name in sys.argv[1:]:
    for command in (["diagnose"], ["explain", "--step", "3"], ["replay"], ["report", "--out", f"{name}.html"],
                    ["train", "--steps", "21", "--quiet", "--resume"]):
        sys.argv = ["balancer", *command, name]
        try:
            main()
            status = 0
        except SystemExit as ended:
            status = ended.code or 0
        print(name, command[0], status, file=sys.stderr)
"""
# Commands that have to read it.
REFUSED = {
    "config.toml": {"report", "replay", "train"},
    "config.until_00000005.toml": {"report", "replay", "train"},
    "signals.json": {"diagnose", "explain", "replay", "report", "train"},
    "signals.bin": {"diagnose", "explain", "replay", "report", "train"},
    "decisions.jsonl": {"explain", "report", "train"},
    "compositions.jsonl": {"explain", "replay", "train"},
    "events": {"train"},
}


@pytest.mark.parametrize("whole", [True, False], ids=["behind what was there", "holes only"])
def test_a_huge_file_is_refused_in_a_sentence(tmp_path: Path, whole: bool) -> None:
    run = ran(tmp_path / "run", "dynamic_lambda", steps=20)
    (run / "sheets").mkdir(exist_ok=True)
    copies = []
    for name in NAMES:
        copy = Path(shutil.copytree(run, tmp_path / name.replace("/", "-")))
        path = next(copy.glob("events*")) if name == "events" else copy / name
        if not whole or not path.exists():
            path.write_bytes(b"")
        os.truncate(path, HUGE)
        copies.append(copy.name)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *copies],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    ended = [line.split() for line in done.stderr.splitlines() if line.startswith(tuple(copies)) and line[-1] in "02"]
    assert len(ended) == 5 * len(NAMES), done.stderr[-2000:]
    for name in NAMES:
        folder = name.replace("/", "-")
        assert {command for copy, command, status in ended if copy == folder and status == "2"} == REFUSED.get(
            name, set()
        )
