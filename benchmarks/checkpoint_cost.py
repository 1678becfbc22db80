"""What a checkpoint costs: seconds and bytes of a save and a verified load, and the share of a run.

python benchmarks/checkpoint_cost.py
python benchmarks/checkpoint_cost.py --preset classic
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from balancer.record import checkpoint
from balancer.record.run_config import make_config
from balancer.train.accelerator import make_accelerator
from balancer.train.loop import Trainer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--saves", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    train = {"device": "cpu", **({"batch_size": args.batch_size} if args.batch_size else {})}
    tables = {"model": {"preset": args.preset}, "train": train}
    config = make_config({}, tables, plugins=["dynamic_lambda", "d_lr_ratio"], model="zi2zi")
    model = config.family.build(config.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trainer = Trainer(
            model, config.composition, config.train, make_accelerator(config.train, config.composition), folder
        )
        steps, saves = [], []
        for _ in range(args.saves):
            for times, action in ((steps, lambda: trainer.step(trainer.next_batch())), (saves, trainer.save)):
                began = time.perf_counter()
                action()
                times.append(time.perf_counter() - began)
        began = time.perf_counter()
        loaded = checkpoint.load_latest(folder / "checkpoints")
        load = time.perf_counter() - began
        size = sum(path.stat().st_size for path in loaded.path.iterdir())
        trainer.balance.end_run()
    step, save = statistics.median(steps), statistics.median(saves)
    every = config.train.checkpoint_every
    share = 100 * save / (every * step + save)
    print(f"{args.preset}, batch {trainer.batch_size}, one thread: {size / 2**20:.1f} MiB a checkpoint")
    print(f"save {save:.3f} s (median of {args.saves}, {min(saves):.3f}–{max(saves):.3f}), verified load {load:.3f} s")
    print(f"a step takes {step:.3f} s: a save every {every} steps is {share:.2f} % of the run")


if __name__ == "__main__":
    main()
