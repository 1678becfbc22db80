"""Real GANs, small enough to be trained in a test: points on a ring of eight Gaussians, as their papers draw them."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EVERY = 5  # steps to a row


class Row(NamedTuple):
    """What a training loop could print of one step; outputs of D are probabilities for BCE, else as they are."""

    step: int
    real: float
    fake: float
    penalty: float
    g: float
    d_x: float
    d_g_z1: float
    d_g_z2: float


@functools.cache
def small_gan(loss: str, *, lr_d: float = 1e-3, lr_g: float = 1e-3, steps: int = 800, seed: int = 0) -> tuple[Row, ...]:
    """The rows of a run: `loss` is bce, lsgan, hinge or wgan (with its gradient penalty)."""
    random = torch.random.get_rng_state()
    torch.manual_seed(seed)
    g, d = _network(4, 2), _network(2, 1)
    optimizers = [torch.optim.Adam(net.parameters(), lr, betas=(0.5, 0.9)) for net, lr in ((g, lr_g), (d, lr_d))]
    rows = []
    for step in range(steps):
        real, fake = _points(128), g(torch.randn(128, 4))
        of_real, of_fake = d(real), d(fake.detach())
        halves = _halves(loss, of_real, of_fake)
        penalty = _penalty(d, real, fake.detach()) if loss == "wgan" else torch.zeros(())
        _update(optimizers[1], halves[0] + halves[1] + penalty)
        again = d(g(torch.randn(128, 4)))
        for_g = F.softplus(-again) if loss == "bce" else (again - 1).square() if loss == "lsgan" else -again
        _update(optimizers[0], for_g.mean())
        if step % EVERY == 0:
            shown = [out.sigmoid() if loss == "bce" else out for out in (of_real, of_fake, again)]
            figures = [*halves, penalty, for_g.mean(), *(one.mean() for one in shown)]
            rows.append(Row(step, *(float(figure.detach()) for figure in figures)))
    torch.random.set_rng_state(random)
    return tuple(rows)


def _network(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(inputs, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, outputs))
    )


def _points(count: int) -> Tensor:
    angles = torch.randint(0, 8, (count,)) * math.pi / 4
    return 1.5 * torch.stack([angles.cos(), angles.sin()], 1) + 0.08 * torch.randn(count, 2)


def _halves(loss: str, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    if loss == "bce":
        return F.softplus(-real).mean(), F.softplus(fake).mean()
    if loss == "lsgan":
        return (real - 1).square().mean(), fake.square().mean()
    if loss == "hinge":
        return F.relu(1 - real).mean(), F.relu(1 + fake).mean()
    return -real.mean(), fake.mean()


def _penalty(d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    at = torch.rand(len(real), 1)
    between = (at * real + (1 - at) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(d(between).sum(), between, create_graph=True)
    return 10 * (gradient.norm(dim=1) - 1).square().mean()


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
