"""Checkpoints of the ports: read without running code, understood from their shapes, drawn with to the same pixels."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from balancer import checkpoint
from balancer.config import read_toml
from balancer.errors import CheckpointError
from zi2zi_model.networks import Discriminator, Generator
from zi2zi_model.ports import read_port
from zi2zi_model.settings import Zi2ziSettings

sys.path.insert(0, str(Path(__file__).parent))
from port_networks import PortDiscriminator, PortGenerator

Cli = Callable[..., Any]


def files(
    folder: Path, *, fork: bool, spectral: bool = False, downs: int = 5, step: str = "64010"
) -> tuple[Path, Path]:
    """A port's two files at 64 px, of small networks whose weights are random and whose batch norm has seen data."""
    torch.manual_seed(7)
    attention = (3, 5) if fork else ()
    G = PortGenerator(fork=fork, downs=downs, width=8, styles=40, style_dim=16, attention=attention)
    D = PortDiscriminator(fork=fork, size=64, width=8, styles=40, spectral=spectral)
    for _ in range(3):
        drawn, _ = G(torch.rand(4, 1, 64, 64) * 2 - 1, torch.arange(4))
        D(torch.cat([drawn, drawn], 1))
    paths = folder / f"{step}_net_G.pth", folder / f"{step}_net_D.pth"
    for network, path in zip((G, D), paths, strict=True):
        torch.save(network.state_dict(), path)
    return paths


def port_networks(fork: bool, paths: tuple[Path, Path], spectral: bool) -> tuple[PortGenerator, PortDiscriminator]:
    attention = (3, 5) if fork else ()
    G = PortGenerator(fork=fork, downs=5, width=8, styles=40, style_dim=16, attention=attention)
    D = PortDiscriminator(fork=fork, size=64, width=8, styles=40, spectral=spectral)
    for network, path in zip((G, D), paths, strict=True):
        network.load_state_dict(torch.load(path, weights_only=True))
    return G.eval(), D.eval()


@pytest.mark.parametrize("spectral", [False, True], ids=["plain", "spectral"])
@pytest.mark.parametrize("fork", [False, True], ids=["EuphoriaYan", "max32002"])
def test_our_networks_draw_and_judge_like_the_ports(tmp_path: Path, fork: bool, spectral: bool) -> None:
    paths = files(tmp_path, fork=fork, spectral=spectral)
    port = read_port(*paths)
    settings = Zi2ziSettings(**port.settings)
    G, D = Generator(settings).eval(), Discriminator(settings).eval()
    G.load_state_dict(port.generator)
    assert port.discriminator is not None
    D.load_state_dict(port.discriminator)
    their_G, their_D = port_networks(fork, paths, spectral)
    source, label = torch.rand(3, 1, 64, 64) * 2 - 1, torch.tensor([0, 7, 39])
    with torch.no_grad():
        ours, code = G(source, label)
        theirs, their_code = their_G(source.clone(), label)
        assert (ours - theirs).abs().max() < 1e-6
        assert (code - their_code).abs().max() < 1e-5
        answers = zip(D(ours, source), their_D(torch.cat([source, ours], 1)), strict=True)
        assert all((one - two).abs().max() < 1e-5 for one, two in answers)


def test_the_configuration_is_read_off_the_shapes(tmp_path: Path) -> None:
    fork, classic = (read_port(*files(tmp_path, fork=fork)).settings for fork in (True, False))
    common = {"image_size": 64, "channels": 1, "downs": 5, "g_channels": 8, "max_channels": 64, "styles": 40}
    assert {**fork, **common} == fork
    assert {**classic, **common} == classic
    own = ("preset", "decoder", "norm", "skips", "attention", "style_dim", "d_channels", "spectral_norm")
    assert [fork[key] for key in own] == ["zi2zi", "pixelshuffle", "instance", "add", "3,5", 16, 8, False]
    assert [classic[key] for key in own] == ["classic", "transposed", "batch", "concat", "none", 16, 8, False]


@pytest.mark.parametrize(("fork", "downs", "size"), [(True, 7, 384), (False, 8, 256)])
def test_the_size_follows_from_the_depth_where_d_is_missing(tmp_path: Path, fork: bool, downs: int, size: int) -> None:
    torch.manual_seed(0)
    G = PortGenerator(fork=fork, downs=downs, width=8, styles=4, style_dim=8)
    torch.save(G.state_dict(), tmp_path / "latest_net_G.pth")
    port = read_port(tmp_path / "latest_net_G.pth")
    assert port.settings["image_size"] == size
    assert port.step is None
    assert port.discriminator is None
    assert any("no D was given" in remark for remark in port.remarks)


def test_names_of_a_wrapped_network_are_understood(tmp_path: Path) -> None:
    path, _ = files(tmp_path, fork=True)
    weights = torch.load(path, weights_only=True)
    torch.save({f"module.{key}": value for key, value in weights.items()}, tmp_path / "5_net_G.pth")
    assert read_port(tmp_path / "5_net_G.pth").step == 5


