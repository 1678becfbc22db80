"""Networks of the PyTorch ports of zi2zi, written after the names and shapes of their checkpoints, to make such files.

Blocks nest: each halves, hands on to the one within, doubles, and joins what it was given. The activations work in
place, as in the ports, so what a block was given is activated by the time it joins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm


class Attention(nn.Module):
    """SAGAN's, with the ports' names; December 2025 scales the dot products."""

    def __init__(self, channels: int, *, gamma: float, scaled: bool) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.tensor([gamma]))
        self.scale = math.sqrt(channels // 8) if scaled else 1.0

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        query = self.query_conv(x).view(batch, -1, height * width).transpose(1, 2)
        key = self.key_conv(x).view(batch, -1, height * width)
        value = self.value_conv(x).view(batch, -1, height * width)
        mixed = torch.bmm(value, torch.softmax(torch.bmm(query, key) / self.scale, -1).transpose(1, 2))
        return x + self.gamma * mixed.view_as(x)


class Block(nn.Module):
    """One level. `fork`: PixelShuffle and added skips; else transposed convolutions and concatenated ones."""

    def __init__(
        self,
        outer: int,
        inner: int,
        within: Block | None,
        *,
        fork: bool,
        batch_norm: bool,
        style: int,
        first: bool,
        gamma: float | None,
        early: bool,
    ) -> None:
        super().__init__()
        self.first, self.fork, self.early = first, fork, early
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d if batch_norm else nn.InstanceNorm2d
        down: list[nn.Module] = [] if first else [nn.LeakyReLU(0.2, inplace=True)]
        down.append(nn.Conv2d(outer, inner, 4, 2, 1, bias=not batch_norm))
        if within is not None and not first:
            down.append(norm(inner))
        width = inner + style if within is None else inner if fork else 2 * inner
        bias = first or not batch_norm
        enlarge: list[nn.Module] = (
            [nn.Conv2d(width, 4 * outer, 3, 1, 1, bias=bias), nn.PixelShuffle(2)]
            if fork
            else [nn.ConvTranspose2d(width, outer, 4, 2, 1, bias=bias)]
        )
        self.submodule = within
        self.down = nn.Sequential(*down)
        self.up = nn.Sequential(nn.ReLU(inplace=True), *enlarge, nn.Tanh() if first else norm(outer))
        if gamma is not None:
            self.att = Attention(outer if early else inner, gamma=gamma, scaled=not early)
            self.again = not early and within is not None and outer == inner

    def forward(self, x: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        attends = hasattr(self, "att")
        encoded = self.down(x)
        if attends and not self.early:
            encoded = self.att(encoded)
        if self.submodule is None:
            code = encoded.clone()
            tiled = style[:, :, None, None].expand(-1, -1, *encoded.shape[2:])
            decoded = self.up(torch.cat([tiled, encoded], 1))
        else:
            joined, code = self.submodule(encoded, style)
            decoded = self.up(joined)
        if attends and (self.early or self.again):
            decoded = self.att(decoded)
        if self.first:
            return decoded, code
        return (x + decoded if self.fork else torch.cat([x, decoded], 1)), code


class PortGenerator(nn.Module):
    """The U-Net of a port, `width` channels at its first level, eight times that at most.

    `attention` gives gamma by level. Attention acts on the encoder's map and, inside, once more on the decoder's where
    both are as wide; `early`, on the decoder's alone.
    """

    def __init__(
        self,
        *,
        fork: bool,
        downs: int,
        width: int,
        styles: int,
        style_dim: int,
        batch_norm: bool | None = None,
        channels: int = 1,
        attention: Mapping[int, float] = {},
        early: bool = False,
    ) -> None:
        super().__init__()
        widths = [channels, *(min(2**level, 8) * width for level in range(downs))]
        block: Block | None = None
        for level in range(downs, 0, -1):
            block = Block(
                widths[level - 1],
                widths[level],
                block,
                fork=fork,
                batch_norm=not fork if batch_norm is None else batch_norm,
                style=style_dim,
                first=level == 1,
                gamma=attention.get(level),
                early=early,
            )
        assert block is not None
        self.model = block
        self.embedder = nn.Embedding(styles, style_dim)

    def forward(self, x: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        out: tuple[Tensor, Tensor] = self.model(x, self.embedder(label))
        return out


class PortDiscriminator(nn.Module):
    """Five convolutions, flattened into two linear heads."""

    def __init__(
        self, *, batch_norm: bool, size: int, width: int, styles: int, channels: int = 1, spectral: bool = False
    ) -> None:
        super().__init__()

        def wrap(module: nn.Module) -> nn.Module:
            return spectral_norm(module) if spectral else module

        layers: list[nn.Module] = [wrap(nn.Conv2d(2 * channels, width, 5, 2, 2)), nn.LeakyReLU(0.2, True)]
        for before, after, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1)):
            layers += [
                wrap(nn.Conv2d(before * width, after * width, 5, stride, 2, bias=not batch_norm)),
                nn.BatchNorm2d(after * width) if batch_norm else nn.InstanceNorm2d(after * width),
                nn.LeakyReLU(0.2, True),
            ]
        layers.append(wrap(nn.Conv2d(8 * width, 1, 5, 1, 2)))
        self.model = nn.Sequential(*layers)
        self.binary = wrap(nn.Linear((size // 8) ** 2, 1))
        self.catagory = wrap(nn.Linear((size // 8) ** 2, styles))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.model(x).flatten(1)
        return self.binary(features), self.catagory(features)
