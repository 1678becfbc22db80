"""What the judges' training does to pictures: nuisances that leave a character what it is, and damage that does not."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LONGEST = 7  # taps of a Gaussian: enough for 1.6 px


def affine(ink: Tensor) -> Tensor:
    """Ink turned, sheared, scaled and shifted at random."""
    n = len(ink)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0] = 1 + 0.12 * (2 * torch.rand(n) - 1)
    matrix[:, 1, 1] = 1 + 0.12 * (2 * torch.rand(n) - 1)
    matrix[:, 0, 1] = 0.12 * (2 * torch.rand(n) - 1)
    matrix[:, 1, 0] = 0.12 * (2 * torch.rand(n) - 1)
    matrix[:, :, 2] = 0.12 * (2 * torch.rand(n, 2) - 1)
    return F.grid_sample(ink, F.affine_grid(matrix, [*ink.shape], align_corners=False), align_corners=False)


def soft_or_hard(ink: Tensor) -> Tensor:
    """Ink blurred a little at random, then thicker or thinner around a random threshold, from soft to hard."""
    n = len(ink)
    soft = torch.lerp(ink, F.avg_pool2d(ink, 3, 1, 1), torch.rand(n, 1, 1, 1))
    threshold, slope = 0.3 + 0.4 * torch.rand(n, 1, 1, 1), 1 + 3 * torch.rand(n, 1, 1, 1)
    return ((soft - threshold) * slope + threshold).clamp(0, 1)


def shifted(ink: Tensor) -> Tensor:
    """Ink shifted by up to 4 pixels, all of a batch alike."""
    down, across = torch.randint(-4, 5, (2,)).tolist()
    return torch.roll(ink, (down, across), (2, 3))


def nuisances(ink: Tensor, *, blur: float, weight: float, grey: float) -> Tensor:
    """Ink (n, 1, S, S) made bolder or thinner, blurred and greyer at random; a third of it is left as it is in each.

    Args:
        blur: most sigma of the Gaussian in pixels.
        weight: most pixels by which an edge moves, at most 1.
        grey: least share of the ink that is left.
    """
    n = len(ink)
    share = weight * _sometimes(n)
    bolder, thinner = F.max_pool2d(ink, 3, 1, 1), -F.max_pool2d(-ink, 3, 1, 1)
    ink = torch.lerp(ink, torch.where(torch.rand(n, 1, 1, 1) < 0.5, bolder, thinner), share)
    ink = _blurred(ink, blur * _sometimes(n))
    return ink * (1 - (1 - grey) * _sometimes(n))


def damaged(ink: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Ink with a box erased, drawn over with that of another glyph, or replaced by it; and the share that changed.

    The share is of the ink that either picture has, (n,) in [0, 1]: 0 where the box was empty in both.
    """
    n, _, side, _ = ink.shape
    extent = (torch.rand(n, 2) * 0.35 + 0.15) * side
    first = torch.rand(n, 2) * (side * 0.8 - extent) + 0.1 * side
    # A third of the boxes are bands over the whole width, a third over the whole height.
    whole = torch.randint(0, 3, (n, 1)) == torch.arange(2)
    first, extent = torch.where(whole, 0.0, first), torch.where(whole, float(side), extent)
    place = torch.arange(side)
    inside = (place >= first[..., None]) & (place < (first + extent)[..., None])
    box = (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]
    way = torch.randint(0, 3, (n, 1, 1, 1))
    drawn = torch.where(way == 0, 0.0, torch.where(way == 1, torch.maximum(ink, other), other))
    spoilt = torch.where(box, drawn, ink)
    changed = (spoilt - ink).abs().sum((1, 2, 3)) / torch.maximum(spoilt, ink).sum((1, 2, 3)).clamp(min=1)
    return spoilt, changed


def _sometimes(n: int) -> Tensor:
    """Uniform in [0, 1], and 0 for a third: (n, 1, 1, 1)."""
    return (1.5 * torch.rand(n, 1, 1, 1) - 0.5).clamp(min=0)


def _blurred(ink: Tensor, sigma: Tensor) -> Tensor:
    """Ink (n, 1, S, S) under a Gaussian of its own sigma each, in pixels."""
    n, _, side, _ = ink.shape
    taps = torch.arange(LONGEST) - LONGEST // 2
    kernel = torch.softmax(-(taps**2) / (2 * sigma.view(n, 1).clamp(min=0.05) ** 2), 1)
    across = F.conv2d(ink.view(1, n, side, side), kernel.view(n, 1, 1, LONGEST), padding=(0, LONGEST // 2), groups=n)
    down = F.conv2d(across, kernel.view(n, 1, LONGEST, 1), padding=(LONGEST // 2, 0), groups=n)
    return down.view(n, 1, side, side)
