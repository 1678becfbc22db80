"""Checkpoints of the ports that are not read: nothing in them runs, and what does not fit is named."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.port_files import CLASSIC, FORK, files
from support.port_networks import PortGenerator

from balancer.errors import CheckpointError
from zi2zi_model.network.ports import read_port


def test_attention_in_the_decoder_is_refused(tmp_path: Path) -> None:
    G = PortGenerator(fork=True, downs=5, width=8, styles=4, style_dim=8, attention={4: 0.7, 3: 0.7}, early=True)
    torch.save(G.state_dict(), tmp_path / "1_net_G.pth")
    with pytest.raises(CheckpointError, match=r"submodule\.att has 16 channels, those of the decoder's map.*give"):
        read_port(tmp_path / "1_net_G.pth")


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
    with pytest.raises(CheckpointError, match=r"1_net_G\.pth: refused: it asks for [_a-z.]*exec, .*trust"):
        read_port(tmp_path / "1_net_G.pth")
    (tmp_path / "2_net_G.pth").write_bytes(pickle.dumps(Marker(marker), protocol=protocol))
    with pytest.raises(CheckpointError, match=r"2_net_G\.pth: refused: it asks for [_a-z.]*exec, .*trust"):
        read_port(tmp_path / "2_net_G.pth")
    assert not marker.exists()


MAKE, AGAIN = r"give a file made by torch\.save", "get the file again"


def refused(path: Path, said: str, *advice: str) -> None:
    """Reading the file ends in one printable line that says `said`, and what to do: no more than `advice`."""
    with pytest.raises(CheckpointError, match=said) as raised:
        read_port(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable() and len(message) < 500 + len(str(path))
    assert [bool(re.search(each, message)) for each in (MAKE, AGAIN)] == [each in advice for each in (MAKE, AGAIN)]


def test_what_is_not_a_state_dict_is_refused(tmp_path: Path) -> None:
    whole, _ = files(tmp_path, FORK)
    bad = tmp_path / "bad_net_G.pth"
    torch.save(PortGenerator(fork=True, downs=5, width=8, styles=2, style_dim=4), bad)
    refused(bad, r"holds [\w.]*PortGenerator, which cannot be loaded without running code", MAKE)
    for content in (b"", b"not a checkpoint", b"PK\x03\x04", whole.read_bytes()[:-5000], whole.read_bytes()[:900]):
        bad.write_bytes(content)
        refused(bad, "not a PyTorch checkpoint, or a damaged one", MAKE, AGAIN)
    for protocol in (2, 4):
        bad.write_bytes(pickle.dumps((3, b"a picture"), protocol=4) * 2)
        refused(bad, r"a pickle of plain values, such as an \.obj package", MAKE)
        bad.write_bytes(pickle.dumps({"a": complex(1, 2)}, protocol=protocol))
        refused(bad, r"asks for (__builtin__|builtins)\.complex, which could do anything here; nothing of it was run")
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
        refused(bad, said, MAKE)


@pytest.mark.parametrize("flips", [1, 2000])
def test_flipped_bytes_of_the_weights_are_seen(tmp_path: Path, flips: int) -> None:
    path, _ = files(tmp_path, FORK)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    # Behind the names of the archive's members, within the numbers of the largest tensor.
    for place in range(
        largest.header_offset + 200, largest.header_offset + largest.file_size, largest.file_size // flips + 1
    ):
        content[place] ^= 1
    path.write_bytes(content)
    refused(path, rf"damaged: {largest.filename} has not its CRC-32", AGAIN)


@pytest.mark.parametrize("old", [False, True])
def test_a_file_without_checksums_is_said_to_have_none(tmp_path: Path, old: bool) -> None:
    path, other = files(tmp_path, FORK)
    assert not any("checksums" in remark for remark in read_port(path, other).remarks)
    weights = torch.load(path, weights_only=True)
    try:
        torch.serialization.set_crc32_options(False)
        torch.save(weights, path, _use_new_zipfile_serialization=not old)
    finally:
        torch.serialization.set_crc32_options(True)
    port = read_port(path, other)
    assert [remark for remark in port.remarks if "checksums" in remark] == [port.remarks[0]]
    assert port.remarks[0].startswith("64010_net_G.pth holds no checksums")


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
        (lambda g: g.pop("embedder.weight"), r"has no embedder\.weight: a generator without a style embedding"),
        (lambda g: g.pop("model.submodule.up.1.bias"), r"model\.submodule\.up\.1\.bias is missing"),
        (lambda g: g.pop("model.submodule.down.1.weight"), r"model\.submodule\.down\.1\.weight is missing"),
        (lambda g: g.update({"attn.gamma": torch.zeros(1)}), r"attn\.gamma is not known; what is read are networks of"),
        (
            lambda g: g.update({"model.submodule.attn.gamma": torch.zeros(1)}),
            r"G\.pth: a generator with attention and residual blocks behind its levels .*earlier layout of max32002",
        ),
        (lambda g: g.update({"model.res_block5.conv1.bias": torch.zeros(1)}), "conv2_layer_count of 9 to 11"),
        (
            lambda g: [g.update({f"features.{n}": g.pop(key)}) for n, key in enumerate([*g])],
            r"no generator of a layout that is read \(its tensors are features\.0, features\.1, features\.10, …\)",
        ),
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
        (lambda d: d.pop("binary.weight_orig"), r"has no binary\.weight: no discriminator of a layout"),
        (lambda d: d.pop("model.0.weight_orig"), r"has no model\.0\.weight: no discriminator of a layout that is read"),
        (
            lambda d: d.update({"binary.weight": d.pop("binary.weight_orig")}),
            r"binary\.weight_orig is missing; binary\.weight is not known; what is read",
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
    with pytest.raises(
        CheckpointError, match=r"has no model\.0\.weight: a generator, not a discriminator; give the disc"
    ):
        read_port(generator, generator)
    with pytest.raises(
        CheckpointError,
        match=r"embedder\.weight: a discriminator, not a generator; give the generator's file, \{step\}_net_G",
    ):
        read_port(other, generator)
