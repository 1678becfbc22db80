"""Feature matching (Salimans et al. 2016; as in HiFi-GAN, Kong et al. 2020, arXiv 2010.05646, eq. 4)."""

import torch
from torch import Tensor

from balancer import KnobSpec, Plugin, StepContext, hookimpl


class FeatureMatching(Plugin):
    """λ · Σ over D's maps of E|D_i(x) − D_i(G)|, with λ = 2."""

    name = "feature_matching"
    sees = ("features",)
    brings_terms = ("match",)
    brings_knobs = (
        KnobSpec("lambda_match", "weight of feature matching", ("set", "mul"), "before_g_backward", base=2.0),
    )

    @hookimpl
    def g_loss_terms(self, ctx: StepContext) -> dict[str, Tensor]:
        assert ctx.real_features is not None and ctx.fake_features is not None
        apart = [
            (real.detach() - fake).abs().float().mean()
            for real, fake in zip(ctx.real_features, ctx.fake_features, strict=True)
        ]
        return {"match": torch.stack(apart).sum()}
