"""A training loop with two discriminators and an optimizer for each, right or with something amiss."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from balancer import Balancer
from balancer.errors import BalancerWarning


class TwoDs:
    """One D sees points, the other their squares.

    Args:
        passed: whose optimizers Balancer is given ("ab", "a"), or "anew" for others on the same weights.
        never: the D whose optimizer never steps.
        turns: so many steps only the first one is trained, then as many only the second, and so on.
    """

    def __init__(self, passed: str = "ab", *, plugins: Sequence[Any] = (), never: str = "", turns: int = 0) -> None:
        torch.manual_seed(0)
        self.G = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        self.D = {name: nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1)) for name in "ab"}
        self.opts = {name: torch.optim.Adam(d.parameters(), lr=1e-3) for name, d in self.D.items()}
        self.opt_g = torch.optim.Adam(self.G.parameters(), lr=1e-3)
        self.never, self.turns, self.rounds = never, turns, 0
        given = [self.opts[name] for name in passed] if passed != "anew" else [
            torch.optim.Adam(d.parameters(), lr=1e-3) for d in self.D.values()
        ]  # fmt: skip
        self.balance = Balancer(
            list(plugins), optimizers={"d": given, "g": self.opt_g}, base={"lambda_adv": 1.0, "lambda_l1": 1.0},
            supplies={"d_adv"}, obeys={"lambda_adv", "d_update", "lr_d"},
        )  # fmt: skip

    def logits(self, points: Tensor) -> list[Tensor]:
        return [self.D["a"](points), self.D["b"](points.square())]

    def step(self) -> None:
        real, fake = torch.randn(16, 2) + 2, self.G(torch.randn(16, 4))
        r, f = self.logits(real), self.logits(fake.detach())
        due = "ab" if not self.turns else "ab"[self.rounds // self.turns % 2]
        for opt in self.opts.values():
            opt.zero_grad()
        sum(
            (F.softplus(-x).mean() + F.softplus(y).mean() for x, y in zip(r, f, strict=True)), torch.zeros(())
        ).backward()
        for name in due:
            if not self.balance.d_update:
                self.opts[name].zero_grad()
            if name != self.never:
                self.opts[name].step()
        self.balance.after_d_step(real_logits=r, fake_logits=f)
        adv = torch.stack([F.softplus(-x).mean() for x in self.logits(fake)]).sum()
        l1 = fake.abs().mean()
        self.balance.before_g_backward(adv=adv, l1=l1)
        self.opt_g.zero_grad()
        (self.balance.lambda_adv * adv + l1).backward()
        self.opt_g.step()
        self.rounds += 1

    def run(self, steps: int) -> list[str]:
        """Train, and return what was said."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", BalancerWarning)
            with self.balance:
                for _ in range(steps):
                    self.balance.start_step()
                    self.step()
        return [str(one.message) for one in caught if issubclass(one.category, BalancerWarning)]
