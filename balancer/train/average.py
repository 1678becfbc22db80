"""The moving average of G's weights, with which a run draws: how much of it each step keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

# `ema_rampup` of Karras et al. 2020 (StyleGAN2-ADA, NVlabs/stylegan2-ada-pytorch): the half-life is at most this share
# of the items so far. Without it a short run would draw with what is left of its initial weights.
RAMP: Final = 0.05


def kept(batch_size: int, half_life: float, items: float) -> float:
    """The share of the average that a step of `batch_size` items keeps, after `items` that were averaged already.

    0.5^(batch size / half-life), as in Karras et al. 2018 (PGGAN) and the StyleGANs; 0 where there were no items.
    """
    shortened = min(half_life, RAMP * items)
    return 0.5 ** (batch_size / shortened) if shortened else 0.0


class MovingAverage(AveragedModel):
    """An average of G's weights that begins at those after the first step; buffers are G's own.

    Args:
        half_life: in training items, above 0.
    """

    def __init__(self, G: nn.Module, batch_size: int, half_life: float) -> None:
        super().__init__(G, multi_avg_fn=self._follow)
        self._batch_size: Final = batch_size
        self._half_life: Final = half_life

    def begin(self, G: nn.Module) -> None:
        """Forget what was averaged: the average is G as it is now."""
        self.module.load_state_dict(G.state_dict())
        self.n_averaged.zero_()

    def _follow(self, averages: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor | int) -> None:
        # `count` lies on the device, which would have to be waited for; the buffer that it comes from does not.
        items = self._batch_size * int(self.n_averaged)
        follow = get_ema_multi_avg_fn(kept(self._batch_size, self._half_life, items))  # type: ignore[no-untyped-call]
        follow(averages, weights, count)
