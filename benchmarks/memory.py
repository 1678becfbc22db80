"""What a run takes at most: peak resident memory after its steps, after a save and after a sheet, beside the estimate.

python benchmarks/memory.py
python benchmarks/memory.py --case tiny --case "classic 128"

Each case is a few steps, a save and a sheet in a process of its own, on the CPU with one thread; another estimates, as
`balancer train --dry-run` does. Peaks are of the whole process, torch's libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tiny": ({"preset": "tiny"}, {}),
    "classic 128": ({"preset": "classic", "image_size": 128, "downs": 7}, {"batch_size": 8}),
    "classic 256": ({"preset": "classic"}, {"batch_size": 4}),
    "zi2zi 256": ({"preset": "zi2zi", "image_size": 256}, {"batch_size": 4}),
}
MIB = 2**20


def config(case: str) -> Any:
    """The config of a case."""
    from balancer.record.run_config import make_config

    model, train = CASES[case]
    return make_config(
        {}, {"model": model, "train": {"device": "cpu", "threads": 1, "steps": 100, **train}}, plugins=[], model="zi2zi"
    )


def peak() -> int:
    """Peak resident memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(case: str) -> dict[str, float]:
    """The peak after steps, after a save, after a sheet; the size of the checkpoint; seconds of a step and a save."""
    from balancer.train.run import build

    made = config(case)
    with tempfile.TemporaryDirectory() as name:
        trainer = build(made, Path(name))
        times = []
        for _ in range(4):
            began = time.perf_counter()
            trainer.step(trainer.next_batch())
            times.append(time.perf_counter() - began)
        found: dict[str, float] = {"steps": peak(), "step seconds": statistics.mean(times[1:])}
        began = time.perf_counter()
        trainer.save()
        found |= {"save seconds": time.perf_counter() - began, "save": peak()}
        trainer.draw_sheet(trainer.balance.step)
        found["sheet"] = peak()
        found["disk"] = sum(path.stat().st_size for path in Path(name).rglob("step_*/*"))
        trainer.balance.end_run()
    return found


def estimate(case: str) -> dict[str, Any]:
    """What `--dry-run` says."""
    from balancer.train.dry_run import dry_run

    return dry_run(config(case))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--part", choices=["measure", "estimate"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        print(json.dumps({"measure": measure, "estimate": estimate}[args.part](args.case[0])))
        return
    print(
        "peaks in MiB            steps     save    sheet | estimate | checkpoint MiB, said | s a step, said | s a save"
    )
    for case in args.case or CASES:
        found = {}
        for part in ("measure", "estimate"):
            words = [sys.executable, __file__, "--part", part, "--case", case]
            run = subprocess.run(
                words, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
            found[part] = json.loads(run.stdout.splitlines()[-1])
        real, said = found["measure"], found["estimate"]
        peaks = " ".join(f"{real[moment] / MIB:8.0f}" for moment in ("steps", "save", "sheet"))
        seconds = f"{real['step seconds']:8.3f} {said['seconds per step']:10.3f} | {real['save seconds']:.2f}"
        disk = f"{real['disk'] / MIB:8.1f} {said['checkpoint bytes'] / MIB:8.1f}"
        print(f"{case:<20} {peaks} | {said['peak memory bytes'] / MIB:8.0f} | {disk} | {seconds}")


if __name__ == "__main__":
    main()
