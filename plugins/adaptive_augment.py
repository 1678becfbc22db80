"""adaptive_augment: what D sees is moved, scaled and turned as often as D is too sure of real images (ADA)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from balancer import CompositionView, Plugin, PluginConfig, RunInfo, SignalSpec, StepContext, hookimpl
from balancer.errors import BalancerWarning, ConfigError

if TYPE_CHECKING:
    from torch import Generator, Tensor


def next_probability(p: float, r_t: float, target: float, share: float) -> float:
    """p after one adjustment: up by `share` where r_t is above the target, down where it is below, within [0, 1].

    Source: Karras et al. 2020 (arXiv 2006.06676, section 3); `training_loop.py` of NVlabs/stylegan2-ada-pytorch, where
    nothing keeps p below 1.
    """
    return min(max(p + share * ((r_t > target) - (r_t < target)), 0.0), 1.0)


class Drawn(NamedTuple):
    """What becomes of each item: tensors of shape (B,) on the CPU.

    Shifts are shares of the width and of the height, the angle is in radians, counter-clockwise; values v become
    contrast · v + brightness.
    """

    shift_x: Tensor
    shift_y: Tensor
    scale: Tensor
    angle: Tensor
    contrast: Tensor
    brightness: Tensor


def draw(items: int, size: tuple[int, int], p: float, config: AdaptiveAugment.Config, generator: Generator) -> Drawn:
    """Transformations for `items` images of this height and width, each of them with probability p an item.

    Distributions are those of `augment.py` of NVlabs/stylegan2-ada-pytorch, but that the angle is bounded.
    """
    import torch

    def uniform() -> Tensor:
        return 2 * torch.rand(items, generator=generator) - 1

    def normal() -> Tensor:
        return torch.randn(items, generator=generator)

    def at_times(values: Tensor, else_: float = 0.0) -> Tensor:
        return torch.where(torch.rand(items, generator=generator) < p, values, torch.tensor(else_))

    height, width = size
    whole = at_times(torch.ones(items))  # both coordinates move by whole pixels, or none
    shift_x = whole * (uniform() * config.shift * width).round() / width
    shift_y = whole * (uniform() * config.shift * height).round() / height
    between = at_times(torch.ones(items))
    return Drawn(
        shift_x + between * config.drift * normal(),
        shift_y + between * config.drift * normal(),
        at_times(2.0 ** (config.scale * normal()), 1.0),
        at_times(uniform() * math.radians(config.rotate)),
        at_times(2.0 ** (config.contrast * normal()), 1.0),
        at_times(config.brightness * normal()),
    )


def augmented(images: Tensor, drawn: Drawn, padding: Literal["border", "reflection"]) -> Tensor:
    """Images of shape (B, C, H, W) under their transformations, in their dtype; differentiable, bilinear.

    Items that nothing happens to are returned to the bit.
    """
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    shift_x, shift_y, scale, angle, contrast, brightness = (one.to(images.device) for one in drawn)
    height, width = images.shape[2:]
    # A pixel of the result comes from where the inverse takes it; y points downwards, and a grid spans [-1, 1].
    cos, sin = angle.cos() / scale, angle.sin() / scale
    left, up = shift_x * 2, shift_y * 2
    across, down = -sin * height / width, sin * width / height
    inverse = torch.stack(
        [
            torch.stack([cos, across, -cos * left - across * up], dim=1),
            torch.stack([down, cos, -down * left - cos * up], dim=1),
        ],
        dim=1,
    )
    with torch.autocast(images.device.type, enabled=False):
        values = images.float()
        grid = affine_grid(inverse, list(images.shape), align_corners=False)
        moved = grid_sample(values, grid, mode="bilinear", padding_mode=padding, align_corners=False)
        each = (-1, 1, 1, 1)
        stays = (shift_x == 0) & (shift_y == 0) & (scale == 1) & (angle == 0)
        values = torch.where(stays.view(each), values, moved)
        values = contrast.view(each) * values + brightness.view(each)
    return values.to(images.dtype)


class AdaptiveAugment(Plugin):
    """Transforms images and condition alike, before D, with a probability p that follows r_t = E[sign D(real)]."""

    name = "adaptive_augment"
    reads = ("d_acc_real",)
    brings_signals = (SignalSpec("ada_p", "plugin", "probability of each transformation of what D sees, in [0, 1]"),)

    class Config(PluginConfig):
        """Settings of adaptive_augment; ADA is Karras et al. 2020 with its code, NVlabs/stylegan2-ada-pytorch."""

        target: float = Field(0.6, ge=-1, le=1, description="r_t to aim at (ADA)")
        every: int = Field(4, ge=1, le=100000, description="updates of D from one adjustment of p to the next (ADA)")
        images: int = Field(
            500_000, ge=1, le=10**9, description="real images in which p goes from 0 to 1 (ADA: ada_kimg = 500)"
        )
        batch_size: int | None = Field(
            None, ge=1, le=10**6, description="items in a step over all ranks, where the loop does not tell"
        )
        initial: float = Field(0.0, ge=0, le=1, description="p at the start (ADA)")
        shift: float = Field(
            0.125, ge=0, le=1, description="largest shift by whole pixels, a share of width and height (ADA: xint_max)"
        )
        drift: float = Field(
            0.125, ge=0, le=1, description="deviation of a shift between pixels, a share of both (ADA: xfrac_std)"
        )
        scale: float = Field(0.2, ge=0, le=2, description="deviation of log2 of the scale (ADA: scale_std)")
        rotate: float = Field(
            5.0, ge=0, le=180, description="largest angle in degrees (our choice: a turned glyph is another; ADA: 180)"
        )
        brightness: float = Field(0.0, ge=0, le=2, description="deviation of what is added (ADA: 0.2; off for glyphs)")
        contrast: float = Field(0.0, ge=0, le=2, description="deviation of log2 of a factor (ADA: 0.5; off for glyphs)")
        padding: Literal["border", "reflection"] = Field(
            "border", description="what comes in from outside (a glyph's margin continues so; ADA: reflection)"
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.p = config.initial
        # r_t of the updates of D since the last adjustment.
        self.signs: list[float] = []
        self.batch_size = config.batch_size
        self._told = False

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        self.batch_size = self.config.batch_size or run.batch_size
        if self.batch_size is None:
            raise ConfigError(
                "adaptive_augment counts images, and this loop does not tell how many a step has: pass batch_size= to "
                "Balancer, or give adaptive_augment.batch_size"
            )

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        self.publish("ada_p", self.p)

    @hookimpl
    def transform_d_input(
        self, ctx: StepContext, images: Tensor, condition: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        if images.ndim != 4:
            self._tell(tuple(images.shape))
            return images, condition
        if self.p == 0:
            return images, condition
        height, width = images.shape[2:]
        drawn = draw(len(images), (height, width), self.p, self.config, self.rank_rng)
        seen = augmented(images, drawn, self.config.padding)
        if condition is not None and condition.ndim == 4 and condition.is_floating_point():
            condition = augmented(condition, drawn, self.config.padding)
        return seen, condition

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        # Here, so that p is one throughout a step; a D that rests does not answer to it, so that it would only wind up.
        reading = self.signals["d_acc_real"]
        if ctx.d_skipped or reading is None or not reading.fresh:
            return
        # The mean of signs, of which a share d_acc_real is +1.
        self.signs.append(2 * reading.value - 1)
        if len(self.signs) >= self.config.every:
            assert self.batch_size is not None
            r_t = math.fsum(self.signs) / len(self.signs)
            share = self.batch_size * len(self.signs) / self.config.images
            self.p = next_probability(self.p, r_t, self.config.target, share)
            self.signs = []

    def check(self, composition: CompositionView) -> Iterable[str]:
        if getattr(composition.configs.get("d_skip"), "accuracy_above", None) is not None:
            yield (
                "it and d_skip's gate both answer to how often D is right on real images: D rests before p has risen, "
                "and p stands still while D rests; keep one of them"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"p": self.p, "signs": list(self.signs)}

    def load_state_dict(self, state: Mapping[str, Any], version: int) -> None:
        self.p, self.signs = state["p"], list(state["signs"])

    def _tell(self, shape: tuple[int, ...]) -> None:
        """Say once that this D sees no images."""
        if not self._told:
            self._told = True
            text = (
                f"adaptive_augment: D sees tensors of shape {shape}, not images (B, C, H, W): they are left as they are"
            )
            warnings.warn(text, BalancerWarning, stacklevel=2)
