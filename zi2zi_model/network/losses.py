"""The terms of zi2zi's loss besides the adversarial one, unweighted; every result is a scalar in fp32."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def l1_loss(fake: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of two images (B, C, H, W) in [-1, 1]: 0 to 2."""
    return F.l1_loss(fake.float(), target.float())


def const_loss(source_code: Tensor, fake_code: Tensor) -> Tensor:
    """Mean squared difference of G's codes of the source and of the generated image (DTN, Taigman et al. 2017).

    As in kaonashi-tyc/zi2zi. The gradient runs through both codes and, by the generated image, into the decoder;
    a variant that encodes the *target* instead of the generated image never teaches the decoder anything.
    """
    return F.mse_loss(fake_code.float(), source_code.float())


def category_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy of D's category logits (B, styles) against one-hot labels, mean over batch and styles.

    `labels` (B,) are integers in [0, styles). As in the ports, where each style is a yes or no of its own.
    """
    target = F.one_hot(labels, logits.shape[1]).float()
    return F.binary_cross_entropy_with_logits(logits.float(), target)
