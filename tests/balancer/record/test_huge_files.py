"""A huge file under the name of one of a run's is refused in a sentence, or not read: no command fills the memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from support.point_runs import ran

HUGE = 1 << 40  # bytes, all of them holes
NAMES = (
    "config.toml", "config.until_00000005.toml", "signals.json", "signals.bin", "decisions.jsonl", "compositions.jsonl",
    "events", "sheets/step_00000008.png", "traceback.txt", ".holder.json", "checkpoints/step_00000020/manifest.json",
    "checkpoints/step_00000020/state.json", "checkpoints/step_00000020/tensors.safetensors",
)  # fmt: skip
READING = {"diagnose": (), "explain": ("--step", "3"), "replay": (), "report": ("--out", "page.html")}
SCRIPT = """
import resource, sys
from balancer.cli.main import main

resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))
for line in sys.stdin:
    sys.argv = ["balancer", *line.split()]
    try:
        main()
        status = 0
    except SystemExit as ended:
        status = ended.code or 0
    print("ended", sys.argv[1], sys.argv[-1], status, file=sys.stderr)
"""
# Which commands refuse it; no other has to read it.
REFUSED = {
    "config.toml": {"report", "replay", "train"},
    "config.until_00000005.toml": {"report", "replay", "train"},
    "signals.json": {*READING, "train"},
    "signals.bin": {*READING, "train"},
    "decisions.jsonl": {"explain", "report", "train"},
    "compositions.jsonl": {"explain", "replay", "train"},
    "events": {"train"},
}


def test_a_huge_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    run = ran(tmp_path / "run", "dynamic_lambda", steps=20)
    (run / "sheets").mkdir(exist_ok=True)
    commands = []
    for name in NAMES:
        copy = Path(shutil.copytree(run, tmp_path / name.replace("/", "-")))
        path = next(copy.glob("events*")) if name == "events" else copy / name
        path.touch()
        os.truncate(path, HUGE)
        if name in REFUSED and name != "events":
            commands += [" ".join((command, *options, copy.name)) for command, options in READING.items()]
        commands.append(f"train --steps 21 --quiet --resume {copy.name}")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        input="\n".join(commands),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    ended = [line.split()[1:] for line in done.stderr.splitlines() if line.startswith("ended ")]
    assert len(ended) == len(commands)
    for name in NAMES:
        statuses = {command: status for command, copy, status in ended if copy == name.replace("/", "-")}
        assert {command for command, status in statuses.items() if status == "2"} == REFUSED.get(name, set()), name
        assert {*statuses.values()} <= {"0", "2"}
