"""Checkpoints of the ports: read without running code, understood from their shapes, drawn with to the same pixels."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from support.port_networks import PortDiscriminator, PortGenerator
from torch import Tensor, nn

from balancer.errors import CheckpointError
from balancer.record import checkpoint
from balancer.record.run_config import read_toml
from zi2zi_model.network.networks import Discriminator, Generator
from zi2zi_model.network.ports import PortWeights, read_port
from zi2zi_model.settings import Zi2ziSettings

Cli = Callable[..., Any]


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
        common: dict[str, Any] = {"batch_norm": self.batch_norm, "width": width, "channels": self.channels}
        return (
            PortGenerator(
                **common, fork=self.fork, downs=self.downs, styles=40, style_dim=2 * width, attention=self.attention
            ),
            PortDiscriminator(**common, size=self.size, styles=40, spectral=self.spectral),
        )

    def images(self, batch: int) -> Tensor:
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


def test_attention_in_the_decoder_is_refused(tmp_path: Path) -> None:
    G = PortGenerator(fork=True, downs=5, width=8, styles=4, style_dim=8, attention={4: 0.7, 3: 0.7}, early=True)
    torch.save(G.state_dict(), tmp_path / "1_net_G.pth")
    with pytest.raises(CheckpointError, match=r"submodule\.att has 16 channels, those of the decoder's map.*give"):
        read_port(tmp_path / "1_net_G.pth")


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


class Marker:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_no_code_runs(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "ran"
    torch.save({"embedder.weight": Marker(marker)}, tmp_path / "1_net_G.pth", pickle_protocol=protocol)
    with pytest.raises(CheckpointError, match=r"1_net_G\.pth: "):
        read_port(tmp_path / "1_net_G.pth")
    (tmp_path / "2_net_G.pth").write_bytes(pickle.dumps(Marker(marker), protocol=protocol))
    with pytest.raises(CheckpointError, match=r"2_net_G\.pth: "):
        read_port(tmp_path / "2_net_G.pth")
    assert not marker.exists()


def refused(path: Path, said: str) -> None:
    """Reading the file ends in one printable line that says `said`, and what to do."""
    with pytest.raises(CheckpointError, match=said) as raised:
        read_port(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable() and len(message) < 500 + len(str(path))
    assert "give a file made by torch.save" in message


def test_what_is_not_a_state_dict_is_refused(tmp_path: Path) -> None:
    whole, _ = files(tmp_path, FORK)
    bad = tmp_path / "bad_net_G.pth"
    torch.save(PortGenerator(fork=True, downs=5, width=8, styles=2, style_dim=4), bad)
    refused(bad, r"holds [\w.]*PortGenerator, which cannot be loaded without running code")
    for content in (b"", b"not a checkpoint", b"PK\x03\x04", whole.read_bytes()[:-5000], whole.read_bytes()[:900]):
        bad.write_bytes(content)
        refused(bad, "not a PyTorch checkpoint, or a damaged one")
    tensorflow = tmp_path / "unet.model-64010.data-00000-of-00001"
    tensorflow.write_bytes(torch.rand(1000).numpy().tobytes())
    refused(tensorflow, "a TensorFlow checkpoint, whose networks differ")
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        read_port(tmp_path / "none.pth")
    for value, said in (
        ([torch.zeros(1)], "holds list"),
        (torch.zeros(1), "holds Tensor"),
        ({}, "holds nothing"),
        ({"a": 1}, "holds int under 'a'"),
        ({1: torch.zeros(1)}, "holds a tensor of torch.float32 under 1"),
        ({"netG": {"a": torch.zeros(1)}}, "holds dict under 'netG'"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "under 'a'"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "holds a tensor of torch.complex64 under 'a'"),
    ):
        torch.save(value, bad)
        refused(bad, said)


def test_a_damaged_file_is_refused_whatever_torch_makes_of_it(tmp_path: Path) -> None:
    """Bytes changed at random make the unpickler raise a dozen kinds of errors; none may come through."""
    random = torch.Generator().manual_seed(0)
    good = tmp_path / "good_net_G.pth"
    torch.save({"embedder.weight": torch.zeros(2, 2)}, good)
    for content in (good.read_bytes(), pickle.dumps({"embedder.weight": 1}, protocol=2)):
        for _ in range(150):
            changed = bytearray(content)
            for place in torch.randint(len(changed), (5,), generator=random).tolist():
                changed[place] = int(torch.randint(256, (1,), generator=random))
            bad = tmp_path / "bad_net_G.pth"
            bad.write_bytes(bytes(changed))
            with pytest.raises(CheckpointError):
                read_port(bad)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda g: g.pop("embedder.weight"), r"has no embedder\.weight, so it is not a generator"),
        (lambda g: g.pop("model.submodule.up.1.bias"), r"model\.submodule\.up\.1\.bias is missing"),
        (lambda g: g.pop("model.submodule.down.1.weight"), r"model\.submodule\.down\.1\.weight is missing"),
        (lambda g: g.update({"attn.gamma": torch.zeros(1)}), r"attn\.gamma is not known; give an unchanged one of"),
        (lambda g: g.update({"two\nlines": torch.zeros(1)}), r"two\\nlines is not known"),
        (lambda g: g.update({"model.att.gamma": torch.zeros(1)}), r"model\.att\.query_conv\.weight is missing"),
        (lambda g: g.update({"model.submodule.down.1.bias": torch.zeros(5)}), r"bias is \(5,\), expected \(16,\)"),
        (lambda g: g.update({"embedder.weight": torch.zeros(5)}), r"embedder\.weight is \(5,\), expected 2 dimensions"),
        (
            lambda g: g.update({"model.submodule.down.1.weight": torch.tensor(1.0)}),
            r"down\.1\.weight is \(\), expected",
        ),
        (
            lambda g: g.update({"model" + ".submodule" * 30 + ".up.1.bias": torch.zeros(1)}),
            "layout: downs: Input should",
        ),
        (lambda g: g["embedder.weight"].fill_(float("nan")), r"embedder\.weight is not finite"),
        (lambda g: [g.update({f"more.{n}": torch.zeros(1)}) for n in range(9)], "and 3 more"),
    ],
)
def test_a_mismatch_names_the_keys(tmp_path: Path, change: Callable[[Any], object], said: str) -> None:
    path, _ = files(tmp_path, FORK)
    weights = torch.load(path, weights_only=True)
    change(weights)
    torch.save(weights, path)
    with pytest.raises(CheckpointError, match=said):
        read_port(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("binary.weight_orig"), r"has no binary\.weight, so it is not a discriminator"),
        (lambda d: d.pop("model.0.weight_orig"), r"has no model\.0\.weight, so it is not a discriminator"),
        (
            lambda d: d.update({"binary.weight": d.pop("binary.weight_orig")}),
            r"binary\.weight_orig is missing; binary\.weight is not known; give",
        ),
        (lambda d: d.pop("catagory.weight_v"), r"catagory\.weight is missing; catagory\.weight_orig is not known"),
        (lambda d: d.update({"catagory.weight_u": torch.zeros(3)}), r"catagory\.weight_u is not known"),
        (lambda d: d["catagory.weight_u"].zero_(), r"catagory\.weight is not finite"),
        (
            lambda d: d.update({"binary.weight_orig": torch.zeros(1, 65)}),
            "binary has 65 inputs and model.11 1 channels",
        ),
        # A version of the fork with one convolution more, and halving once more.
        (
            lambda d: d.update(
                {"model.11.weight_orig": torch.zeros(128, 64, 5, 5), "binary.weight": torch.zeros(1, 16)}
            ),
            "model.11 128 channels, expected a square number and 1: another layout of D; leave D out",
        ),
        (lambda d: d.update({"binary.weight_orig": torch.zeros(1, 81)}), "image_size 72 cannot be halved 5 times"),
        (lambda d: d.update({"binary.weight_orig": torch.zeros(64)}), r"weight_orig is \(64,\), expected 2 dimensions"),
    ],
)
def test_a_mismatch_of_d_names_the_keys(tmp_path: Path, change: Callable[[Any], object], said: str) -> None:
    generator, path = files(tmp_path, FORK._replace(spectral=True))
    weights = torch.load(path, weights_only=True)
    change(weights)
    torch.save(weights, path)
    with pytest.raises(CheckpointError, match=said):
        read_port(generator, path)


def test_a_discriminator_of_other_networks_is_refused(tmp_path: Path) -> None:
    generator, _ = files(tmp_path, FORK)
    (tmp_path / "classic").mkdir()
    _, other = files(tmp_path / "classic", CLASSIC)
    with pytest.raises(CheckpointError, match=r"net_D\.pth: does not fit .*model\.2\.bias is missing"):
        read_port(generator, other)
    with pytest.raises(CheckpointError, match="not a discriminator"):
        read_port(generator, generator)
    with pytest.raises(CheckpointError, match="not a generator"):
        read_port(other, generator)


@pytest.mark.parametrize("layout", ["EuphoriaYan", "max32002"])
def test_a_run_goes_on_where_the_port_stopped(tmp_path: Path, cli: Cli, layout: str) -> None:
    paths = files(tmp_path, LAYOUTS[layout])
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
    generator, discriminator = files(tmp_path, FORK)
    result = cli("zi2zi", "import", generator, discriminator, "--out", tmp_path / "run")
    assert result.status == 2
    assert "which glyphs will it train on?" in result.err
    result = cli(
        "zi2zi", "import", generator, "--out", tmp_path / "run", "--set", "model.pairs=x", "--set", "model.downs=6"
    )
    assert result.status == 2
    assert "model.downs = 6: 64010_net_G.pth has 5" in result.err
    assert not (tmp_path / "run").exists()
