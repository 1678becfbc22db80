"""lecam: D's logits are pulled towards a moving average of those on the other side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from balancer import CompositionView, Plugin, PluginConfig, StepContext, hookimpl
from balancer.errors import CompositionError, ConfigError

if TYPE_CHECKING:
    from torch import Tensor


def lecam_distance(real: Tensor, fake: Tensor, average_real: float, average_fake: float) -> Tensor:
    """E relu(D(x) − average_fake)² + E relu(average_real − D(G))², a scalar in fp32, of logits of any shape.

    Source: Tseng et al. 2021 (arXiv 2104.03310); `lecam_reg` in google/lecam-gan.
    """
    above = (real.float() - average_fake).relu().square().mean()
    below = (average_real - fake.float()).relu().square().mean()
    return above + below


class LeCam(Plugin):
    """Adds the LeCam distance of D's logits from their moving averages to D's loss."""

    name = "lecam"
    reads: tuple[str, ...] = ("d_logit_real", "d_logit_fake")
    brings_terms = ("lecam",)

    class Config(PluginConfig):
        """Settings of lecam."""

        weight: float = Field(
            0.3,
            ge=0,
            le=1e4,
            description="λ (lc-biggan-cifar10-0.2.sh of google/lecam-gan, hinge); it is loss-specific",
        )
        decay: float = Field(0.99, ge=0, lt=1, description="of the averages, for each update of D (google/lecam-gan)")
        discriminators: int = Field(
            1, ge=1, le=100, description="how many D's logits are of; each has averages of its own (our choice)"
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.discriminators > 1:
            sides = ("d_logit_real", "d_logit_fake")
            self.reads = tuple(f"{side}/{index}" for side in sides for index in range(config.discriminators))
        # Of each discriminator, on real and on generated images; none before the first update of D.
        self.averages: list[tuple[float, float]] = []

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> dict[str, Tensor] | None:
        import torch

        real, fake = _each(ctx.real_logits), _each(ctx.fake_logits)
        if len(real) != self.config.discriminators:
            raise ConfigError(
                f"lecam.discriminators = {self.config.discriminators}, but D's logits are of {len(real)} "
                f"discriminators: set lecam.discriminators = {len(real)}"
            )
        if not self.averages or self.config.weight == 0:
            return None
        distances = [
            lecam_distance(on_real, on_fake, *averages)
            for on_real, on_fake, averages in zip(real, fake, self.averages, strict=True)
        ]
        # Half, since D's loss here is the mean of its halves, and in the paper their sum.
        return {"lecam": 0.5 * self.config.weight * torch.stack(distances).mean()}

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        if ctx.d_skipped:
            return
        readings = [self.signals[name] for name in self.reads]
        values = [reading.value for reading in readings if reading is not None and reading.fresh]
        if len(values) < len(readings):
            return
        count, decay = self.config.discriminators, self.config.decay
        now = list(zip(values[:count], values[count:], strict=True))
        self.averages = [
            (decay * real + (1 - decay) * on_real, decay * fake + (1 - decay) * on_fake)
            for (real, fake), (on_real, on_fake) in zip(self.averages or now, now, strict=True)
        ]

    def check(self, composition: CompositionView) -> Iterable[str]:
        host = composition.host
        several = sum(name.startswith("d_logit_real/") for name in host.signals)
        if several > self.config.discriminators:
            raise CompositionError(
                f"lecam.discriminators = {self.config.discriminators}, but {host.name} has {several}, each with logits "
                f"of its own scale: set lecam.discriminators = {several}"
            )
        if host.adversarial.relative:
            yield (
                f"the {host.adversarial.name} loss leaves it open where D's logits lie, and lecam pulls at where they "
                "lie: a drift of both sides counts as distance"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"averages": [list(pair) for pair in self.averages]}

    def load_state_dict(self, state: Mapping[str, Any], version: int) -> None:
        # Of another number of discriminators they tell nothing.
        if len(state["averages"]) == self.config.discriminators:
            self.averages = [(real, fake) for real, fake in state["averages"]]


def _each(logits: Any) -> list[Tensor]:
    """The logits of each discriminator."""
    return [logits] if hasattr(logits, "detach") else list(logits)
