"""LeCam regularisation (Tseng et al. 2021, arXiv 2104.03310): D's logits are pulled to each other's averages."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from balancer import Plugin, PluginConfig, StepContext, hookimpl


class LeCam(Plugin):
    """λ · (E relu(D(x) − EMA_fake)² + E relu(EMA_real − D(G))²); averages of D's logits over all ranks."""

    name = "lecam"
    reads = ("d_logit_real", "d_logit_fake")
    brings_terms = ("lecam",)

    class Config(PluginConfig):
        weight: float = 0.3
        decay: float = 0.99

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.ema: list[float] | None = None

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> dict[str, Tensor] | None:
        if self.ema is None:
            return None
        real, fake = self.ema
        apart = (ctx.real_logits - fake).relu().square().mean() + (real - ctx.fake_logits).relu().square().mean()
        return {"lecam": self.config.weight * apart}

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        read = [self.signals[name] for name in self.reads]
        if not ctx.d_skipped and all(reading is not None and reading.fresh for reading in read):
            now, decay = [reading.value for reading in read if reading is not None], self.config.decay
            pairs = zip(self.ema or now, now, strict=True)
            self.ema = [decay * average + (1 - decay) * value for average, value in pairs]

    def state_dict(self) -> dict[str, Any]:
        return {"ema": self.ema}

    def load_state_dict(self, state: Mapping[str, Any], version: int) -> None:
        self.ema = state["ema"]
