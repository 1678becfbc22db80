"""One real training loop on two small networks, right or with one wiring bug, and what its audit said."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from balancer import Balancer
from balancer.errors import BalancerWarning


class Wired:
    """A conditional GAN on points: G moves noise to a ring; D first, G first, or several D steps to one of G."""

    def __init__(
        self, bug: str = "", *, order: str = "d_first", seed: int = 0, lr: float = 1e-3, plugins: Sequence[Any] = (),
        adversarial: str = "bce", **options: Any,
    ) -> None:  # fmt: skip
        torch.manual_seed(seed)
        self.bug, self.order, self.adversarial = bug, order, adversarial
        self.G = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
        last = [nn.Sigmoid()] if bug == "sigmoid" else []
        self.D = nn.Sequential(nn.Linear(2, 16), nn.Dropout(0.1), nn.LeakyReLU(0.2), nn.Linear(16, 1), *last)
        of_d = list(self.D.parameters())
        self.opt_g = torch.optim.Adam(
            [*self.G.parameters(), *(of_d if bug == "shared" else [])], lr=lr, betas=(0.5, 0.9)
        )
        self.opt_d = torch.optim.Adam(of_d, lr=lr, betas=(0.5, 0.9))
        told = {"d": self.opt_d, "g": self.opt_g}
        if bug == "exchanged":
            told = {"d": self.opt_g, "g": self.opt_d}
        if bug == "rebuilt":
            self.opt_d = torch.optim.Adam(of_d, lr=lr)
        if bug == "eval":
            self.D.eval()
        if bug.endswith("_forgotten"):
            self.adversarial = bug.removesuffix("_forgotten")
        self.balance = Balancer(
            list(plugins), optimizers=told, base={"lambda_adv": 1.0, "lambda_l1": 10.0}, supplies={"d_adv"},
            obeys={"lambda_adv", "d_update", "lr_d"}, adversarial=adversarial, **options,
        )  # fmt: skip

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        if self.adversarial == "lsgan":
            return 0.5 * ((real - 1).square().mean() + fake.square().mean())
        if self.adversarial == "hinge":
            return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
        if self.bug == "sigmoid":
            return 0.5 * (F.binary_cross_entropy(real, torch.ones_like(real)) + F.binary_cross_entropy(fake, 0 * fake))
        return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())

    def adv(self, fake: Tensor) -> Tensor:
        if self.adversarial == "lsgan":
            return (fake - 1).square().mean()
        return -fake.mean() if self.adversarial == "hinge" else F.softplus(-fake).mean()

    def d_part(self, z: Tensor, real: Tensor) -> None:
        balance, bug = self.balance, self.bug
        due = bug == "skip_ignored" or balance.d_update
        fake = self.G(z)
        r, f = self.D(real), self.D(fake if bug == "not_detached" else fake.detach())
        if due:
            if bug != "d_not_zeroed":
                self.opt_d.zero_grad()
            self.d_loss(r, f).backward()
            if bug != "never":
                self.opt_d.step()
        passed = (f, r) if bug == "swapped" else (r, f)
        balance.after_d_step(real_logits=passed[0], fake_logits=passed[1])

    def g_part(self, z: Tensor, real: Tensor) -> None:
        balance, bug = self.balance, self.bug
        fake = self.G(z)
        adv, l1 = self.adv(self.D(fake)), F.l1_loss(fake, real)
        balance.before_g_backward(adv=adv, l1=l1)
        weight = 1.0 if bug == "unread" else balance.lambda_adv
        if bug != "not_detached":
            self.opt_g.zero_grad()
        (weight * adv + 10.0 * l1).backward()
        if bug != "never_g":
            self.opt_g.step()
        if bug == "not_detached":
            return

    def step(self) -> None:
        self.balance.start_step(epoch=0)
        z = torch.randn(16, 4)
        angle = torch.rand(16, 1) * 6.283
        real = torch.cat([angle.cos(), angle.sin()], 1) * 2
        parts: list[Callable[[Tensor, Tensor], None]] = [self.d_part, self.g_part]
        if self.order == "g_first":
            parts.reverse()
        elif self.order == "n_critic":
            parts = [self.d_part, self.d_part, self.d_part, self.g_part]
        for part in parts:
            part(z, real)

    def run(self, steps: int) -> list[str]:
        """Train, and return what was said."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", BalancerWarning)
            with self.balance:
                for _ in range(steps):
                    self.step()
        return [str(one.message) for one in caught if issubclass(one.category, BalancerWarning)]
