"""The figures of drawn glyphs beside their targets: structure, sharpness, stroke style, content; what each misses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from zi2zi_model.data.glyphs import Pixels
from zi2zi_model.judges.distances import frechet_distance, kernel_distance, style_distance
from zi2zi_model.judges.judge import AT_ONCE, Features, features

Ink = npt.NDArray[np.float32]


class Figure(NamedTuple):
    """What a figure says: its value where the output is the target, its meaning, and what it is blind to."""

    best: float
    meaning: str
    blind: str

    def distance(self, value: float) -> float:
        """How far from the target a value is; the smaller, the closer."""
        return abs(value - self.best)


FIGURES: Final = {
    "L1": Figure(
        0.0, "0 is the target; rewards blur", "style; strokes of another glyph count less than a move by 1 px"
    ),
    "SSIM": Figure(1.0, "1 is the target; rewards blur", "as L1"),
    "edge sharpness": Figure(1.0, "1 is as sharp as the target", "what is drawn; half grey counts as strong blur"),
    "style distance": Figure(
        0.0, "0 is the target; 1 is as far as two fonts usually are", "what is drawn; whether all glyphs are alike"
    ),
    "Fréchet distance": Figure(0.0, "as style distance, of mean and spread", "what is drawn; larger on few glyphs"),
    "kernel distance": Figure(0.0, "as style distance, of all that is spread; the target has ±0", "what is drawn"),
    "content cosine": Figure(
        1.0, "1 is the target; how much of the character is there", "blur, weight, grey; a white page has about 0.5"
    ),
    "content margin": Figure(2.0, "by how much the own target is nearer than any other", "as content cosine"),
    "content accuracy": Figure(1.0, "share nearest to the own target", "all that leaves a glyph legible: it saturates"),
}


class Measured(NamedTuple):
    """Figures by name; and of each glyph its cosine, its margin, and the character that it is taken for."""

    figures: dict[str, float]
    cosine: Features
    margin: Features
    taken: list[str]


@dataclass(frozen=True, eq=False)
class Targets:
    """What outputs of one style are measured against.

    Attributes:
        characters: what the n glyphs show that outputs are drawn for.
        pictures: (n, S, S), those glyphs as the target has them.
        others: (m, S, S), further glyphs of the target, for which an output may be taken.
        other_characters: what those show.
    """

    characters: Sequence[str]
    pictures: Pixels
    others: Pixels
    other_characters: Sequence[str]

    def measure(self, output: Pixels) -> Measured:
        """All figures of outputs (n, S, S); of a single one without the two distances that need a spread.

        A glyph is compared with pictures of its target style alone, so that one which is the source's picture still
        has nothing to gain from it.
        """
        content, style = features("content", output), features("style", output)
        likeness = content @ self._references.T
        own = np.arange(len(output))
        cosine = likeness[own, own]
        likeness[own, own] = -1
        margin = cosine - likeness.max(1)
        names = [*self.characters, *self.other_characters]
        nearest = likeness.argmax(1).tolist()
        taken = [
            character if ahead >= 0 else names[other]
            for character, ahead, other in zip(self.characters, margin.tolist(), nearest, strict=True)
        ]
        drawn = ink(output)
        values = {
            "L1": float(np.abs(drawn - self._ink).mean()),
            "SSIM": ssim(drawn, self._ink),
            "edge sharpness": gradient_energy(drawn) / gradient_energy(self._ink),
            "style distance": style_distance(style, self._style),
        }
        if len(output) > 1:
            values["Fréchet distance"] = frechet_distance(style, self._style)
            values["kernel distance"] = kernel_distance(style, self._style)
        values["content cosine"] = float(cosine.mean())
        values["content margin"] = float(margin.mean())
        values["content accuracy"] = float((margin >= 0).mean())
        return Measured(values, cosine, margin, taken)

    @cached_property
    def _ink(self) -> Ink:
        return ink(self.pictures)

    @cached_property
    def _style(self) -> Features:
        return features("style", self.pictures)

    @cached_property
    def _references(self) -> Features:
        """Content features of `pictures` and `others`, (n + m, F)."""
        return features("content", np.concatenate([self.pictures, self.others]))


def ink(pixels: Pixels) -> Ink:
    """uint8 with paper 255 as float with paper 0 and ink 1."""
    return 1 - pixels.astype(np.float32) / np.float32(255)


def ssim(one: Ink, two: Ink) -> float:
    """Mean structural similarity of pictures (n, S, S) (Wang et al. 2004)."""
    total = 0.0
    for first in range(0, len(one), AT_ONCE):
        mine, theirs = (torch.from_numpy(pictures[first : first + AT_ONCE])[:, None] for pictures in (one, two))
        value = structural_similarity_index_measure(mine, theirs, data_range=1.0, reduction="sum")
        assert isinstance(value, torch.Tensor)
        total += float(value)
    return total / len(one)


def gradient_energy(images: Ink) -> float:
    """Mean squared difference of neighbouring pixels."""
    return float(sum(np.mean(np.diff(images, axis=axis) ** 2, dtype=np.float64) for axis in (1, 2)))
