"""A soak: many steps of the points model in one process, and whether memory and handles stay flat and files few.

    python benchmarks/soak.py
    python benchmarks/soak.py --steps 10000 --whole

The six built-in plugins that act in every step, signals, decisions, TensorBoard, a sheet an epoch (32 steps) and a
checkpoint every 500 steps, as in any run. Printed are, every tenth of the run, resident memory, open handles, and the
files and MB of the run directory by part; at the end what its second half added for each 1,000 steps, and seconds of a
resume's cut of the logs by one step.

It fails (exit status 1) where, after the first tenth, memory or handles grow: the most memory in the second half
exceeds the most in the first by more than 1 %, so a leak of some 200 bytes a step is seen, or handles by one.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image

from balancer.record.config_files import write_config
from balancer.record.recorder import Recorder
from balancer.record.run_config import make_config
from balancer.train.progress import Progress
from balancer.train.run import build, sizes

PLUGINS: Final = ("d_lr_ratio", "d_skip", "dynamic_lambda", "freeze_head", "label_smoothing", "lambda_schedule")
PARTS: Final = ("signals", "decisions", "events", "sheets", "checkpoints", "other")
MOST_GROWTH: Final = 0.01
SAMPLES: Final = 10


class Watch(Progress):
    """Takes a sample every so many steps, and prints it."""

    def __init__(self, folder: Path, steps: int) -> None:
        super().__init__(steps, quiet=True)
        self.folder: Final = folder
        self.every: Final = max(1, steps // SAMPLES)
        self.memory: Final[list[int]] = []
        self.handles: Final[list[int]] = []
        self.bytes: Final[list[dict[str, int]]] = []
        self.began: Final = time.monotonic()
        print(
            f"{'step':>8}{'min':>7}{'MiB':>8}{'handles':>9}{'files':>7}{''.join(f'{part:>13}' for part in PARTS)}  MB"
        )

    def update(self, done: int, row: Any, fault: str = "") -> None:
        """Take in one finished step."""
        super().update(done, row, fault)
        if done % self.every == 0:
            self.sample(done)

    def sample(self, done: int) -> None:
        """Measure the process and its files."""
        self.memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        self.handles.append(sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1)
        files, sizes = by_part(self.folder)
        self.bytes.append(sizes)
        print(
            f"{done:8}{(time.monotonic() - self.began) / 60:7.1f}{self.memory[-1] / 2**20:8.1f}{self.handles[-1]:9}"
            f"{files:7}{''.join(f'{sizes[part] / 1e6:13.2f}' for part in PARTS)}",
            flush=True,
        )

    def grown(self) -> list[str]:
        """What grew, in a sentence each."""
        half, found = len(self.memory) // 2, []
        first, second = max(self.memory[1:half]), max(self.memory[half:])
        if second > first * (1 + MOST_GROWTH):
            found.append(f"memory grew from {first / 2**20:.1f} to {second / 2**20:.1f} MiB")
        if max(self.handles[half:]) > max(self.handles[1:half]):
            found.append(f"handles grew from {max(self.handles[1:half])} to {max(self.handles[half:])}")
        return found


def by_part(folder: Path) -> tuple[int, dict[str, int]]:
    """How many files a run directory holds, and the bytes of each of its parts."""
    sizes = dict.fromkeys(PARTS, 0)
    paths = [path for path in folder.rglob("*") if path.is_file()]
    for path in paths:
        top = path.relative_to(folder).parts[0]
        sizes[next((part for part in PARTS if top.startswith(part)), "other")] += path.stat().st_size
    return len(paths), sizes


def sheet(_: torch.nn.Module) -> Image.Image:
    """Noise of the size of a sheet of the demo, and in PNG of about as many bytes."""
    grey = Image.frombytes("L", (40, 40), random.randbytes(40 * 40))
    return grey.resize((881, 216), Image.Resampling.BICUBIC)


def main() -> None:
    """Train, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--whole", action="store_true", help="with train.thin=false")
    args = parser.parse_args()
    torch.set_num_threads(1)
    random.seed(0)
    train = {"device": "cpu", "steps": args.steps, "thin": not args.whole}
    config = make_config({}, {"train": train}, plugins=PLUGINS, model="points")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        trainer = build(config, folder)
        trainer.model.sheet = sheet  # type: ignore[method-assign]
        write_config(config.toml(sizes(trainer)), folder, 0)
        watch = Watch(folder, args.steps)
        trainer.run(args.steps, watch)
        half = len(watch.bytes) // 2
        thousands = (len(watch.bytes) - half) * watch.every / 1000
        added = {part: (watch.bytes[-1][part] - watch.bytes[half - 1][part]) / thousands / 1e3 for part in PARTS}
        print("kB for each 1,000 steps of the second half:", end=" ")
        print(
            ", ".join(f"{part} {value:.1f}" for part, value in added.items()),
            f", all {sum(added.values()):.1f}",
            sep="",
        )
        began = time.perf_counter()
        Recorder(folder, config.train.log_every).cut(args.steps - 1)
        print(f"cutting the last step off the logs: {time.perf_counter() - began:.2f} s")
    grown = watch.grown()
    print("\n".join(grown) or "memory and handles are flat")
    sys.exit(bool(grown))


if __name__ == "__main__":
    main()
