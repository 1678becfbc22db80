"""instance_noise: D sees real and generated images with noise on them, which fades over the run."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from balancer import CompositionView, KnobSpec, Plugin, PluginConfig, RunInfo, StepContext, hookimpl
from balancer.errors import BalancerWarning

if TYPE_CHECKING:
    from torch import Tensor

SHARE = 0.5


def noise_left(step: int, length: float) -> float:
    """The share of the noise that is left at a step, falling linearly from 1 at step 0 to 0 at `length` and beyond.

    It is in thousandths: each change is a decision, and a long fall need not be one in every step.
    """
    return math.ceil(max(0.0, 1.0 - step / length) * 1000 - 1e-9) / 1000


class InstanceNoise(Plugin):
    """D(x + σε) with ε from N(0, I), in D's and in G's pass alike; the condition is left alone."""

    name = "instance_noise"
    after = ("adaptive_augment",)
    brings_knobs = (
        KnobSpec(
            "d_noise",
            "standard deviation of the noise on what D sees, in units of the images",
            ("set", "mul", "min", "max"),
            "on_step_start",
            base=0.0,
        ),
    )
    writes = {"d_noise": ("set",)}

    class Config(PluginConfig):
        """Settings of instance_noise."""

        sigma: float = Field(
            0.1, ge=0, le=100, description="σ at the start, in units of the images (our choice, for [-1, 1])"
        )
        share: float | None = Field(
            None,
            gt=0,
            le=1,
            description="share of the run's planned steps after which no noise is left; 0.5 if steps is not given "
            "either (our choice; that it falls linearly is Sønderby et al. 2017)",
        )
        steps: int | None = Field(None, ge=1, description="steps after which no noise is left, instead of share")

        @model_validator(mode="after")
        def _one_length(self) -> Self:
            if self.share is not None and self.steps is not None:
                raise ValueError("share and steps each say when no noise is left: give one of them")
            return self

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        # After how many steps no noise is left; None where nobody knows.
        self.length: float | None = config.steps

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        if self.config.steps is not None:
            return
        if run.steps is None:
            warnings.warn(
                f"instance_noise: this loop does not tell the run's planned length, so that the noise stays at "
                f"{self.config.sigma:g} and D never sees a clean image: pass steps= to Balancer, or give "
                "instance_noise.steps",
                BalancerWarning,
                stacklevel=2,
            )
        else:
            self.length = (self.config.share or SHARE) * run.steps

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        left = 1.0 if self.length is None else noise_left(ctx.step, self.length)
        self.knobs["d_noise"].set(self.config.sigma * left)

    @hookimpl
    def transform_d_input(
        self, ctx: StepContext, images: Tensor, condition: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        sigma = self.knobs["d_noise"].held
        assert isinstance(sigma, float)
        if sigma == 0:
            return images, condition
        import torch

        return images + sigma * torch.randn(images.shape, generator=self.rank_rng).to(images), condition

    def check(self, composition: CompositionView) -> Iterable[str]:
        answers = {"dynamic_lambda": "d_adv", "adaptive_augment": "d_acc_real"}
        for name, signal in answers.items():
            if name in composition.configs:
                yield f"{name} reads the {signal} of a D that sees noise: it is moved though the clean D is no weaker"
        if getattr(composition.configs.get("d_skip"), "accuracy_above", None) is not None:
            yield "d_skip reads the d_acc of a D that sees noise: its gate opens though the clean D is no weaker"
