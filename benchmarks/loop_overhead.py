"""What the loop and the plugins cost: our step against a bare hand-written zi2zi step, interleaved, one thread.

    python benchmarks/loop_overhead.py --rounds 150

Four copies of the `tiny` preset take turns on the same batches: a bare step, the same with the loop's own check that
gradients are finite, the loop without plugins or logs, and the loop with all six plugins and TensorBoard. The plugins'
settings leave the arithmetic as it is (D is updated in every step, no head is frozen), so that what differs is
balancing itself. Sheets, checkpoints and the average of G's weights, which is off here, are measured elsewhere.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from balancer.record.run_config import make_config
from balancer.train.accelerator import make_accelerator
from balancer.train.loop import Trainer
from zi2zi_model.network.losses import category_loss
from zi2zi_model.network.model import Zi2zi

PLUGINS = ("d_lr_ratio", "d_skip", "dynamic_lambda", "freeze_head", "label_smoothing", "lambda_schedule")
SAME_WORK = {"d_skip": {"every": 1}, "freeze_head": {"until": 0}}


def bare_step(model: Zi2zi, batch_size: int, *, checked: bool = False) -> Callable[[dict[str, torch.Tensor]], None]:
    """The step of the PyTorch ports, written out: G forward, D once, G once, nothing measured."""
    G, D, settings = model.generator, model.discriminator, model.settings
    opt_g = torch.optim.Adam(G.parameters(), lr=5e-4, betas=(0.5, 0.999), fused=True)
    opt_d = torch.optim.Adam(D.parameters(), lr=5e-4, betas=(0.5, 0.999), fused=True)
    one, zero = torch.ones(batch_size, 1), torch.zeros(batch_size, 1)

    def check(network: nn.Module) -> None:
        if checked:
            norms = torch._foreach_norm([p.grad for p in network.parameters() if p.grad is not None])
            assert math.isfinite(torch.linalg.vector_norm(torch.stack(norms)).item())

    def step(batch: dict[str, torch.Tensor]) -> None:
        source, target, style = batch["source"], batch["target"], batch["style"]
        fake, code = G(source, style)
        D.requires_grad_(True)
        opt_d.zero_grad(set_to_none=True)
        real_logits, real_category = D(target, source)
        fake_logits, fake_category = D(fake.detach(), source)
        binary = F.binary_cross_entropy_with_logits(real_logits, one)
        binary = binary + F.binary_cross_entropy_with_logits(fake_logits, zero)
        category = category_loss(real_category, style) + category_loss(fake_category, style)
        (0.5 * binary + 0.5 * category).backward()
        check(D)
        opt_d.step()
        D.requires_grad_(False)
        opt_g.zero_grad(set_to_none=True)
        fake_logits, fake_category = D(fake, source)
        adv = F.binary_cross_entropy_with_logits(fake_logits, one)
        l1 = F.l1_loss(fake, target)
        const = F.mse_loss(code, G.encode(fake))
        loss = adv + settings.lambda_l1 * l1 + settings.lambda_const * const + category_loss(fake_category, style)
        loss.backward()
        check(G)
        opt_g.step()

    return step


def loop_step(model: Zi2zi, plugins: Sequence[str], folder: Path | None) -> tuple[Trainer, Callable[..., None]]:
    """Our loop's step with these plugins, logging into `folder` if given."""
    settings = {name: values for name, values in SAME_WORK.items() if name in plugins}
    train = {"device": "cpu", "log_every": 10, "ema_half_life": 0}
    config = make_config({}, {"train": train, **settings}, plugins=plugins, model="zi2zi")
    trainer = Trainer(
        model, config.composition, config.train, make_accelerator(config.train, config.composition), folder
    )
    return trainer, trainer.step


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Median of paired ratios and its 95 % bootstrap interval."""
    values = np.asarray(ratios)
    resampled = np.random.default_rng(0).choice(values, (2000, len(values)))
    low, high = np.quantile(np.median(resampled, axis=1), [0.025, 0.975])
    return float(np.median(values)), float(low), float(high)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=150)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = make_config({}, {}, plugins=[], model="zi2zi")
    model = config.family.build(config.model)
    assert isinstance(model, Zi2zi)
    with tempfile.TemporaryDirectory() as folder:
        plain, plain_step = loop_step(copy.deepcopy(model), (), None)
        full, full_step = loop_step(copy.deepcopy(model), PLUGINS, Path(folder))
        bare = bare_step(copy.deepcopy(model), plain.batch_size)
        checked = bare_step(copy.deepcopy(model), plain.batch_size, checked=True)
        seconds: dict[str, list[float]] = {
            "bare step": [],
            "bare step, gradients checked": [],
            "loop, no plugins": [],
            "loop, six plugins, TensorBoard": [],
        }
        turns = list(zip(seconds, (bare, checked, plain_step, full_step), strict=True))
        for trainer in (plain, full):
            trainer.G.train()
            trainer.D.train()
        for index in range(rounds + 5):
            batch = plain.next_batch()
            # Who goes first changes with every round.
            for name, step in turns[index % 4 :] + turns[: index % 4]:
                began = time.perf_counter()
                step(batch)
                if index >= 5:
                    seconds[name].append(time.perf_counter() - began)
        full.balance.end_run()
    base = seconds["bare step"]
    print(f"tiny preset, batch {plain.batch_size}, one thread, {rounds} rounds, log_every 10")
    for name, values in seconds.items():
        line = f"{name:<32}{1000 * statistics.median(values):8.2f} ms"
        if values is not base:
            middle, low, high = interval([ours / bare for ours, bare in zip(values, base, strict=True)])
            line += (
                f"   {100 * (middle - 1):+.2f} % (95 % interval {100 * (low - 1):+.2f} to {100 * (high - 1):+.2f} %)"
            )
        print(line)


if __name__ == "__main__":
    main()
