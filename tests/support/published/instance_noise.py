"""Instance noise (Sønderby et al. 2017, arXiv 1610.04490): D sees real and generated images with noise on them."""

from typing import Any

import torch

from balancer import KnobSpec, Plugin, PluginConfig, RunInfo, StepContext, hookimpl


class InstanceNoise(Plugin):
    """x + σε; σ falls linearly to 0 over the first half of the run as it is planned."""

    name = "instance_noise"
    brings_knobs = (KnobSpec("d_noise", "standard deviation of the noise", ("set",), "on_step_start", base=0.0),)
    writes = {"d_noise": ("set",)}

    class Config(PluginConfig):
        sigma: float = 0.1
        share: float = 0.5

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        self.length = self.config.share * (run.steps or 1_000)

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        self.knobs["d_noise"].set(self.config.sigma * max(0.0, 1.0 - ctx.step / self.length))

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        noise = torch.randn(images.shape, generator=self.rank_rng).to(images)
        return images + self.knobs["d_noise"].held * noise, condition
