"""zi2zi for the training loop: networks, glyph data and losses behind the GanModel protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from balancer import DOutput, GanModel, GOutput, ModelSpec
from balancer.errors import DataError
from zi2zi_model.data import dataset
from zi2zi_model.data.charsets import CHARSETS
from zi2zi_model.data.font_data import from_fonts
from zi2zi_model.data.glyphs import Pixels
from zi2zi_model.data.pair_data import from_pairs
from zi2zi_model.data.pairs import GlyphData, Items
from zi2zi_model.data.sheet import contact_sheet, evenly_spaced
from zi2zi_model.judges.judge import features
from zi2zi_model.network.losses import category_loss, const_loss, l1_loss
from zi2zi_model.network.networks import Discriminator, Generator
from zi2zi_model.network.start import start_from
from zi2zi_model.settings import Zi2ziSettings

Batch = Mapping[str, Tensor]

SAMPLES: Final = 12  # held-out glyphs that a run shows while it trains, and that two runs are compared by eye with
DRAWN_AT_ONCE: Final = 16
PROBED: Final = 64  # held-out glyphs that probes draw while a run trains, and training glyphs that D judges beside them


class Zi2zi(GanModel):
    """Glyph images (B, C, S, S) in [-1, 1]; D sees the source glyph beside the image.

    With `shuffle_labels`, G's images are (2B, C, S, S): the batch in its own styles, then the same sources in the
    styles of the batch's other items.
    """

    generator: Generator
    discriminator: Discriminator

    def __init__(self, settings: Zi2ziSettings, spec: ModelSpec) -> None:
        self.spec = spec
        self.settings: Final = settings
        self.data: Final = load_data(settings)
        self.train_size = len(self.data.train_items)
        self.generator = Generator(settings)
        self.discriminator = Discriminator(settings)
        self._sheet_items: Final = evenly_spaced(self.data.held_out_items, SAMPLES)

    def batch(self, indices: Sequence[int]) -> Batch:
        pictures, style = self._pairs(self.data.train_items[list(indices)])
        if self.settings.augment_shift or self.settings.augment_scale:
            pictures = augment(pictures, self.settings.augment_shift, self.settings.augment_scale)
        batch = {"source": pictures[0], "target": pictures[1], "style": style}
        if self.settings.shuffle_labels:
            batch["shuffled"] = style[torch.randperm(len(style))]
        return batch

    def probe_batch(self, *, held_out: bool) -> Batch:
        items = self.data.held_out_items if held_out else self.data.train_items
        pictures, style = self._pairs(evenly_spaced(items, PROBED))
        return {"source": pictures[0], "target": pictures[1], "style": style}

    def probe(self, images: Tensor, batch: Batch) -> dict[str, float]:
        # As `balancer zi2zi evaluate` has them: of pictures as they would be written.
        output, target = to_pixels(images), to_pixels(batch["target"])
        cosine = (features("content", output) * features("content", target)).sum(1)
        csim = float(cosine.mean())
        l1 = float(np.abs(output.astype(float) - target).mean()) / 255
        return {"l1": l1, "csim": csim, "structure_error": 1 - csim}

    def _pairs(self, items: Items) -> tuple[Tensor, Tensor]:
        """Sources and targets (2, B, C, S, S) in [-1, 1] of items (B, 2), and their rows of the embedding (B,)."""
        source, target, label = self.data.batch(items)
        pictures = to_tensor(np.stack([source, target]), self.settings.channels)
        return pictures, torch.from_numpy(label + self.settings.style_offset)

    def real(self, batch: Batch) -> Tensor:
        return batch["target"]

    def condition(self, batch: Batch) -> Tensor:
        return batch["source"]

    def generate(self, generator: nn.Module, batch: Batch) -> GOutput:
        source, style = batch["source"], drawn_styles(batch)
        if "shuffled" in batch:
            source = torch.cat([source, source])
        images, code = generator(source, style)
        return GOutput(images, {"source_code": code}, source)

    def discriminate(self, discriminator: nn.Module, images: Tensor, condition: Tensor | None) -> DOutput:
        logits, category, maps = discriminator(images, condition, maps=True)
        return DOutput(logits, {"category": category}, maps)

    def d_terms(self, real: DOutput, fake: DOutput, batch: Batch) -> dict[str, Tensor]:
        # ½·Lcategory·(real + fake), as in max32002/zi2zi-pytorch; with shuffled labels a third of real + fake +
        # shuffled, as in kaonashi-tyc/zi2zi, whose D loss is twice ours throughout.
        losses = [category_loss(real.heads["category"], batch["style"])]
        fakes = self.spec.fakes_per_real
        losses += map(category_loss, fake.heads["category"].chunk(fakes), drawn_styles(batch).chunk(fakes))
        return {"category": self.settings.lambda_category * torch.stack(losses).sum() / (2 if fakes == 1 else 6)}

    def g_terms(self, fake: GOutput, judged: DOutput, batch: Batch) -> dict[str, Tensor]:
        # Only images in their own styles have targets.
        return {
            "l1": l1_loss(fake.images[: len(batch["target"])], batch["target"]),
            "const": const_loss(fake.extras["source_code"], self.generator.encode(fake.images)),
            "category": category_loss(judged.heads["category"], drawn_styles(batch)),
        }

    def head_parameters(self, head: str) -> Iterable[nn.Parameter]:
        return self.discriminator.category.parameters() if head == "category" else super().head_parameters(head)

    def last_layer(self) -> nn.Parameter:
        weight: nn.Parameter = self.generator.get_submodule(f"decoder.{len(self.generator.decoder) - 1}.conv").weight  # type: ignore[assignment]
        return weight

    def sheet(self, generator: nn.Module) -> Image.Image:
        assert isinstance(generator, Generator)
        source, target, label = self.data.batch(self._sheet_items)
        styles = torch.from_numpy(label + self.settings.style_offset)
        output = draw(generator, source, styles, self.settings.channels)
        return contact_sheet([list(source), list(output), list(target)], ["source", "output", "target"])

    def begin(self) -> Sequence[str]:
        return start_from(self.settings, self.generator, self.discriminator, self.data_record()["rows"])

    def data_record(self) -> dict[str, Any]:
        return {**self.data.record, "rows": [label + self.settings.style_offset for label in self.data.labels]}

    def remarks(self) -> Sequence[str]:
        remarks = [*self.data.summary]
        embedded = self.settings.source is None and self.settings.pairs is None
        if embedded and (self.settings.targets or self.settings.charset != "big5-1"):
            remarks.append(f"without model.source only the {len(CHARSETS['demo']())} embedded characters are there")
        if self.settings.shuffle_labels and len(self.data.labels) == 1:
            remarks.append("shuffle_labels does nothing with one style")
        return remarks

    def counts(self) -> dict[str, int]:
        return self.data.counts


def drawn_styles(batch: Batch) -> Tensor:
    """Styles of all images that G draws for a batch."""
    return torch.cat([batch["style"], batch["shuffled"]]) if "shuffled" in batch else batch["style"]


def load_data(settings: Zi2ziSettings) -> GlyphData:
    """The glyphs that the settings name.

    Raises:
        DataError: they cannot be used, or not with the other settings.
    """
    if settings.data is not None:
        data = dataset.load(settings.data)
    elif settings.pairs is not None:
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
    if data.size != settings.image_size:
        fit = f"use model.image_size={data.size}, or build it with --size {settings.image_size}"
        raise DataError(
            f"data set {settings.data}: its pictures are {data.size} px, the networks' are "
            f"{settings.image_size} px: {fit}"
        )
    rows = settings.style_offset + data.labels[-1] + 1
    if rows > settings.styles:
        raise DataError(f"the data has style {data.labels[-1]}: it needs model.styles={rows} at least")
    return data


def draw(generator: Generator, source: Pixels, styles: Tensor, channels: int) -> Pixels:
    """What G, as it is, draws for sources (n, S, S) in `styles`: uint8 (n, S, S).

    `styles` are rows of the embedding (n,) or style vectors (n, style_dim). Batches are filled up to one size, so
    that a glyph's bits do not depend on what else is drawn.
    """
    device = next(generator.parameters()).device
    drawn = []
    with torch.no_grad():
        for first in range(0, len(source), DRAWN_AT_ONCE):
            here = slice(first, first + DRAWN_AT_ONCE)
            images, chosen = to_tensor(source[here], channels), styles[here]
            count = len(images)
            if count < DRAWN_AT_ONCE:
                images = torch.cat([images, images[:1].expand(DRAWN_AT_ONCE - count, -1, -1, -1)])
                chosen = torch.cat([chosen, chosen[:1].expand(DRAWN_AT_ONCE - count, *chosen.shape[1:])])
            output, _ = generator(images.to(device), chosen.to(device))
            drawn.append(to_pixels(output[:count]))
    return np.concatenate(drawn)


def augment(pictures: Tensor, shift: float, scale: float) -> Tensor:
    """Pairs (2, B, C, S, S) in [-1, 1], both of a pair moved and scaled alike; paper fills the edges."""
    two, count, channels, size, _ = pictures.shape
    draw_from = torch.rand(3, count) * 2 - 1
    factor = 1 / (1 + scale * draw_from[2])
    zero = torch.zeros(count)
    # affine_grid measures from the middle, in half sides, and leads from a moved place back to where its ink was.
    matrix = torch.stack(
        [
            torch.stack([factor, zero, factor * 2 * shift * draw_from[0]], 1),
            torch.stack([zero, factor, factor * 2 * shift * draw_from[1]], 1),
        ],
        1,
    )
    together = pictures.transpose(0, 1).reshape(count, two * channels, size, size)
    grid = F.affine_grid(matrix, [*together.shape], align_corners=False)
    # Outside is 0, so ink is what is moved.
    moved = 1 - F.grid_sample(1 - together, grid, align_corners=False)
    return moved.view(count, two, channels, size, size).transpose(0, 1).contiguous()


def to_tensor(pixels: Pixels, channels: int) -> Tensor:
    """uint8 (..., S, S), paper 255, as float (..., C, S, S) in [-1, 1]."""
    images: Any = torch.from_numpy(pixels).float().div_(127.5).sub_(1.0)
    tensor: Tensor = images.unsqueeze(-3).expand(*[-1] * (images.dim() - 2), channels, -1, -1).contiguous()
    return tensor


def to_pixels(images: Tensor) -> Pixels:
    """float (B, C, S, S) in [-1, 1] as uint8 (B, S, S); channels are averaged."""
    grey = images.float().mean(dim=1).add(1.0).mul(127.5).round().clamp(0, 255)
    pixels: Pixels = grey.to(torch.uint8).cpu().numpy()
    return pixels
