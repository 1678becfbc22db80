"""What the signals of gradients cost: our zi2zi step with and without them, interleaved.

    python benchmarks/gradient_cost.py --rounds 320 --every 16
    python benchmarks/gradient_cost.py --rounds 320 --every 16 --device cuda --set preset=base --set image_size=256

Two copies of a model take turns on the same batches, one of them measuring gradients every `--every` steps. The cost is
that of a whole cycle of `--every` steps, as a median of paired ratios with a 95 % bootstrap interval.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time

import numpy as np
import torch

from balancer.record.run_config import make_config
from balancer.train.accelerator import make_accelerator
from balancer.train.loop import Trainer


def trainer(model: object, every: int, settings: dict[str, object], device: str) -> Trainer:
    """A trainer that measures gradients every so many steps."""
    tables = {"train": {"device": device, "gradients_every": every}, "model": settings}
    config = make_config({}, tables, plugins=[], model="zi2zi")
    accelerator = make_accelerator(config.train, config.composition)
    built = config.family.build(config.model) if model is None else model
    made = Trainer(built, config.composition, config.train, accelerator, None)  # type: ignore[arg-type]
    made.G.train()
    made.D.train()
    return made


def seconds(one: Trainer, batches: list[dict[str, torch.Tensor]], cuda: bool) -> float:
    """How long a cycle takes; on the CPU in seconds of this process, which other processes disturb little."""
    clock = time.perf_counter if cuda else time.process_time
    if cuda:
        torch.cuda.synchronize()
    began = clock()
    for batch in batches:
        one.step(batch)
    if cuda:
        torch.cuda.synchronize()
    return clock() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=320, help="steps of each copy")
    parser.add_argument("--every", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--own-pass", action="store_true", help="a pass of their own for the other terms, as in bf16")
    parser.add_argument("--set", action="append", default=[], help="a setting of the model, KEY=VALUE")
    given = parser.parse_args()
    if given.device == "cpu":
        torch.set_num_threads(1)
    torch.manual_seed(0)
    pairs = (item.split("=", 1) for item in given.set)
    settings: dict[str, object] = {key: int(value) if value.isdigit() else value for key, value in pairs}
    plain = trainer(None, 0, settings, given.device)
    measuring = trainer(copy.deepcopy(plain.model), given.every, settings, given.device)
    if given.own_pass:
        measuring.balance.load_state_dict(measuring.balance.state_dict() | {"gradients": {"told": False}})
    cuda = given.device == "cuda"
    rows = []
    for cycle in range(given.rounds // given.every + 2):
        batches = []
        for _ in range(given.every):
            batches.append(plain.next_batch())
        pair = [plain, measuring] if cycle % 2 else [measuring, plain]
        took = {id(one): seconds(one, batches, cuda) for one in pair}
        if cycle >= 2:
            rows.append((took[id(plain)], took[id(measuring)]))
    ratios = np.asarray([with_them / without for without, with_them in rows])
    draws = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    step = 1000 * statistics.median(without for without, _ in rows) / given.every
    name = torch.cuda.get_device_name() if cuda else "CPU, one thread"
    print(f"zi2zi {settings or 'tiny preset'}, batch {plain.batch_size}, {name}: a step takes {step:.2f} ms")
    print(
        f"gradients every {given.every} steps: {100 * (float(np.median(ratios)) - 1):+.2f} % "
        f"(95 % interval {100 * (low - 1):+.2f} to {100 * (high - 1):+.2f} %), {len(rows)} cycles"
    )


if __name__ == "__main__":
    main()
