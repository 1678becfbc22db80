"""Looks at held-out glyphs while zi2zi trains: what one costs beside a step, and the share of a run at N steps apart.

The tiny preset on the embedded fonts (25 held-out glyphs) or on fonts of one's own, one CPU thread, CPU seconds of this
process; medians of looks and of steps taken in turns:

    python benchmarks/probe_cost.py [--source FONT --targets FONT,FONT --charset NAME]
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch

from balancer.contract.compose import compose
from balancer.contract.host import model_host
from balancer.record.train_settings import TrainSettings
from balancer.train.accelerator import make_accelerator
from balancer.train.loop import Trainer
from zi2zi_model.family import Zi2ziFamily
from zi2zi_model.settings import Zi2ziSettings


def main() -> None:
    """Print seconds of a step and of a look, and shares."""
    parser = argparse.ArgumentParser(description="what looks at held-out glyphs cost")
    parser.add_argument("--source")
    parser.add_argument("--targets")
    parser.add_argument("--charset", default="demo")
    parser.add_argument("--held-out", type=float, default=0.3)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    torch.set_num_threads(1)
    fonts: dict[str, Any] = {"source": given.source, "targets": given.targets} if given.targets else {}
    model = Zi2ziSettings(charset=given.charset, held_out=given.held_out, **fonts)
    train = TrainSettings(device="cpu", batch_size=8, ema_half_life=800.0)
    composition = compose([], {}, host=model_host("zi2zi", Zi2ziFamily().spec(model), train.lambda_adv))
    accelerator = make_accelerator(train, composition)
    trainer = Trainer(Zi2ziFamily().build(model), composition, train, accelerator, None)
    trainer.step(trainer.next_batch())
    trainer.probe()
    steps, looks = [], []
    for _ in range(given.rounds):
        for times, action in ((steps, lambda: trainer.step(trainer.next_batch())), (looks, trainer.probe)):
            began = time.process_time()
            action()
            times.append(time.process_time() - began)
    step, look = statistics.median(steps), statistics.median(looks)
    held = len(trainer.model.probe_batch(held_out=True)["style"])  # type: ignore[index]
    print(f"a step {1000 * step:.0f} ms, a look at {held} held-out glyphs {1000 * look:.0f} ms")
    for every in (50, 200, 1000):
        print(f"train.probe_every={every}: +{look / (every * step):.1%}")


if __name__ == "__main__":
    main()
