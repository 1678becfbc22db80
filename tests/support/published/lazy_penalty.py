"""Lazy R1 and R2 (Mescheder et al. 2018; every 16th update, Karras et al. 2020): D is kept flat around images."""

from typing import Any

import torch
from torch import Tensor

from balancer import Plugin, PluginConfig, StepContext, hookimpl


class LazyR1(Plugin):
    """γ/2 · E‖∇D(x)‖² in every 16th update of D, 16 times as strong."""

    name = "lazy_r1"
    brings_terms = ("r1",)

    class Config(PluginConfig):
        gamma: float = 10.0
        every: int = 16

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> dict[str, Tensor] | None:
        return self.penalty(ctx, ctx.real, ctx.condition)

    def penalty(self, ctx: StepContext, images: Any, condition: Any) -> dict[str, Tensor] | None:
        if ctx.d_updates % self.config.every:
            return None
        at = images.detach().requires_grad_()
        (slope,) = torch.autograd.grad(ctx.discriminate(at, condition).float().sum(), at, create_graph=True)
        (name,) = self.brings_terms
        strength = self.config.every * self.config.gamma / 2
        return {name: strength * slope.float().square().flatten(1).sum(1).mean()}


class LazyR2(LazyR1):
    """The same around generated images."""

    name = "lazy_r2"
    brings_terms = ("r2",)

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> dict[str, Tensor] | None:
        return self.penalty(ctx, ctx.fake, ctx.fake_condition)
