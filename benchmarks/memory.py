"""What a run takes at most: peak resident memory after its steps, after a save and after a sheet, beside the estimate.

python benchmarks/memory.py
python benchmarks/memory.py --case tiny --case "classic 128"

Each case is a few steps, a save and a sheet in a process of its own, on the CPU with one thread; another estimates, as
`balancer train --dry-run` does. Growth is that since all was imported, so torch's own libraries are not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
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
    """Growth of the peak after steps, a save and a sheet; the size of the checkpoint; seconds of a step and a save."""
    from balancer.train.run import build

    made = config(case)
    import_all()
    before = peak()
    with tempfile.TemporaryDirectory() as name:
        trainer = build(made, Path(name))
        found = {"build": peak() - before}
        times = []
        for _ in range(4):
            began = time.perf_counter()
            trainer.step(trainer.next_batch())
            times.append(time.perf_counter() - began)
        found["steps"] = peak() - before
        began = time.perf_counter()
        trainer.save()
        found["save seconds"] = time.perf_counter() - began
        found["save"] = peak() - before
        trainer.draw_sheet(trainer.balance.step)
        found["sheet"] = peak() - before
        found["disk"] = sum(path.stat().st_size for path in Path(name).rglob("step_*/*"))
        found["step seconds"] = sorted(times)[1]
        trainer.balance.end_run()
    return {**found, "before": before}


def import_all() -> None:
    """All that a run imports, so that it does not count as the run's."""
    import torch

    import balancer.train.run  # noqa: F401
    import zi2zi_model.network.model  # noqa: F401

    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(2, requires_grad=True)], fused=True)
    torch.zeros(2, requires_grad=True).sum().backward()  # type: ignore[no-untyped-call]


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
    print("peak growth in MiB     steps     save    sheet | estimate | checkpoint MiB | s a step, estimated | s a save")
    for case in args.case or CASES:
        found = {}
        for part in ("measure", "estimate"):
            words = [sys.executable, __file__, "--part", part, "--case", case]
            run = subprocess.run(
                words, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
            found[part] = json.loads(run.stdout.splitlines()[-1])
        real, said = found["measure"], found["estimate"]
        total = said.get("peak memory bytes", sum(said["memory bytes"].values()))
        peaks = " ".join(f"{real[moment] / MIB:8.0f}" for moment in ("steps", "save", "sheet"))
        seconds = f"{real['step seconds']:8.3f} {said['seconds per step']:10.3f} | {real['save seconds']:.2f}"
        print(f"{case:<20} {peaks} | {total / MIB:8.0f} | {real['disk'] / MIB:14.1f} | {seconds}")


if __name__ == "__main__":
    main()
