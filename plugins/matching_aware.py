"""matching_aware: D also judges real images beside other items' conditions, and is to call them generated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from balancer import CompositionView, Plugin, PluginConfig, StepContext, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class MatchingAware(Plugin):
    """Adds the fake half of D's loss on mismatched pairs (GAN-CLS: Reed et al. 2016, arXiv 1605.05396, algorithm 1)."""

    name = "matching_aware"
    sees = ("condition",)

    class Config(PluginConfig):
        """Settings of matching_aware."""

        weight: float = Field(
            0.5,
            gt=0,
            le=10,
            description="weight in D's loss, in which each half weighs 0.5: both kinds of fakes count alike (GAN-CLS)",
        )
        mode: Literal["mismatch", "control"] = Field(
            "mismatch",
            description="control judges generated images once more instead: a third look at D's cost without what it "
            "is to teach, for comparisons (ours)",
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.brings_terms = (config.mode,)

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> dict[str, Tensor]:
        import torch

        assert ctx.real is not None and ctx.condition is not None and ctx.fake is not None
        assert ctx.discriminate is not None and ctx.transform_d_input is not None and ctx.d_halves is not None
        others, rows = mismatched(ctx.condition)
        if not len(rows):
            # Not left out, since another part of the batch may have some.
            return {self.config.mode: ctx.condition.new_zeros((), dtype=torch.float32)}
        images, condition = ctx.real[rows], others[rows]
        if self.config.mode == "control":
            assert ctx.fake_condition is not None
            images, condition = ctx.fake[rows], ctx.fake_condition[rows]
        judged = ctx.discriminate(*ctx.transform_d_input(images, condition))
        # An item without a mismatch counts nothing: so it makes no difference how a batch is cut into parts.
        share = len(rows) / len(ctx.condition)
        return {self.config.mode: self.config.weight * share * ctx.d_halves(of(ctx.real_logits, rows), judged).fake}

    def check(self, composition: CompositionView) -> Iterable[str]:
        law = composition.configs.get("dynamic_lambda")
        if getattr(law, "signal", None) == "d_loss":
            yield f"d_loss holds d_{self.config.mode} too, which lifts it above dynamic_lambda's bands: d_adv does not"
        elif law is not None:
            yield (
                "D learns more than to tell real from generated, and is slower at that: d_adv then reads weak, and "
                "dynamic_lambda answers with its upper bands"
            )


def mismatched(condition: Tensor) -> tuple[Tensor, Tensor]:
    """Each item's neighbour's condition, and the rows (int64) in which that is another one than the item's own.

    Items (B, …) whose conditions are equal to the bit, such as one character in two styles, are no mismatch.
    """
    others = condition.roll(1, dims=0)
    rows = (others != condition).reshape(len(condition), -1).any(dim=1).nonzero().flatten()
    return others, rows


def of(logits: Any, rows: Tensor) -> Tensor | Sequence[Tensor]:
    """The logits of these items, of one discriminator or of each of several."""
    return [one[rows] for one in logits] if isinstance(logits, list | tuple) else logits[rows]
