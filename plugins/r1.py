"""r1: D is kept flat around real images (R1), around generated ones (R2), or both, in every 16th of its updates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from balancer import CompositionView, Plugin, PluginConfig, StepContext, hookimpl
from balancer.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    # D's logits on images: of one discriminator, or a list of those of several.
    Discriminate = Callable[[Tensor], Any]


def scores(logits: Any) -> list[Tensor]:
    """One number an item from each discriminator, the mean of its logits on it: tensors of shape (B,) in fp32."""
    several = [logits] if hasattr(logits, "detach") else logits
    return [one.float().reshape(len(one), -1).mean(1) for one in several]


def exact_slope(discriminate: Discriminate, images: Tensor) -> Tensor:
    """E‖∇D(x)‖², a scalar in the graph of D's weights; of several discriminators their mean.

    Source: Mescheder et al. 2018 (arXiv 1801.04406). It costs a double backward pass.
    """
    import torch

    at = images.detach().requires_grad_()
    found = []
    for score in scores(discriminate(at)):
        (gradient,) = torch.autograd.grad(score.sum(), at, create_graph=True)
        found.append(gradient.float().flatten(1).square().sum(1).mean())
    return torch.stack(found).mean()


def approximate_slope(discriminate: Discriminate, images: Tensor, moved: Tensor, sigma: float) -> Tensor:
    """E((D(x + σε) − D(x)) / σ)² with ε from N(0, I), whose expectation is E‖∇D(x)‖² for a small σ.

    `moved` are the images x + σε. Source: the approximated R1 of APT (Lin et al. 2025, arXiv 2501.08316), λ‖D(x) −
    D(x + σε)‖², which is γ/2 of this at γ = 2λσ². No backward pass but D's own is needed.
    """
    import torch

    pairs = zip(scores(discriminate(images)), scores(discriminate(moved)), strict=True)
    return torch.stack([((there - here) / sigma).square().mean() for here, there in pairs]).mean()


class R1(Plugin):
    """Adds a zero-centred gradient penalty to D's loss, lazily."""

    name = "r1"

    class Config(PluginConfig):
        """Settings of r1."""

        on: Literal["real", "fake", "both"] = Field(
            "real", description="around which images: R1, R2 or both (R1 in StyleGAN2, both in R3GAN)"
        )
        mode: Literal["exact", "finite_difference"] = Field(
            "exact", description="finite_difference needs no double backward pass (APT, Lin et al. 2025)"
        )
        gamma: float = Field(
            10.0,
            ge=0,
            le=1e6,
            description="γ (Mescheder et al. 2018); APT's λ = 100 at σ = 0.01 is γ = 0.02",
        )
        every: int = Field(
            16, ge=1, le=100000, description="updates of D from one penalty to the next (StyleGAN2, Karras et al. 2020)"
        )
        sigma: float = Field(
            0.01, gt=0, le=1, description="σ of finite_difference, in units of the images (APT: 0.01, videos 0.1)"
        )

        @model_validator(mode="after")
        def _sigma_is_used(self) -> R1.Config:
            if self.mode == "exact" and self.sigma != type(self).model_fields["sigma"].default:
                raise ValueError('sigma does nothing with mode = "exact": leave it out, or take "finite_difference"')
            return self

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.brings_terms = {"real": ("r1",), "fake": ("r2",), "both": ("r1", "r2")}[config.on]

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> dict[str, Tensor] | None:
        config = self.config
        # Updates of D, not steps: a D that rests would be skipped over, and a part of a batch would count for a whole.
        if ctx.d_updates % config.every or config.gamma == 0:
            return None
        if ctx.discriminate is None:
            raise ConfigError(
                "r1 runs D once more: pass discriminate= to balance.d_loss_terms, a function of images and condition "
                "that returns D's logits"
            )
        sides = {"r1": (ctx.real, ctx.condition), "r2": (ctx.fake, ctx.fake_condition)}
        # Half of the paper's γ/2, since D's loss here is the mean of its halves, and in the papers their sum.
        strength = config.every * config.gamma / 4
        return {name: strength * self._slope(ctx.discriminate, *sides[name]) for name in self.brings_terms}

    def _slope(self, discriminate: Any, images: Tensor | None, condition: Tensor | None) -> Tensor:
        import torch

        assert images is not None
        device, sigma = images.device.type, self.config.sigma
        # Half precision would drown a difference of logits: where it comes from autocast, D computes without it here.
        if torch.is_autocast_enabled(device):
            images = images.float()
            if condition is not None and condition.is_floating_point():
                condition = condition.float()
        with torch.autocast(device, enabled=False):
            if self.config.mode == "exact":
                return exact_slope(lambda at: discriminate(at, condition), images)
            noise = torch.randn(images.shape, generator=self.rank_rng).to(images)
            return approximate_slope(lambda at: discriminate(at, condition), images, images + sigma * noise, sigma)

    def check(self, composition: CompositionView) -> Iterable[str]:
        for name in ("adaptive_augment", "instance_noise"):
            if name in composition.configs:
                yield f"it keeps D flat around images as they are, while {name} shows D others"
