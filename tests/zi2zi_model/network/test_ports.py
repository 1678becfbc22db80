"""Checkpoints of the ports: understood from their shapes, and drawn with to the same pixels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.port_files import CLASSIC, FORK, LAYOUTS, Port, files
from support.port_networks import PortDiscriminator, PortGenerator

from zi2zi_model.network.networks import Discriminator, Generator
from zi2zi_model.network.ports import PortWeights, read_port
from zi2zi_model.settings import Zi2ziSettings


def ours(port: PortWeights) -> tuple[Generator, Discriminator]:
    settings = Zi2ziSettings(**port.settings)
    G, D = Generator(settings).eval(), Discriminator(settings).eval()
    G.load_state_dict(port.generator)
    if port.discriminator is not None:
        D.load_state_dict(port.discriminator)
    return G, D


def theirs(port: Port, paths: tuple[Path, Path]) -> tuple[PortGenerator, PortDiscriminator]:
    networks = port.networks()
    for network, path in zip(networks, paths, strict=True):
        network.load_state_dict(torch.load(path, weights_only=True))
        network.eval()
    return networks


@torch.no_grad()
@pytest.mark.parametrize("name", LAYOUTS)
def test_our_networks_draw_and_judge_like_the_ports(tmp_path: Path, name: str) -> None:
    port = LAYOUTS[name]
    paths = files(tmp_path, port)
    our_G, our_D = ours(read_port(*paths))
    their_G, their_D = theirs(port, paths)
    source, label = port.images(2), torch.tensor([7, 39])
    drawn, code = our_G(source, label)
    their_drawn, their_code = their_G(source.clone(), label)
    assert their_drawn.std() > 0.02
    assert (drawn - their_drawn).abs().max() < 2e-6
    assert (code - their_code).abs().max() < 2e-6 * their_code.abs().max().clamp(min=1)
    answers = zip(our_D(drawn, source), their_D(torch.cat([source, drawn], 1)), strict=True)
    for one, other in answers:
        assert other.std() > 0.0
        assert (one - other).abs().max() < 2e-6


@pytest.mark.parametrize(
    ("port", "generator", "discriminator"),
    [
        (CLASSIC._replace(downs=8, size=256), 55_461_505, 4_360_682),
        (FORK._replace(downs=7, size=384, attention={5: 0.0, 7: 0.0}), 52_874_950, 4_412_266),
        (FORK._replace(downs=8, size=256, attention={5: 0.0, 8: 0.0}), 66_508_998, 4_359_786),
    ],
)
def test_the_networks_these_files_are_made_of_are_as_large_as_the_ports(
    port: Port, generator: int, discriminator: int
) -> None:
    with torch.device("meta"):
        G, D = port.networks(width=64)
    assert sum(parameter.numel() for parameter in G.parameters()) == generator
    assert sum(parameter.numel() for parameter in D.parameters()) == discriminator


def test_the_configuration_is_read_off_the_shapes(tmp_path: Path) -> None:
    fork = read_port(*files(tmp_path, FORK._replace(attention={3: 0.7, 5: 0.7}))).settings
    classic = read_port(*files(tmp_path, CLASSIC._replace(channels=3))).settings
    common = {"image_size": 64, "downs": 5, "g_channels": 8, "max_channels": 64, "styles": 40}
    assert {**fork, **common} == fork
    assert {**classic, **common} == classic
    own = ("preset", "channels", "decoder", "norm", "skips", "attention", "style_dim", "d_channels", "spectral_norm")
    assert [fork[key] for key in own] == ["zi2zi", 1, "pixelshuffle", "instance", "add", "3,5", 16, 8, False]
    assert [classic[key] for key in own] == ["classic", 3, "transposed", "batch", "concat", "none", 16, 8, False]
    assert Zi2ziSettings(**fork).dropout == Zi2ziSettings(**classic).dropout == 0.5


def test_what_a_file_cannot_tell_is_said(tmp_path: Path) -> None:
    port = FORK._replace(downs=6, size=128, attention={5: 0.5, 6: 0.7})
    paths = files(tmp_path, port)
    read = read_port(*paths)
    (scale,) = read.remarks
    assert "scaled by 1/sqrt(channels / 8)" in scale
    source, label = port.images(2), torch.tensor([7, 39])
    with torch.no_grad():
        difference = ours(read)[0](source, label)[0] - theirs(port, paths)[0](source.clone(), label)[0]
    assert difference.abs().max() < 2e-6
    without = read_port(*paths)
    without.settings["attention_decoder"] = False
    with torch.no_grad():
        difference = ours(without)[0](source, label)[0] - ours(read)[0](source, label)[0]
    assert difference.abs().max() > 1e-3
    for silent in ({}, {5: 0.0, 6: 0.0}):
        assert read_port(*files(tmp_path, port._replace(attention=silent))).remarks == ()
    (elsewhere, _) = read_port(*files(tmp_path, FORK._replace(attention={3: 0.7}))).remarks
    assert "level 3 (gamma 0.7) is taken as acting on the encoder's map alone" in elsewhere
    (head,) = read_port(*files(tmp_path, CLASSIC._replace(spectral=True))).remarks
    assert "category head" in head
    generator, discriminator = files(tmp_path, CLASSIC)
    other = discriminator.rename(tmp_path / "63000_net_D.pth")
    assert read_port(generator, other).remarks == ("64010_net_G.pth and 63000_net_D.pth are not of one step",)


@pytest.mark.parametrize(("fork", "downs", "size"), [(True, 7, 384), (False, 8, 256), (True, 5, 64)])
def test_the_size_follows_from_the_depth_where_d_is_missing(tmp_path: Path, fork: bool, downs: int, size: int) -> None:
    G = PortGenerator(fork=fork, downs=downs, width=8, styles=4, style_dim=8)
    torch.save(G.state_dict(), tmp_path / "latest_net_G.pth")
    port = read_port(tmp_path / "latest_net_G.pth")
    ours(port)
    assert port.settings["image_size"] == size
    assert port.step is None
    assert port.discriminator is None
    assert any(f"no D was given: it starts untrained, and {size} px" in remark for remark in port.remarks)


def test_names_of_a_wrapped_network_are_understood(tmp_path: Path) -> None:
    path, _ = files(tmp_path, FORK)
    weights = torch.load(path, weights_only=True)
    torch.save({f"module.{key}": value for key, value in weights.items()}, tmp_path / "5_net_G.pth")
    assert read_port(tmp_path / "5_net_G.pth").step == 5


def test_half_precision_is_read_as_single(tmp_path: Path) -> None:
    path, _ = files(tmp_path, FORK)
    torch.save({key: value.half() for key, value in torch.load(path, weights_only=True).items()}, path)
    assert {value.dtype for value in read_port(path).generator.values()} == {torch.float32}
