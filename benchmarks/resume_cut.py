"""What a resume takes to cut the logs of a long run back by one step.

    python benchmarks/resume_cut.py --steps 1000000 [--whole]

A recorder keeps as many steps of 36 values as are asked for, as a run's does (no pictures, no decisions), and cuts the
last one off. Printed are seconds of CPU time and the run directory's event files.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from balancer.contract.signals import Key
from balancer.record.recorder import Recorder

COLUMNS: list[Key] = [("d", "d_adv"), *(("plugin", f"value_{number}") for number in range(35))]


def main() -> None:
    """Write, cut, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--whole", action="store_true", help="with train.thin=false")
    args = parser.parse_args()
    values = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        recorder = Recorder(Path(name) / "run", 10)
        recorder.thin = not args.whole
        for step in range(args.steps):
            recorder.step(step, 0, {key: values.random() for key in COLUMNS})
        recorder.close()
        events = [path.stat().st_size for path in recorder.folder.glob("events*")]
        began = time.process_time()
        again = Recorder(recorder.folder, 10)
        again.cut(args.steps - 1)
        took = time.process_time() - began
        again.close()
    size = sum(events) / 1e6
    print(f"{args.steps:,} steps: {len(events)} event files, {size:.0f} MB; cut in {took:.1f} s of CPU time")


if __name__ == "__main__":
    main()
