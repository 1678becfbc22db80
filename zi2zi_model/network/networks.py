"""zi2zi's two networks: a U-Net G with a style at its bottleneck, and a D with a real/fake and a category head."""

from __future__ import annotations

from typing import Any, Final, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from zi2zi_model.settings import Zi2ziSettings

LEAK: Final = 0.2
INIT_STD: Final = 0.02  # kaonashi-tyc/zi2zi and its ports


class Generator(nn.Module):
    """Redraws a source glyph in a style: images (B, C, S, S) in [-1, 1] to the same shape and range.

    Layout and parameter counts are those of max32002/zi2zi-pytorch (preset `zi2zi`) and of
    EuphoriaYan/zi2zi-pytorch (preset `classic`). Level k is the map after k halvings. The innermost level has no
    norm (instance norm of a 1x1 map is undefined), the outermost convolutions neither.

    A skip carries a level's map *after* the leaky ReLU of the next level down, and joins before the decoder's map:
    the ports get both from an in-place activation, and their weights mean nothing without it.
    """

    def __init__(self, settings: Zi2ziSettings) -> None:
        super().__init__()
        channels = (settings.channels, *settings.level_channels)
        innermost = settings.downs
        self.concat: Final = settings.skips == "concat"
        # A concatenated skip is as wide as the decoder's own map.
        copies = 2 if self.concat else 1
        self.embedding = nn.Embedding(settings.styles, settings.style_dim)
        self.encoder = nn.ModuleList(
            _EncoderLevel(
                channels[level - 1],
                channels[level],
                norm=settings.norm,
                normalised=1 < level < innermost,
                attention=level in settings.attention_levels,
            )
            for level in range(1, innermost + 1)
        )
        # Innermost first, the order in which a forward pass runs through it.
        self.decoder = nn.ModuleList(
            _DecoderLevel(
                channels[level] + settings.style_dim if level == innermost else copies * channels[level],
                channels[level - 1],
                kind=settings.decoder,
                norm=settings.norm,
                normalised=level > 1,
                dropout=settings.dropout if level < innermost and channels[level] == channels[level - 1] else 0.0,
            )
            for level in range(innermost, 0, -1)
        )
        # Levels whose attention the decoder's map goes through as well: the bottleneck has no such map.
        self._attended_again: Final = frozenset(
            level
            for level in settings.attention_levels
            if settings.attention_decoder and level < innermost and channels[level] == channels[level - 1]
        )
        self.apply(_initialise)
        self._frozen_encoder: Final = settings.freeze_encoder
        if self._frozen_encoder:
            self.encoder.requires_grad_(False)
            self.train()

    def train(self, mode: bool = True) -> Self:
        """As for any module, but a frozen encoder keeps its batch norm statistics too."""
        super().train(mode)
        if self._frozen_encoder:
            self.encoder.eval()
        return self

    def forward(self, source: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """Images for sources (B, C, S, S) in the styles named by `style`, and the sources' bottleneck code.

        `style` is either labels, int64 (B,) in [0, styles), or style vectors, floating (B, style_dim), such as
        a mixture of rows of `embedding`.
        """
        vectors = style if style.is_floating_point() else self.embedding(style)
        code, skips = self._encode(source)
        tiled = vectors[:, :, None, None].expand(-1, -1, code.shape[2], code.shape[3])
        x = torch.cat([tiled.to(code.dtype), code], 1)
        for index, skip in enumerate([*reversed(skips), None]):
            x = self.decoder[index](x)
            level = len(self.decoder) - index
            if level in self._attended_again:
                x = self._attention(level)(x)
            if skip is not None:
                x = torch.cat([skip, x], 1) if self.concat else skip + x
        return torch.tanh(x), code

    def _attention(self, level: int) -> nn.Module:
        encoder = self.encoder[level - 1]
        assert isinstance(encoder, _EncoderLevel)
        return encoder.attention

    def encode(self, source: Tensor) -> Tensor:
        """The bottleneck code (B, C', S/2^downs, S/2^downs) of images (B, C, S, S), before the style joins."""
        return self._encode(source)[0]

    def _encode(self, source: Tensor) -> tuple[Tensor, list[Tensor]]:
        outermost, *inner = self.encoder
        skips: list[Tensor] = []
        x = outermost(source)
        for level in inner:
            x = F.leaky_relu(x, LEAK)
            skips.append(x)
            x = level(x)
        return x, skips


class Discriminator(nn.Module):
    """Judges images beside their condition (the source glyph): real or fake, and of which style.

    Five 5x5 convolutions as in max32002/zi2zi-pytorch, three of them halving. Its head is `global` there: the last
    one-channel map, flattened, feeds both linear heads. With `patch` the last map *is* the logits, one for each
    S/8 x S/8 place, and the category head reads the mean over places of the features beneath it.

    Spectral norm, where asked for, is put on all that the real/fake answer depends on but the norms between; the
    category head, a classifier, stays free.
    """

    def __init__(self, settings: Zi2ziSettings) -> None:
        super().__init__()
        base = settings.d_channels
        widths = (2 * settings.channels, base, 2 * base, 4 * base, 8 * base)
        layers: list[nn.Module] = []
        for index in range(4):
            normalised = index > 0
            bias = not normalised or settings.norm == "instance"
            layers.append(nn.Conv2d(widths[index], widths[index + 1], 5, 2 if index < 3 else 1, 2, bias=bias))
            if normalised:
                layers.append(_norm(settings.norm, widths[index + 1]))
            layers.append(nn.LeakyReLU(LEAK))
        self.features = nn.Sequential(*layers)
        self.last = nn.Conv2d(8 * base, 1, 5, 1, 2)
        places = (settings.image_size // 8) ** 2
        self.binary = nn.Linear(places, 1) if settings.d_head == "global" else None
        self.category = nn.Linear(places if self.binary is not None else 8 * base, settings.styles)
        self.apply(_initialise)
        if settings.spectral_norm:
            for module in [*self.features, self.last, self.binary]:
                if isinstance(module, nn.Conv2d | nn.Linear):
                    spectral_norm(module)

    def forward(self, images: Tensor, condition: Tensor, maps: bool = False) -> tuple[Any, ...]:
        """Real/fake logits and category logits (B, styles) of images and conditions, both (B, C, S, S).

        The real/fake logits are (B, 1) with the `global` head, (B, 1, S/8, S/8) with `patch`. With `maps` what each
        activation gives is returned too, as a tuple.
        """
        features, found = torch.cat([condition, images], 1), []
        for layer in self.features:
            features = layer(features)
            if isinstance(layer, nn.LeakyReLU):
                found.append(features)
        places = self.last(features)
        if self.binary is None:
            heads = places, self.category(features.mean((2, 3)))
        else:
            flat = places.flatten(1)
            heads = self.binary(flat), self.category(flat)
        return (*heads, tuple(found)) if maps else heads


def count_parameters(settings: Zi2ziSettings) -> tuple[int, int]:
    """How many parameters G and D have with these settings; no weights are made."""
    with torch.device("meta"):
        networks = Generator(settings), Discriminator(settings)
    g, d = (sum(parameter.numel() for parameter in network.parameters()) for network in networks)
    return g, d


class SelfAttention(nn.Module):
    """Self-attention over the places of a map (B, C, H, W), added in proportion to `gamma`, which starts at 0.

    SAGAN (Zhang et al. 2019): queries and keys of C/8 channels, unscaled dot products.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part(x).flatten(2) for part in (self.query, self.key, self.value))
        weights = (query.transpose(1, 2) @ key).softmax(-1)
        attended: Tensor = (value @ weights.transpose(1, 2)).view_as(x)
        return x + self.gamma * attended


class _EncoderLevel(nn.Module):
    """Halves a map: 4x4 convolution, norm, self-attention; the activation before it is the generator's."""

    def __init__(self, width_in: int, width_out: int, *, norm: str, normalised: bool, attention: bool) -> None:
        super().__init__()
        # In the ports a batch norm makes the bias of every encoder convolution go, also where no norm follows.
        self.conv = nn.Conv2d(width_in, width_out, 4, 2, 1, bias=norm == "instance")
        self.norm = _norm(norm, width_out) if normalised else nn.Identity()
        self.attention = SelfAttention(width_out) if attention else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        attended: Tensor = self.attention(self.norm(self.conv(x)))
        return attended


class _DecoderLevel(nn.Module):
    """Doubles a map: ReLU, convolution, norm, dropout."""

    def __init__(
        self, width_in: int, width_out: int, *, kind: str, norm: str, normalised: bool, dropout: float
    ) -> None:
        super().__init__()
        bias = not normalised or norm == "instance"
        self.conv: nn.Module
        if kind == "pixelshuffle":
            self.conv = nn.Conv2d(width_in, 4 * width_out, 3, 1, 1, bias=bias)
            self.enlarge: nn.Module = nn.PixelShuffle(2)
        else:
            self.conv = nn.ConvTranspose2d(width_in, width_out, 4, 2, 1, bias=bias)
            self.enlarge = nn.Identity()
        self.norm = _norm(norm, width_out) if normalised else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        enlarged: Tensor = self.dropout(self.norm(self.enlarge(self.conv(F.relu(x)))))
        return enlarged


def _norm(name: str, channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels) if name == "instance" else nn.BatchNorm2d(channels)


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    """N(0, 0.02) for weights, 0 for biases, N(1, 0.02) for batch norm's scale.

    The style embedding keeps torch's N(0, 1), as in the ports, where it is trained; the N(0, 0.01) of
    kaonashi-tyc/zi2zi belongs to an embedding that is not.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0, INIT_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
