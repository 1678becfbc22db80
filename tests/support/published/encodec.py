"""EnCodec's balancer (Défossez et al. 2022, arXiv 2210.13438, 3.4): each gradient at the output has its share."""

from collections.abc import Mapping
from typing import Any

from balancer import Plugin, PluginConfig, StepContext, hookimpl


class EncodecBalance(Plugin):
    """λ_i = R · w_i / Σw / ⟨‖∂l_i/∂x̂‖⟩_β, where ⟨⟩ is a moving average with β = 0.999, corrected for its start."""

    name = "encodec_balance"
    sees = ("gradients",)

    class Config(PluginConfig):
        shares: dict[str, float]
        total: float = 1.0
        beta: float = 0.999

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.writes = {f"lambda_{term}": ("set",) for term in config.shares}
        self.sums = dict.fromkeys(config.shares, (0.0, 0.0))

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        assert ctx.gradient_norm is not None
        beta = self.config.beta
        for term, share in self.config.shares.items():
            norm, (total, count) = ctx.gradient_norm(term, at="output"), self.sums[term]
            if norm is not None:
                self.sums[term] = total, count = beta * total + norm, beta * count + 1
            if total:
                ratio = share / sum(self.config.shares.values())
                self.knobs[f"lambda_{term}"].set(min(self.config.total * ratio * count / total, 1e6))

    def state_dict(self) -> dict[str, Any]:
        return {term: list(sums) for term, sums in self.sums.items()}

    def load_state_dict(self, state: Mapping[str, Any], version: int) -> None:
        self.sums = {term: (sums[0], sums[1]) for term, sums in state.items()}
