"""A tiny conditional GAN on 8 × 8 images, outlines in and filled shapes out: the toy of convolutions, for conformance.

Nothing in it is random but the weights: each item brings its own noise. So a batch gives the same, computed whole or in
parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from balancer.contract.losses import AdversarialName
from balancer.contract.model import DOutput, GanModel, GOutput, HeadSpec, ModelFamily, ModelSpec
from balancer.contract.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from balancer.contract.model import Batch

SIZE: Final = 8
SHAPES: Final = 2
PROBED: Final = 16


class ImagesSettings(Settings):
    """`model.*` of the images model."""

    items: int = Field(64, ge=1, description="training images")
    width: int = Field(8, ge=1, description="channels")
    adversarial: AdversarialName = Field("bce", description="adversarial loss")
    norm: Literal["none", "batch"] = Field("none", description="normalisation in D")


class ImagesFamily(ModelFamily):
    """Discs and squares, drawn from their outlines by a convolutional G and judged patch by patch."""

    Settings = ImagesSettings

    def spec(self, settings: ImagesSettings) -> ModelSpec:
        return ModelSpec(
            adversarial=settings.adversarial,
            weights={"l1": 10.0, "category": 1.0},
            d_terms=("category",),
            heads={"category": HeadSpec(d_terms=("category",), g_terms=("category",))},
            features=True,
            structure_error=True,
            conditional=True,
        )

    def build(self, settings: ImagesSettings) -> GanModel:
        return ImagesModel(settings, self.spec(settings))


class ImagesModel(GanModel):
    """Images of shape (B, 1, 8, 8) in [-1, 1]; D sees the outline beside them."""

    def __init__(self, settings: ImagesSettings, spec: ModelSpec) -> None:
        from torch import nn

        self.spec = spec
        self.train_size = settings.items
        self._data = _shapes(settings.items)
        width = settings.width
        self.generator = nn.Sequential(
            nn.Conv2d(2, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 3, padding=1), nn.Tanh()
        )
        self.discriminator = _discriminator(width, settings.norm)

    def batch(self, indices: Sequence[int]) -> Batch:
        return {name: values[list(indices)] for name, values in self._data.items()}

    def real(self, batch: Batch) -> Tensor:
        return batch["filled"]

    def condition(self, batch: Batch) -> Tensor:
        return batch["outline"]

    def generate(self, generator: nn.Module, batch: Batch) -> GOutput:
        import torch

        return GOutput(generator(torch.cat([batch["outline"], batch["noise"]], dim=1)))

    def discriminate(self, discriminator: nn.Module, images: Tensor, condition: Tensor | None) -> DOutput:
        import torch

        assert condition is not None
        logits, category, features = discriminator(torch.cat([images, condition], dim=1))
        return DOutput(logits, {"category": category}, (features,))

    def d_terms(self, real: DOutput, fake: DOutput, batch: Batch) -> dict[str, Tensor]:
        from torch.nn import functional as F

        return {"category": F.cross_entropy(real.heads["category"], batch["shape"])}

    def g_terms(self, fake: GOutput, judged: DOutput, batch: Batch) -> dict[str, Tensor]:
        from torch.nn import functional as F

        l1 = F.l1_loss(fake.images, batch["filled"])
        return {"l1": l1, "category": F.cross_entropy(judged.heads["category"], batch["shape"])}

    def probe_batch(self, *, held_out: bool) -> Batch:
        return _shapes(PROBED, seed=1) if held_out else self.batch(range(min(PROBED, self.train_size)))

    def probe(self, images: Tensor, batch: Batch) -> Mapping[str, float]:
        return {"structure_error": float((images - batch["filled"]).abs().mean())}

    def head_parameters(self, head: str) -> Iterable[nn.Parameter]:
        return self.discriminator.get_submodule(head).parameters()


def _shapes(items: int, seed: int = 0) -> dict[str, Tensor]:
    """Discs (shape 0) and squares (shape 1) of several sizes and places."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    shape = torch.arange(items) % SHAPES
    centre = SIZE / 2 + 2 * (torch.rand(items, 2, 1, 1, generator=draw) - 0.5)
    radius = 1.5 + 1.5 * torch.rand(items, 1, 1, generator=draw)
    y, x = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    across, down = x - centre[:, 0], y - centre[:, 1]
    distance = torch.where(
        shape[:, None, None] == 0, torch.hypot(across, down), torch.maximum(across.abs(), down.abs())
    )
    off = (distance - radius)[:, None]
    noise = torch.randn(items, 1, SIZE, SIZE, generator=draw)
    return {
        "filled": torch.tanh(-2 * off),
        "outline": (off.abs() < 0.7).float() * 2 - 1,
        "noise": noise,
        "shape": shape,
    }


def _discriminator(width: int, norm: str) -> nn.Module:
    from torch import nn

    class Discriminator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            normalised = nn.BatchNorm2d(width) if norm == "batch" else nn.Identity()
            self.body = nn.Sequential(nn.Conv2d(2, width, 4, 2, 1), normalised, nn.LeakyReLU(0.2))
            self.patches = nn.Conv2d(width, 1, 3, padding=1)
            self.category = nn.Linear(width * (SIZE // 2) ** 2, SHAPES)

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            features = self.body(images)
            return self.patches(features), self.category(features.flatten(1)), features

    return Discriminator()
