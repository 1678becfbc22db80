"""The two files of a checkpoint of a port, in each layout of its networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from support.port_networks import PortDiscriminator, PortGenerator


class Port(NamedTuple):
    """Layout of a port's networks, at a small width."""

    fork: bool
    batch_norm: bool
    downs: int = 5
    size: int = 64
    attention: Mapping[int, float] = {}
    channels: int = 1
    spectral: bool = False

    def networks(self, width: int = 8) -> tuple[PortGenerator, PortDiscriminator]:
        """New G and D of this layout, of 40 styles."""
        common: dict[str, Any] = {"batch_norm": self.batch_norm, "width": width, "channels": self.channels}
        return (
            PortGenerator(
                **common, fork=self.fork, downs=self.downs, styles=40, style_dim=2 * width, attention=self.attention
            ),
            PortDiscriminator(**common, size=self.size, styles=40, spectral=self.spectral),
        )

    def images(self, batch: int) -> Tensor:
        """Noise (B, C, S, S) in [-1, 1] of the size that D takes."""
        return torch.rand(batch, self.channels, self.size, self.size) * 2 - 1


CLASSIC = Port(fork=False, batch_norm=True)
FORK = Port(fork=True, batch_norm=False, attention={5: 0.7})
LAYOUTS = {
    "EuphoriaYan": CLASSIC,
    "EuphoriaYan, 8 downs": CLASSIC._replace(downs=8, size=256),
    "max32002": FORK,
    "max32002, 7 downs": FORK._replace(downs=7, size=384, attention={5: 0.0, 7: 0.7}),
    "max32002, levels 3 and 4": FORK._replace(attention={3: 0.7, 4: -0.4}),
    "max32002, batch norm": FORK._replace(batch_norm=True),
    "max32002, no attention, RGB": FORK._replace(attention={}, channels=3),
    "EuphoriaYan, spectral norm": CLASSIC._replace(spectral=True),
    "max32002, spectral norm": FORK._replace(spectral=True),
}


def files(folder: Path, port: Port, *, step: str = "64010") -> tuple[Path, Path]:
    """A port's two files, of networks whose weights are random and whose norms have seen data."""
    torch.manual_seed(7)
    G, D = port.networks()
    with torch.no_grad():
        for module in (*G.modules(), *D.modules()):
            if isinstance(module, nn.BatchNorm2d):
                module.weight.normal_(1.0, 0.2)
                module.bias.normal_(0.0, 0.2)
        for _ in range(2):
            drawn, _ = G(port.images(4), torch.arange(4))
            D(torch.cat([drawn, drawn], 1))
    paths = folder / f"{step}_net_G.pth", folder / f"{step}_net_D.pth"
    for network, path in zip((G, D), paths, strict=True):
        torch.save(network.state_dict(), path)
    return paths
