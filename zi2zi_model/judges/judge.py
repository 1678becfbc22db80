"""Two small networks that judge drawn glyphs: which character each shows, and how far their strokes are from a style.

They are trained on free fonts (`benchmarks/train_judges.py`) and shipped as weights. Both compare pictures with
pictures, so a font or a character that they never saw needs no training.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load as load_tensors
from torch import Tensor, nn
from torch.nn import functional as F

from balancer.errors import DataError
from zi2zi_model.data.glyphs import Pixels

SIDE: Final = 64  # pixels of the pictures that both see
WEIGHTS: Final = Path(__file__).parent / "weights"
RECORD: Final = "judges.json"
AT_ONCE: Final = 16  # pictures: what a layer makes of them then fits a processor's cache, which is three times as fast

Features = npt.NDArray[np.float32]


def features(judge: str, pictures: Pixels) -> Features:
    """Features (n, F) of pictures (n, S, S) by the judge `content` (of length 1) or `style`."""
    network = load(judge)
    with torch.no_grad():
        parts = [
            network(to_judge(pictures[first : first + AT_ONCE])).numpy() for first in range(0, len(pictures), AT_ONCE)
        ]
    together: Features = np.concatenate(parts)
    return together


def to_judge(pictures: Pixels) -> Tensor:
    """uint8 (n, S, S) as ink in [0, 1], float (n, 1, 64, 64)."""
    ink = 1 - torch.from_numpy(np.ascontiguousarray(pictures)).float()[:, None] / 255
    if ink.shape[-1] == SIDE:
        return ink
    return F.interpolate(ink, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)


@cache
def load(judge: str) -> nn.Module:
    """A judge with its shipped weights, in evaluation mode.

    Raises:
        DataError: the weights are missing, or not those that the record names.
    """
    path = WEIGHTS / f"{judge}.safetensors"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"judge weights {path}: cannot be read: {error.strerror}; install balancer again") from error
    if hashlib.sha256(data).hexdigest() != record()[judge]["sha256"]:
        raise DataError(f"judge weights {path}: are not those that {RECORD} names; install balancer again")
    network = JUDGES[judge]()
    network.load_state_dict({name: tensor.float() for name, tensor in load_tensors(data).items()})
    return network.eval()


@cache
def record() -> dict[str, Any]:
    """How the judges were made and what they were measured to do.

    Raises:
        DataError: it is missing or damaged.
    """
    path = WEIGHTS / RECORD
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"judge record {path}: missing or damaged; install balancer again") from error
    return loaded


class ContentJudge(nn.Module):
    """Ink (n, 1, 64, 64) to a feature of length 1 (n, 128), alike for one character in different fonts."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 32, 64, 128, 192)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.places = nn.Sequential(*layers, nn.Flatten())
        self.feature = nn.Linear(widths[-1] * 16, 128)

    def forward(self, ink: Tensor) -> Tensor:
        return F.normalize(self.feature(self.places(ink)), dim=1)


class StyleJudge(nn.Module):
    """Ink (n, 1, 64, 64) to features (n, 64): averages over all places of what a 17-pixel window shows.

    Each feature has mean 0 and variance 1 over the glyphs that the judge was trained on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.texture = nn.Sequential(
            *(nn.Conv2d(1, 16, 5, 1, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Conv2d(32, 48, 3, 1, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU()),
            *(nn.Conv2d(48, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        )
        self.standard = nn.BatchNorm1d(64, affine=False)

    def forward(self, ink: Tensor) -> Tensor:
        # Blank places say nothing of the strokes, and how many there are depends on the character.
        places = self.texture(ink)
        weight = F.adaptive_avg_pool2d(ink, places.shape[-2:]) + 1e-3
        pooled: Tensor = self.standard((places * weight).sum((2, 3)) / weight.sum((2, 3)))
        return pooled


JUDGES: Final[dict[str, type[nn.Module]]] = {"content": ContentJudge, "style": StyleJudge}
