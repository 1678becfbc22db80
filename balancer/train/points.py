"""A tiny conditional GAN on 2-D points: the second model of the loop, for tests, examples and quick trials."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from balancer.contract.losses import AdversarialName
from balancer.contract.model import DOutput, FigureSpec, GanModel, GOutput, HeadSpec, ModelFamily, ModelSpec
from balancer.contract.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from balancer.contract.model import Batch


PROBED: Final = 64


class PointsSettings(Settings):
    """`model.*` of the points model."""

    points: int = Field(512, ge=1, description="training points")
    modes: int = Field(4, ge=1, le=64, description="Gaussians on a ring, one class each")
    width: int = Field(32, ge=1, description="hidden units")
    adversarial: AdversarialName = Field("bce", description="adversarial loss, built in or installed")
    head: bool = Field(True, description="give D a head that names the mode")
    norm: Literal["none", "batch"] = Field("none", description="normalisation in D")
    lambda_category: float = Field(1.0, ge=0, description="weight of the category term in G's loss")


class PointsFamily(ModelFamily):
    """A ring of Gaussians, drawn by a two-layer G and judged by a two-layer D."""

    Settings = PointsSettings

    def spec(self, settings: PointsSettings) -> ModelSpec:
        if not settings.head:
            return ModelSpec(adversarial=settings.adversarial, features=True, structure_error=True)
        return ModelSpec(
            adversarial=settings.adversarial,
            weights={"category": settings.lambda_category},
            d_terms=("category",),
            heads={"category": HeadSpec(d_terms=("category",), g_terms=("category",))},
            features=True,
            structure_error=True,
        )

    def figures(self) -> Mapping[str, FigureSpec]:
        return {
            "class error": FigureSpec(0.0, "mean distance of a drawn point to the centre of its class"),
            "energy distance": FigureSpec(0.0, "between drawn and real points of a class (Székely and Rizzo 2013)"),
        }

    def measure(self, folder: Path) -> Mapping[str, Mapping[str, float]]:
        from balancer.train.measured_points import measured

        return measured(folder)

    def build(self, settings: PointsSettings) -> GanModel:
        return PointsModel(settings, self.spec(settings))


class PointsModel(GanModel):
    """Points of shape (B, 2); G sees noise and a one-hot mode, D sees points."""

    def __init__(self, settings: PointsSettings, spec: ModelSpec) -> None:
        from torch import nn

        self.spec = spec
        self.train_size = settings.points
        self._data = _ring(settings.points, settings.modes)
        self._classes = settings.modes
        width = settings.width
        self.generator = nn.Sequential(
            nn.Linear(2 + settings.modes, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 2)
        )
        self.discriminator = _discriminator(settings)

    def batch(self, indices: Sequence[int]) -> Batch:
        return {name: values[list(indices)] for name, values in self._data.items()}

    def probe_batch(self, *, held_out: bool) -> Batch:
        return _ring(PROBED, self._classes, seed=1) if held_out else self.batch(range(min(PROBED, self.train_size)))

    def probe(self, images: Tensor, batch: Batch) -> Mapping[str, float]:
        return {"structure_error": float((images - _centres(batch["mode"], self._classes)).norm(dim=1).mean())}

    def real(self, batch: Batch) -> Tensor:
        return batch["points"]

    def generate(self, generator: nn.Module, batch: Batch) -> GOutput:
        import torch
        from torch.nn import functional as F

        mode = F.one_hot(batch["mode"], self._classes).to(batch["points"].dtype)
        noise = torch.randn_like(batch["points"])
        return GOutput(generator(torch.cat([noise, mode], dim=1)))

    def discriminate(self, discriminator: nn.Module, images: Tensor, condition: Tensor | None) -> DOutput:
        logits, category, features = discriminator(images, maps=True)
        return DOutput(logits, {} if category is None else {"category": category}, (features,))

    def d_terms(self, real: DOutput, fake: DOutput, batch: Batch) -> dict[str, Tensor]:
        from torch.nn import functional as F

        if not self.spec.d_terms:
            return {}
        halves = [F.cross_entropy(output.heads["category"], batch["mode"]) for output in (real, fake)]
        return {"category": 0.5 * (halves[0] + halves[1])}

    def g_terms(self, fake: GOutput, judged: DOutput, batch: Batch) -> dict[str, Tensor]:
        from torch.nn import functional as F

        if not self.spec.weights:
            return {}
        return {"category": F.cross_entropy(judged.heads["category"], batch["mode"])}

    def last_layer(self) -> nn.Parameter | None:
        weight: nn.Parameter = self.generator.get_submodule("3").weight  # type: ignore[assignment]
        return weight

    def head_parameters(self, head: str) -> Iterable[nn.Parameter]:
        return self.discriminator.get_submodule(head).parameters()


def _ring(points: int, modes: int, seed: int = 0) -> dict[str, Tensor]:
    """Points of the modes in turn, with a spread of 0.05 around their centres."""
    import torch

    mode = torch.arange(points) % modes
    spread = 0.05 * torch.randn(points, 2, generator=torch.Generator().manual_seed(seed))
    return {"points": _centres(mode, modes) + spread, "mode": mode}


def _centres(mode: Tensor, modes: int) -> Tensor:
    """The centres (B, 2) of these modes, on the unit circle."""
    import torch

    angle = 2 * math.pi * mode / modes
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def _discriminator(settings: PointsSettings) -> nn.Module:
    from torch import nn

    class Discriminator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            width = settings.width
            norm = nn.BatchNorm1d(width) if settings.norm == "batch" else nn.Identity()
            self.body = nn.Sequential(nn.Linear(2, width), norm, nn.LeakyReLU(0.2), nn.Linear(width, width), nn.ReLU())
            self.binary = nn.Linear(width, 1)
            self.category = nn.Linear(width, settings.modes) if settings.head else None

        def forward(self, points: Tensor, maps: bool = False) -> tuple[Tensor | None, ...]:
            features = self.body(points)
            category = None if self.category is None else self.category(features)
            return (self.binary(features), category, features) if maps else (self.binary(features), category)

    return Discriminator()
