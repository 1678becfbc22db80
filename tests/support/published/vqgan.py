"""VQGAN's adaptive weight (Esser et al. 2021, arXiv 2012.09841, eq. 7): gradients at the last layer in proportion."""

from typing import Any

from balancer import Plugin, PluginConfig, StepContext, hookimpl


class VqganWeight(Plugin):
    """λ = w · clip(‖∇rec‖ / (‖∇adv‖ + 1e-4), 0, 1e4), both at the weight of G's last layer."""

    name = "vqgan_weight"
    sees = ("gradients",)
    writes = {"lambda_adv": ("set",)}

    class Config(PluginConfig):
        weight: float = 0.8
        rec: dict[str, float]

    config: Any

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        assert ctx.gradient_norm is not None
        rec, adv = ctx.gradient_norm(self.config.rec), ctx.gradient_norm("adv")
        if rec is not None and adv is not None:  # in half precision a gradient may overflow: then the last one holds
            self.knobs["lambda_adv"].set(self.config.weight * min(rec / (adv + 1e-4), 1e4))
