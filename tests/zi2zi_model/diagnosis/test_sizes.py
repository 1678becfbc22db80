"""What a run or a port's checkpoint is made of: parameters as the networks have them, attention, items."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.port_networks import PortDiscriminator, PortGenerator

from balancer.errors import CheckpointError, ConfigError
from zi2zi_model.data.font_data import from_fonts
from zi2zi_model.diagnosis.extension import EXTENSION
from zi2zi_model.diagnosis.model_rules import D_MILLIONS, ORIGINALS
from zi2zi_model.network.networks import Discriminator, Generator, count_parameters
from zi2zi_model.settings import Zi2ziSettings


def test_the_structure_of_a_run_is_what_training_recorded(tmp_path: Path, cli: Callable[..., Any]) -> None:
    words = ["--steps", "1", "--device", "cpu", "--quiet", "--set", "model.charset=demo", "--set", "model.attention=5"]
    made = cli("train", "--model", "zi2zi", "--plugins", "", *words, "--out", tmp_path / "run")
    assert made.status == 0, made.err
    config = tomllib.loads((tmp_path / "run" / "config.toml").read_text(encoding="utf-8"))
    settings = Zi2ziSettings(**config["model"])
    networks = Generator(settings), Discriminator(settings)
    counted = tuple(sum(parameter.numel() for parameter in network.parameters()) for network in networks)
    structure = EXTENSION.structure(tmp_path / "run", config)
    assert (structure.g_parameters, structure.d_parameters) == counted == count_parameters(settings)
    assert structure.items == from_fonts().counts["training items"]
    assert (structure.batch, structure.attention) == (8, ("176ch@2px",))


def test_a_run_that_recorded_no_sizes_has_none(tmp_path: Path) -> None:
    made = EXTENSION.structure(tmp_path, {"model": {"preset": "zi2zi"}, "train": {"batch_size": 16}})
    assert (made.g_parameters, made.d_parameters, made.items, made.batch) == (None, None, None, 16)
    assert made.attention == ("512ch@12px", "512ch@3px")
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
        assert (made.g_parameters, made.d_parameters) == count_parameters(settings)
    (tmp_path / "500_net_D.pth").unlink()
    alone = EXTENSION.checkpoint(tmp_path)
    assert alone is not None and alone.d_parameters is None


def tensorflow_parameters() -> tuple[int, int]:
    """G and D of kaonashi-tyc/zi2zi, by the layers of its model/unet.py at 256 px, without the style embedding.

    Kernels are 5x5, with biases; all layers but the outermost have a batch norm, of two values a channel.
    """

    def layer(given: int, made: int, *, normed: bool = True) -> int:
        return 25 * given * made + made + 2 * made * normed

    down = [64, 128, 256, 512, 512, 512, 512, 512]
    encoder = layer(3, 64, normed=False) + sum(map(layer, down, down[1:]))
    # Each of the decoder's maps is joined by the encoder's of its size; the innermost code by a style of 128.
    joined = [512 + 128, *(2 * width for width in reversed(down[:-1]))]
    decoder = sum(map(layer, joined[:-1], reversed(down[:-1]))) + layer(joined[-1], 3, normed=False)
    heads = (512 * 32 * 32 + 1) * (1 + 40)
    return encoder + decoder, layer(6, 64, normed=False) + sum(map(layer, down[:3], down[1:4])) + heads


def test_the_sizes_that_remarks_name_are_those_of_the_codes() -> None:
    original, port = tensorflow_parameters(), count_parameters(Zi2ziSettings(preset="classic"))
    assert tuple(round(count / 1e6, 1) for count in (port[0], original[0])) == ORIGINALS
    fork = count_parameters(Zi2ziSettings(preset="zi2zi"))[1]
    counted = {"tf": original[1], "port": port[1], "fork": fork, "later": fork}
    assert {name: round(count / 1e6, 2) for name, count in counted.items()} == D_MILLIONS


def test_what_is_not_a_port(tmp_path: Path) -> None:
    assert EXTENSION.checkpoint(tmp_path) is None
    assert EXTENSION.checkpoint(tmp_path / "model.bin") is None
    with pytest.raises(CheckpointError, match="not there"):
        EXTENSION.checkpoint(tmp_path / "5_net_D.pth")
    (tmp_path / "5_net_G.pth").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="damaged") as error:
        EXTENSION.checkpoint(tmp_path)
    assert "\n" not in str(error.value)
