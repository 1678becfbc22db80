"""feature_matching: G's images are to give D the intermediate maps that their targets give it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from balancer import CompositionView, KnobSpec, Plugin, PluginConfig, StepContext, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

TERM = "feature_matching"
# Built-in plugins that change what D sees by chance, for real and generated images each by itself.
BY_CHANCE = ("adaptive_augment", "instance_noise")


class FeatureMatching(Plugin):
    """The mean L1 distance of D's maps on G's images and on their targets (pix2pixHD: Wang et al. 2018, 1711.11585)."""

    name = "feature_matching"
    sees = ("features",)
    brings_terms = (TERM,)

    class Config(PluginConfig):
        """Settings of feature_matching."""

        weight: float = Field(
            10.0,
            ge=0,
            le=1e4,
            description="base of lambda_feature_matching (lambda_feat of pix2pixHD, which adds a D's four maps where "
            "this takes their mean)",
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        base = KnobSpec(
            f"lambda_{TERM}",
            "weight of the feature matching term in G's loss",
            ("set", "set_or_max", "mul", "max", "min"),
            "before_g_backward",
            base=config.weight,
        )
        self.brings_knobs = (base,)

    @hookimpl
    def g_loss_terms(self, ctx: StepContext) -> dict[str, Tensor] | None:
        apart = distance(ctx.real_features, ctx.fake_features)
        return None if apart is None else {TERM: apart}

    def check(self, composition: CompositionView) -> Iterable[str]:
        for other in BY_CHANCE:
            if other in composition.configs:
                yield (
                    f"{other} changes what D sees of an image and of its target each by itself, so that their maps "
                    "differ where the images do not"
                )
        if "adversarial_start" in composition.configs:
            yield (
                f"adversarial_start holds lambda_adv at 0 and leaves lambda_{TERM} as it is: until its start G follows "
                "the maps of a D that was never trained"
            )


def distance(real: Any, fake: Any) -> Tensor | None:
    """The mean over D's maps of the mean absolute difference of real and generated items, in fp32; None without maps.

    Maps are items first, of one discriminator or, in lists, of several. Where there are more generated items than real
    ones, the first ones count, as many as there are real ones: those of which these are the targets.
    """
    import torch

    pairs = zip(maps(real), maps(fake), strict=True)
    apart = [(one.detach().float() - other[: len(one)].float()).abs().mean() for one, other in pairs]
    return torch.stack(apart).mean() if apart else None


def maps(features: Any) -> Iterator[Tensor]:
    """All maps, in order, of lists within lists."""
    if isinstance(features, list | tuple):
        for one in features:
            yield from maps(one)
    else:
        yield features
