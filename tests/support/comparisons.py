"""Small comparisons: files of the lab on points, and a comparison that runs in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

TOY = """
[lab]
model = "points"
seeds = [0]
reference = "lambda 1"
axes = ["class error", "energy distance"]

[base.train]
steps = 40
batch_size = 32
checkpoint_every = 8

[base.model]
points = 64
width = 8

[starts.begun]
task = "scratch"
train = {steps = 8}

[tasks.scratch]

[arms."lambda 1"]
curve = 1.0

[arms."lambda 3"]
curve = 3.0
train = {lambda_adv = 3.0}

[arms.ratio]
plugins = ["d_lr_ratio"]
d_lr_ratio = {ratio = 0.5}
"""


def begun(file: Path, folder: Path, *options: str, command: str = "run") -> subprocess.Popen[str]:
    """`balancer lab run`, or another of its commands, in a group of processes of its own."""
    words = [sys.executable, "-m", "balancer", "lab", command, str(file), "--out", str(folder), *options]
    return subprocess.Popen(
        words, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def killed(process: subprocess.Popen[str]) -> None:
    """Kill it and all that it began."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
