"""What the average of G's weights is worth in runs of several lengths, and what it costs.

The plain baseline on the embedded fonts, one thread. First CPU seconds of a step and of an update of the average, each
in its turn. Then three generators are measured on held-out glyphs while one run goes on: G itself, the average that
runs keep (its half-life at most 5 % of the items so far), and one whose half-life is fixed.

    python benchmarks/average.py [--steps 100,300,1500 --seeds 0,1 --half-life 800]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from balancer.record.run_config import make_config
from balancer.train.loop import Trainer
from balancer.train.run import build
from zi2zi_model.judges.figures import FIGURES
from zi2zi_model.judging.evaluation import HeldOut, held_out
from zi2zi_model.network.model import Zi2zi, draw

TIMED = 40


def figures(generator: nn.Module, held: HeldOut) -> str:
    """A row of figures of what a generator draws for the held-out glyphs of the one style."""
    drawing = copy.deepcopy(generator).eval()
    measured = held.targets.measure(draw(drawing, held.source, held.label, channels=1))  # type: ignore[arg-type]
    return "".join(f"{measured.figures[name]:>18.4f}" for name in FIGURES)


def begun(seed: int, half_life: float) -> Trainer:
    """A run of the plain baseline, about to begin."""
    train = {"device": "cpu", "threads": 1, "seed": seed, "ema_half_life": half_life}
    trainer = build(make_config({}, {"train": train}, plugins=[], model="zi2zi"), None)
    trainer.G.train()
    trainer.D.train()
    return trainer


def worth(seed: int, lengths: list[int], half_life: float) -> None:
    """Print figures at each length."""
    trainer = begun(seed, half_life)
    assert isinstance(trainer.model, Zi2zi) and trainer.average is not None
    (held,) = held_out(trainer.model.data)
    fixed = AveragedModel(
        trainer.G,
        multi_avg_fn=get_ema_multi_avg_fn(0.5 ** (trainer.batch_size / half_life)),  # type: ignore[no-untyped-call]
    )
    for length in lengths:
        while trainer.balance.step < length:
            trainer.step(trainer.next_batch())
            fixed.update_parameters(trainer.G)
        for name, generator in (("G", trainer.G), ("average", trainer.average.module), ("fixed", fixed.module)):
            print(f"{seed:>4}{length:>7}  {name:<9}" + figures(generator, held), flush=True)


def cost(half_life: float) -> None:
    """Print CPU seconds of a step without the average, and of an update of it."""
    trainer, average = begun(0, 0), begun(0, half_life).average
    assert average is not None
    steps, updates = [], []
    for _ in range(TIMED):
        for times, action in (
            (steps, lambda: trainer.step(trainer.next_batch())),
            (updates, lambda: average.update_parameters(trainer.G)),
        ):
            before = time.process_time()
            action()
            times.append(time.process_time() - before)
    step, update = statistics.median(steps), statistics.median(updates)
    print(f"a step {1000 * step:.0f} ms, an update of the average {1000 * update:.1f} ms: {update / step:+.1%}")


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description="what the average of G's weights is worth, and what it costs")
    parser.add_argument("--steps", default="100,300,1500")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--half-life", type=float, default=800)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cost(given.half_life)
    print(f"{'seed':>4}{'steps':>7}  {'':<9}" + "".join(f"{name:>18}" for name in FIGURES))
    for seed in map(int, filter(None, given.seeds.split(","))):
        worth(seed, sorted(map(int, given.steps.split(","))), given.half_life)


if __name__ == "__main__":
    main()
