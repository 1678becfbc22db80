"""A script of any order: two tiny networks and the calls of a loop, one by one, with every real step counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from balancer import Balancer, Plugin
from support.stripped import weights


class Script:
    """What a training script does between `start_step` and the next.

    Adam itself counts what was really done; nothing of that goes through Balancer.
    """

    def __init__(
        self,
        plugins: Sequence[str | type[Plugin]] = (),
        settings: Mapping[str, Any] | None = None,
        make: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
        **options: Any,
    ) -> None:
        torch.manual_seed(0)
        self.G = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        self.D = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
        self.opt = {"d": make(self.D.parameters(), lr=1e-3), "g": make(self.G.parameters(), lr=1e-3)}
        self.rows: list[dict[str, float]] = []
        self.plugins, self.settings = plugins, settings or {}
        self.options: dict[str, Any] = {
            "optimizers": self.opt,
            "supplies": {"d_adv"},
            "obeys": {"lambda_adv", "d_update", "lr_d"},
            "on_row": lambda _, row: self.rows.append(dict(row)),
            "audit": "error",
            **options,
        }
        self.balance = self.made()
        self.draw = torch.Generator().manual_seed(1)
        # Whether D's part of the present round was left out, since plugins said so.
        self.rests = False

    def made(self) -> Balancer:
        return Balancer(self.plugins, settings=self.settings, **self.options)

    def resume(self) -> None:
        """Go on with another Balancer, from the state of this one."""
        state = self.balance.state_dict()
        self.balance.end_run(RuntimeError("stopped"))
        self.balance = self.made()
        self.balance.load_state_dict(state)

    def start(self, **epoch: int) -> None:
        self.balance.start_step(**epoch)
        self.rests = not self.balance.d_update
        self.real = torch.randn(8, 2, generator=self.draw) + 2
        self.draw_fake()
        self.logits: tuple[Tensor, Tensor] | None = None

    def draw_fake(self) -> None:
        self.fake = self.G(torch.randn(8, 4, generator=self.draw))
        self.used = False

    def d_pass(self) -> None:
        """D's loss and its backward pass, without an update."""
        self.logits = self.D(self.real), self.D(self.fake.detach())
        if not self.rests:
            (0.5 * (F.softplus(-self.logits[0]).mean() + F.softplus(self.logits[1]).mean())).backward()

    def step(self, role: str) -> None:
        """An update, and its gradients thrown away."""
        if role == "g" or not self.rests:
            self.opt[role].step()
        self.opt[role].zero_grad()

    def report(self) -> None:
        assert self.logits is not None
        self.balance.after_d_step(real_logits=self.logits[0].detach(), fake_logits=self.logits[1].detach())

    def g_pass(self, *, moment: bool = False) -> None:
        """G's loss and its backward pass, which leaves nothing in D."""
        if self.used:  # another micro-batch, or another update
            self.draw_fake()
        self.used = True
        self.D.requires_grad_(False)
        adv = F.softplus(-self.D(self.fake)).mean()
        l1 = (self.fake - self.real).abs().mean()
        if moment:
            self.balance.before_g_backward(adv=adv, l1=l1)
        (self.balance.lambda_adv * adv + l1).backward()
        self.D.requires_grad_(True)

    def d(self) -> None:
        """D's turn: pass, update, report."""
        self.d_pass()
        self.step("d")
        self.report()

    def g(self, *, moment: bool = False) -> None:
        """G's turn: pass, update."""
        self.g_pass(moment=moment)
        self.step("g")

    def play(self, ops: str) -> None:
        """Calls as letters: s start_step, d p r D's update, pass, report; G the same as g q; m q with its moment."""
        for op in ops.replace(" ", ""):
            self.op(op)

    def op(self, letter: str) -> None:
        calls: dict[str, Callable[[], object]] = {
            "s": self.start,
            "p": self.d_pass,
            "d": lambda: self.step("d"),
            "r": self.report,
            "q": self.g_pass,
            "m": lambda: self.g_pass(moment=True),
            "g": lambda: self.step("g"),
            "e": self.balance.end_step,
        }
        calls[letter]()

    def true(self, role: str) -> int:
        """The updates that the optimizer itself counts."""
        return max((int(state["step"]) for state in self.opt[role].state.values()), default=0)

    def updates(self, role: str) -> list[int]:
        """The updates of each row."""
        return [int(row[f"updates/{role}"]) for row in self.rows]

    def column(self, tag: str) -> list[float]:
        return [row.get(tag, float("nan")) for row in self.rows]

    def end(self) -> None:
        """End the run, and insist that what was counted is what was done."""
        self.balance.end_run()
        for role, counted in (("d", self.balance.d_updates), ("g", self.balance.g_updates)):
            assert counted == self.true(role) == sum(self.updates(role))

    @property
    def bits(self) -> str:
        return weights({"D": self.D, "G": self.G})
