"""zi2zi for the training loop: networks, glyph data and losses behind the GanModel protocol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from balancer.model import DOutput, GanModel, GOutput, ModelSpec
from zi2zi_model.charsets import CHARSETS
from zi2zi_model.data import GlyphData, from_fonts, from_pairs
from zi2zi_model.glyphs import Pixels
from zi2zi_model.losses import category_loss, const_loss, l1_loss
from zi2zi_model.networks import Discriminator, Generator
from zi2zi_model.settings import Zi2ziSettings
from zi2zi_model.sheet import contact_sheet

if TYPE_CHECKING:
    from balancer.model import Batch

SHEET_COLUMNS: Final = 12


class Zi2zi(GanModel):
    """Glyph images (B, C, S, S) in [-1, 1]; D sees the source glyph beside the image."""

    generator: Generator
    discriminator: Discriminator

    def __init__(self, settings: Zi2ziSettings, spec: ModelSpec) -> None:
        self.spec = spec
        self.settings: Final = settings
        self.data: Final = load_data(settings)
        self.train_size = len(self.data.train_items)
        self.generator = Generator(settings)
        self.discriminator = Discriminator(settings)
        self._sheet_items: Final = spread(self.data.held_out_items, SHEET_COLUMNS)

    def batch(self, indices: Sequence[int]) -> Batch:
        source, target, style = self.data.batch(self.data.train_items[list(indices)])
        channels = self.settings.channels
        return {
            "source": to_tensor(source, channels),
            "target": to_tensor(target, channels),
            "style": torch.from_numpy(style),
        }

    def real(self, batch: Batch) -> Tensor:
        return batch["target"]

    def condition(self, batch: Batch) -> Tensor:
        return batch["source"]

    def generate(self, generator: nn.Module, batch: Batch) -> GOutput:
        images, code = generator(batch["source"], batch["style"])
        return GOutput(images, {"source_code": code})

    def discriminate(self, discriminator: nn.Module, images: Tensor, condition: Tensor | None) -> DOutput:
        logits, category = discriminator(images, condition)
        return DOutput(logits, {"category": category})

    def d_terms(self, real: DOutput, fake: DOutput, batch: Batch) -> dict[str, Tensor]:
        # ½·Lcategory·(real + fake), as in max32002/zi2zi-pytorch.
        halves = [category_loss(output.heads["category"], batch["style"]) for output in (real, fake)]
        return {"category": 0.5 * self.settings.lambda_category * (halves[0] + halves[1])}

    def g_terms(self, fake: GOutput, judged: DOutput, batch: Batch) -> dict[str, Tensor]:
        return {
            "l1": l1_loss(fake.images, batch["target"]),
            "const": const_loss(fake.extras["source_code"], self.generator.encode(fake.images)),
            "category": category_loss(judged.heads["category"], batch["style"]),
        }

    def head_parameters(self, head: str) -> Iterable[nn.Parameter]:
        return self.discriminator.category.parameters() if head == "category" else super().head_parameters(head)

    def sheet(self) -> Image.Image:
        source, target, _ = self.data.batch(self._sheet_items)
        rows = [
            list(source),
            list(draw(self.generator, self.data, self._sheet_items, self.settings.channels)),
            list(target),
        ]
        return contact_sheet(rows, ["source", "output", "target"])

    def remarks(self) -> Sequence[str]:
        embedded = self.settings.source is None and self.settings.pairs is None
        if embedded and (self.settings.targets or self.settings.charset != "big5-1"):
            only = f"without model.source only the {len(CHARSETS['demo']())} embedded characters are there"
            return *self.data.summary, only
        return self.data.summary

    def counts(self) -> dict[str, int]:
        return self.data.counts


def load_data(settings: Zi2ziSettings) -> GlyphData:
    """The glyphs that the settings name.

    Raises:
        DataError: they cannot be used.
    """
    if settings.pairs is not None:
        data = from_pairs(settings.pairs, size=settings.image_size, held_out=settings.held_out)
    else:
        data = from_fonts(
            settings.source,
            settings.targets,
            charset=settings.charset,
            size=settings.image_size,
            align=settings.align,
            held_out=settings.held_out,
            max_characters=settings.max_characters,
        )
    return data


def draw(generator: Generator, data: GlyphData, items: npt.NDArray[np.int64], channels: int) -> Pixels:
    """What G draws for items (n, 2): uint8 (n, S, S), with G as it is, in batches of 16."""
    device = next(generator.parameters()).device
    drawn = []
    with torch.no_grad():
        for first in range(0, len(items), 16):
            source, _, style = data.batch(items[first : first + 16])
            images, _ = generator(to_tensor(source, channels).to(device), torch.from_numpy(style).to(device))
            drawn.append(to_pixels(images))
    return np.concatenate(drawn)


def to_tensor(pixels: Pixels, channels: int) -> Tensor:
    """uint8 (B, S, S), paper 255, as float (B, C, S, S) in [-1, 1]."""
    images: Any = torch.from_numpy(pixels).float().div_(127.5).sub_(1.0)
    tensor: Tensor = images[:, None].expand(-1, channels, -1, -1).contiguous()
    return tensor


def to_pixels(images: Tensor) -> Pixels:
    """float (B, C, S, S) in [-1, 1] as uint8 (B, S, S); channels are averaged."""
    grey = images.float().mean(dim=1).add(1.0).mul(127.5).round().clamp(0, 255)
    pixels: Pixels = grey.to(torch.uint8).cpu().numpy()
    return pixels


def spread(items: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """At most `count` items, evenly spread; the same ones each time."""
    chosen: npt.NDArray[np.int64] = items[np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)]
    return chosen
