"""shapes: G sharpens blurred discs and squares; D sees the blurred picture beside, and also names the shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from balancer import AdversarialName, DOutput, GanModel, GOutput, HeadSpec, ModelFamily, ModelSpec, Settings

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor, nn


class ShapesSettings(Settings):
    """`model.*` of this model."""

    size: int = Field(16, ge=8, le=64, description="side of a picture in pixels")
    pictures: int = Field(256, ge=8, description="pictures to train on")
    width: int = Field(16, ge=1, description="channels of both networks")
    adversarial: AdversarialName = Field("bce", description="adversarial loss, built in or installed")
    lambda_l1: float = Field(10.0, ge=0, description="weight of the L1 term of G's loss")
    lambda_shape: float = Field(1.0, ge=0, description="weight of the shape term, in G's loss and in D's")


class ShapesFamily(ModelFamily):
    """What the entry point names; importing it does not import torch."""

    Settings = ShapesSettings

    def spec(self, settings: ShapesSettings) -> ModelSpec:
        return ModelSpec(
            adversarial=settings.adversarial,
            weights={"l1": settings.lambda_l1, "shape": settings.lambda_shape},
            d_terms=("shape",),
            heads={"shape": HeadSpec(d_terms=("shape",), g_terms=("shape",))},
            conditional=True,
        )

    def train_defaults(self, settings: ShapesSettings) -> dict[str, Any]:
        return {"batch_size": 32, "lr": 5e-4}

    def build(self, settings: ShapesSettings) -> Shapes:
        return Shapes(settings, self.spec(settings))


class Shapes(GanModel):
    """Pictures (B, 1, S, S) in [0, 1], ink 1; the condition is the same picture, blurred."""

    def __init__(self, settings: ShapesSettings, spec: ModelSpec) -> None:
        from torch import nn

        self.spec = spec
        self.settings = settings
        self.train_size = settings.pictures
        self.sharp, self.blurred, self.shape = pictures(settings.pictures, settings.size, seed=0)
        # Never trained on.
        self.held_out = pictures(8, settings.size, seed=1)
        width = settings.width
        self.generator = nn.Sequential(
            *(nn.Conv2d(1, width, 5, padding=2), nn.ReLU()),
            *(nn.Conv2d(width, 1, 5, padding=2), nn.Sigmoid()),
        )
        self.discriminator = discriminator(width)

    def batch(self, indices: Sequence[int]) -> Mapping[str, Tensor]:
        chosen = list(indices)
        return {"sharp": self.sharp[chosen], "blurred": self.blurred[chosen], "shape": self.shape[chosen]}

    def real(self, batch: Mapping[str, Tensor]) -> Tensor:
        return batch["sharp"]

    def condition(self, batch: Mapping[str, Tensor]) -> Tensor:
        return batch["blurred"]

    def generate(self, generator: nn.Module, batch: Mapping[str, Tensor]) -> GOutput:
        return GOutput(generator(batch["blurred"]))

    def discriminate(self, discriminator: nn.Module, images: Tensor, condition: Tensor | None) -> DOutput:
        logits, shape = discriminator(images, condition)
        return DOutput(logits, {"shape": shape})

    def d_terms(self, real: DOutput, fake: DOutput, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        from torch.nn import functional as F

        halves = [F.cross_entropy(output.heads["shape"], batch["shape"]) for output in (real, fake)]
        return {"shape": self.settings.lambda_shape * 0.5 * (halves[0] + halves[1])}  # D's terms are weighted

    def g_terms(self, fake: GOutput, judged: DOutput, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        from torch.nn import functional as F

        return {  # G's are not
            "l1": F.l1_loss(fake.images.float(), batch["sharp"]),
            "shape": F.cross_entropy(judged.heads["shape"].float(), batch["shape"]),
        }

    def head_parameters(self, head: str) -> Iterable[nn.Parameter]:
        return self.discriminator.get_submodule(head).parameters()

    def sheet(self, generator: nn.Module) -> Image:
        import torch
        from PIL import Image

        sharp, blurred, _ = self.held_out
        device = next(generator.parameters()).device
        rows = [blurred, generator(blurred.to(device)).float().cpu(), sharp]
        page = torch.cat([torch.cat([*row[:, 0]], dim=1) for row in rows])
        return Image.fromarray((255 - 255 * page).byte().numpy())

    def data_record(self) -> dict[str, Any]:
        return {"training items": self.train_size, "size": self.settings.size}


def pictures(count: int, size: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sharp and blurred pictures (count, 1, S, S), and which shape each shows: 0 a disc, 1 a square."""
    import torch
    from torch.nn import functional as F

    random = torch.Generator().manual_seed(seed)
    shape = torch.arange(count) % 2
    centre = size * (0.35 + 0.3 * torch.rand(count, 2, 1, 1, generator=random))
    radius = size * (0.15 + 0.15 * torch.rand(count, 1, 1, generator=random))
    places = torch.arange(size) + 0.5
    down, across = (places[:, None] - centre[:, 0]).abs(), (places[None] - centre[:, 1]).abs()
    distance = torch.where(shape[:, None, None] == 0, (down**2 + across**2).sqrt(), torch.maximum(down, across))
    sharp = (distance < radius).float()[:, None]
    return sharp, F.avg_pool2d(sharp, 5, stride=1, padding=2), shape


def discriminator(width: int) -> nn.Module:
    """D: a body that sees picture and condition, and two heads; an ordinary module, made where torch is there."""
    import torch
    from torch import nn

    class Discriminator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                *(nn.Conv2d(2, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2)),
                *(nn.Conv2d(width, width, 3, stride=2, padding=1), nn.LeakyReLU(0.2)),
                *(nn.AdaptiveAvgPool2d(2), nn.Flatten()),
            )
            self.binary = nn.Linear(4 * width, 1)
            self.shape = nn.Linear(4 * width, 2)

        def forward(self, images: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
            features = self.body(torch.cat([images, condition], dim=1))
            return self.binary(features), self.shape(features)

    return Discriminator()
