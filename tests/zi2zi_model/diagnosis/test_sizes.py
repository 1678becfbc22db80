"""What a run or a port's checkpoint is made of: parameters as the networks have them, attention, items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.port_networks import PortDiscriminator, PortGenerator
from torch import nn

from balancer.errors import CheckpointError, ConfigError
from balancer.record import checkpoint
from zi2zi_model.diagnosis.extension import EXTENSION
from zi2zi_model.diagnosis.sizes import discriminator_parameters, generator_parameters
from zi2zi_model.network.networks import Discriminator, Generator
from zi2zi_model.settings import Zi2ziSettings


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"preset": "zi2zi"},
        {"preset": "classic"},
        {
            "preset": "classic",
            "d_head": "patch",
            "attention": "3,4",
            "skips": "add",
            "spectral_norm": True,
            "channels": 3,
        },
        {"preset": "zi2zi", "norm": "batch", "skips": "concat", "attention_decoder": True},
    ],
)
def test_parameters_are_those_of_the_networks(given: dict[str, Any]) -> None:
    settings = Zi2ziSettings(**given)
    with torch.device("meta"):
        networks: tuple[nn.Module, nn.Module] = Generator(settings), Discriminator(settings)
    counted = [sum(parameter.numel() for parameter in network.parameters()) for network in networks]
    assert [generator_parameters(settings), discriminator_parameters(settings)] == counted


def test_the_structure_of_a_run(tmp_path: Path) -> None:
    config = {"model": {"preset": "zi2zi"}, "train": {"batch_size": 16}}
    made = EXTENSION.structure(tmp_path, config)
    assert (made.g_parameters, made.d_parameters) == (52_874_950, 4_412_266)
    assert made.attention == ("512ch@12px", "512ch@3px")
    assert (made.items, made.batch) == (None, 16)
    checkpoint.save(tmp_path / checkpoint.FOLDER, 7, {"data": {"training items": 6645}, "x": [1.0]}, keep=1)
    assert EXTENSION.structure(tmp_path, config).items == 6645
    with pytest.raises(ConfigError, match=r"config\.toml.*zi2zi"):
        EXTENSION.structure(tmp_path, {"model": {"downs": "many"}})


def test_the_structure_of_a_port(tmp_path: Path) -> None:
    settings = Zi2ziSettings(preset="classic", g_channels=8, max_channels=64, d_channels=8, styles=4, style_dim=16)
    generator = PortGenerator(fork=False, downs=8, width=8, styles=4, style_dim=16, batch_norm=True)
    discriminator = PortDiscriminator(size=256, width=8, styles=4, batch_norm=True)
    torch.save(generator.state_dict(), tmp_path / "500_net_G.pth")
    torch.save(discriminator.state_dict(), tmp_path / "500_net_D.pth")
    for path in (tmp_path, tmp_path / "500_net_G.pth", tmp_path / "500_net_D.pth"):
        made = EXTENSION.checkpoint(path)
        assert made is not None
        assert (made.g_parameters, made.d_parameters) == (
            generator_parameters(settings),
            discriminator_parameters(settings),
        )
    (tmp_path / "500_net_D.pth").unlink()
    alone = EXTENSION.checkpoint(tmp_path)
    assert alone is not None and alone.d_parameters is None


def test_what_is_no_port(tmp_path: Path) -> None:
    assert EXTENSION.checkpoint(tmp_path) is None
    assert EXTENSION.checkpoint(tmp_path / "model.bin") is None
    with pytest.raises(CheckpointError, match="not there"):
        EXTENSION.checkpoint(tmp_path / "5_net_D.pth")
    (tmp_path / "5_net_G.pth").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="damaged") as error:
        EXTENSION.checkpoint(tmp_path)
    assert "\n" not in str(error.value)
