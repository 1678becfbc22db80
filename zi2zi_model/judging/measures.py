"""Figures for what G draws beside what it should have drawn: structure (L1, SSIM) and stroke style (patches, edges)."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from zi2zi_model.data.glyphs import Pixels

Images = npt.NDArray[np.float64]

PATCH: Final = 7  # pixels, as in the sliced Wasserstein distance of Karras et al. 2018
DIRECTIONS: Final = 64
MOST_PATCHES: Final = 100_000

# Each figure: what the target itself has, and what to know of it.
MEASURES: Final = {
    "L1": "0 is the target; rewards blur",
    "SSIM": "1 is the target; rewards blur",
    "patch distance": "0 is the target; stroke style",
    "edge sharpness": "1 is as sharp as the target",
}


def measure(output: Pixels, target: Pixels) -> dict[str, float]:
    """Held-out figures of outputs (n, S, S) against their targets, ink 1 and paper 0.

    `L1` is the mean absolute difference; `SSIM` the mean structural similarity; both reward a blurred
    picture. `patch distance` compares the distribution of inked 7×7 patches, whatever their place:
    stroke weight, ends and texture. `edge sharpness` is the outputs' share of the targets' gradient
    energy, 1 where they are as sharp.
    """
    one, two = ink(output), ink(target)
    ssim = structural_similarity_index_measure(
        torch.from_numpy(one)[:, None], torch.from_numpy(two)[:, None], data_range=1.0
    )
    assert isinstance(ssim, torch.Tensor)
    return {
        "L1": float(np.abs(one - two).mean()),
        "SSIM": float(ssim),
        "patch distance": patch_distance(one, two),
        "edge sharpness": gradient_energy(one) / gradient_energy(two),
    }


def ink(pixels: Pixels) -> Images:
    """uint8 with paper 255 as float with paper 0 and ink 1."""
    return 1.0 - pixels.astype(np.float64) / 255.0


def gradient_energy(images: Images) -> float:
    """Mean squared difference of neighbouring pixels."""
    return float(np.mean(np.diff(images, axis=1) ** 2) + np.mean(np.diff(images, axis=2) ** 2))


def patch_distance(one: Images, two: Images) -> float:
    """Sliced Wasserstein distance between the inked 7×7 patches of two sets of images.

    Seeded directions in patch space, sorted projections, mean absolute difference (Rabin et al. 2011).
    Patches are raw: their weight and contrast are part of a stroke's style. Where there are more than
    100,000, every k-th is taken.
    """
    directions = np.random.default_rng(0).standard_normal((PATCH * PATCH, DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    quantiles = np.linspace(0.0, 1.0, 513)
    projected = [np.quantile(_patches(images) @ directions, quantiles, axis=0) for images in (one, two)]
    return float(np.abs(projected[0] - projected[1]).mean())


def _patches(images: Images) -> Images:
    """Inked patches (m, 49)."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))
    inked = windows[windows.max(axis=(-2, -1)) > 0.25]
    taken: Images = inked[:: len(inked) // MOST_PATCHES + 1].reshape(-1, PATCH * PATCH)
    return taken