class Marker:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


def test_no_code_runs(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    torch.save({"embedder.weight": Marker(marker)}, tmp_path / "1_net_G.pth")
    (tmp_path / "2_net_G.pth").write_bytes(pickle.dumps(Marker(marker)))
    for name in ("1_net_G.pth", "2_net_G.pth"):
        with pytest.raises(CheckpointError, match="without running code"):
            read_port(tmp_path / name)
    assert not marker.exists()


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    whole, _ = files(tmp_path, fork=True)
    bad = tmp_path / "bad_net_G.pth"
    torch.save(PortGenerator(fork=True, downs=5, width=8, styles=2, style_dim=4), bad)
    with pytest.raises(CheckpointError, match="without running code"):
        read_port(bad)
    bad.write_bytes(whole.read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match="bad_net_G"):
        read_port(bad)
    bad.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="bad_net_G"):
        read_port(bad)
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        read_port(tmp_path / "none.pth")
    for value, said in (([torch.zeros(1)], "holds list"), ({}, "holds dict"), ({"a": 1}, "holds int under 'a'")):
        torch.save(value, bad)
        with pytest.raises(CheckpointError, match=said):
            read_port(bad)
    torch.save({"a": torch.zeros(2)}, bad)
    with pytest.raises(CheckpointError, match=r"has no embedder\.weight"):
        read_port(bad)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda g: g.pop("model.submodule.up.1.bias"), r"model\.submodule\.up\.1\.bias is missing"),
        (lambda g: g.update({"attn.gamma": torch.zeros(1)}), r"attn\.gamma is not known"),
        (lambda g: g.update({"model.submodule.down.1.bias": torch.zeros(5)}), r"bias is \(5,\), expected \(16,\)"),
        (lambda g: g["embedder.weight"].fill_(float("nan")), r"embedder\.weight is not finite"),
        (lambda g: [g.update({f"more.{n}": torch.zeros(1)}) for n in range(9)], "and 3 more"),
    ],
)  # fmt: skip
def test_a_mismatch_names_the_keys(tmp_path: Path, change: Callable[[Any], object], said: str) -> None:
    path, _ = files(tmp_path, fork=True)
    weights = torch.load(path, weights_only=True)
    change(weights)
    torch.save(weights, path)
    with pytest.raises(CheckpointError, match=said):
        read_port(path)


def test_a_discriminator_of_other_networks_is_refused(tmp_path: Path) -> None:
    generator, _ = files(tmp_path, fork=True)
    (tmp_path / "classic").mkdir()
    _, other = files(tmp_path / "classic", fork=False)
    with pytest.raises(CheckpointError, match=r"net_D\.pth: does not fit .*model\.2\.bias is missing"):
        read_port(generator, other)
    with pytest.raises(CheckpointError, match="not a discriminator"):
        read_port(generator, generator)


@pytest.mark.parametrize("fork", [False, True], ids=["EuphoriaYan", "max32002"])
def test_a_run_goes_on_where_the_port_stopped(tmp_path: Path, cli: Cli, fork: bool) -> None:
    paths = files(tmp_path, fork=fork)
    assert cli("zi2zi", "data", "build", "--out", tmp_path / "set", "--charset", "demo").status == 0
    run = tmp_path / "run"
    data = f"model.data={tmp_path / 'set'}"
    made = cli("zi2zi", "import", *paths, "--out", run, "--config", "document_resume", "--set", data)
    assert made.status == 0, made.err
    assert "imported at step 64010" in made.out
    assert read_toml(run / "config.toml")["train"]["lambda_adv"] == 0.2
    before = checkpoint.load_latest(run / "checkpoints")
    assert before.step == 64010
    port = read_port(*paths)
    assert all(torch.equal(before.state["generator"][key], value) for key, value in port.generator.items())
    went_on = cli("train", "--resume", run, "--steps", 64012)
    assert went_on.status == 0, went_on.err
    after = checkpoint.load_latest(run / "checkpoints")
    assert after.step == 64012
    assert after.state["balance"]["knobs"] is not None
    changed = [not torch.equal(after.state["generator"][key], value) for key, value in port.generator.items()]
    assert any(changed)


def test_an_import_says_what_it_lacks(tmp_path: Path, cli: Cli) -> None:
    generator, discriminator = files(tmp_path, fork=True)
    result = cli("zi2zi", "import", generator, discriminator, "--out", tmp_path / "run")
    assert result.status == 2
    assert "which glyphs will it train on?" in result.err
    result = cli(
        "zi2zi", "import", generator, "--out", tmp_path / "run", "--set", "model.pairs=x", "--set", "model.downs=6"
    )
    assert result.status == 2
    assert "model.downs = 6: 64010_net_G.pth has 5" in result.err
    assert not (tmp_path / "run").exists()
