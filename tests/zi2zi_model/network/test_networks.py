"""Sizes, shapes and gradients of G and D, for the presets and for every pair of options."""

from itertools import product

import pytest
import torch
from torch import nn

from zi2zi_model.defaults import PRESETS
from zi2zi_model.network.networks import Discriminator, Generator, SelfAttention
from zi2zi_model.settings import Zi2ziSettings

SMALL = {"g_channels": 8, "max_channels": 16, "d_channels": 8, "styles": 3, "style_dim": 4}


@pytest.fixture(autouse=True)
def _reproducible():
    torch.manual_seed(0)


def images(settings: Zi2ziSettings, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, settings.channels, settings.image_size, settings.image_size) * 2 - 1


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("given", "generator", "discriminator"),
    [
        ({"preset": "zi2zi"}, 52_874_950, 4_412_266),  # the source document's 52.8 M
        ({"preset": "zi2zi", "image_size": 256, "downs": 8}, 66_508_998, 4_359_786),
        ({"preset": "classic"}, 55_461_505, 4_360_682),  # EuphoriaYan's 55.46 M and 4.36 M
        ({"preset": "tiny"}, 2_268_132, 273_626),
    ],
)
def test_parameter_counts(given, generator, discriminator):
    with torch.device("meta"):
        settings = Zi2ziSettings(**given)
        assert parameters(Generator(settings)) == generator
        assert parameters(Discriminator(settings)) == discriminator


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_trains_at_its_own_size(preset):
    """With few channels: shape errors, and norms of a 1x1 map, do not depend on their number."""
    settings = Zi2ziSettings(preset=preset, **SMALL)
    generator, discriminator = Generator(settings), Discriminator(settings)
    source = images(settings)
    fake, _ = generator(source, torch.tensor([0, 2]))
    assert fake.shape == source.shape
    assert fake.abs().max() <= 1
    logits, category = discriminator(fake, source)
    assert (logits.shape, category.shape) == ((2, 1), (2, 3))
    (logits.mean() + category.mean()).backward()
    for parameter in (*generator.parameters(), *discriminator.parameters()):
        assert parameter.grad is not None and parameter.grad.isfinite().all()


OPTIONS = {
    "decoder": ("pixelshuffle", "transposed"),
    "norm": ("instance", "batch"),
    "skips": ("add", "concat"),
    "attention": ("none", "deep", "middle"),
    "channels": (1, 3),
}


@pytest.mark.parametrize("values", [*product(*OPTIONS.values())], ids=lambda values: "-".join(map(str, values)))
def test_every_combination_of_options_gives_images_and_a_code(values):
    settings = Zi2ziSettings(**SMALL, downs=6, dropout=0.5, **dict(zip(OPTIONS, values, strict=True)))
    source = images(settings)
    generator = Generator(settings)
    assert generator(source, torch.tensor([0, 1]))[0].shape == source.shape
    assert generator.encode(source).shape == (2, 16, 1, 1)


@pytest.mark.parametrize(("size", "downs"), [(64, 3), (96, 5), (128, 7), (160, 5), (256, 8), (320, 6), (384, 7)])
def test_every_size_works(size, downs):
    settings = Zi2ziSettings(**SMALL, image_size=size, downs=downs)
    source = images(settings, batch=1)
    with torch.no_grad():
        generator, discriminator = Generator(settings), Discriminator(settings)
        assert generator(source, torch.tensor([0]))[0].shape == source.shape
        assert generator.encode(source).shape[2:] == (size // 2**downs, size // 2**downs)
        assert discriminator(source, source)[0].shape == (1, 1)


@pytest.mark.parametrize(
    ("head", "norm", "spectral", "channels"),
    [*product(("global", "patch"), ("instance", "batch"), (False, True), (1, 3))],
)
def test_every_discriminator_trains(head, norm, spectral, channels):
    settings = Zi2ziSettings(**SMALL, d_head=head, norm=norm, spectral_norm=spectral, channels=channels)
    discriminator = Discriminator(settings)
    source = images(settings)
    logits, category = discriminator(source.flip(3), source)
    assert logits.shape == ((2, 1) if head == "global" else (2, 1, 8, 8))
    assert category.shape == (2, 3)
    (logits.square().mean() + category.square().mean()).backward()
    for name, parameter in discriminator.named_parameters():
        assert parameter.grad is not None, name
        # A bias that a norm follows is taken out again with the mean.
        assert "bias" in name or parameter.grad.abs().sum() > 0, name


def test_spectral_norm_bounds_the_real_fake_path_and_leaves_the_category_head_free():
    discriminator = Discriminator(Zi2ziSettings(**SMALL, spectral_norm=True))
    source = images(Zi2ziSettings())
    for _ in range(30):  # power iterations
        discriminator(source, source)
    for layer in (*discriminator.features, discriminator.last, discriminator.binary):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1.0, abs=0.1)
    assert not hasattr(discriminator.category, "parametrizations")


def test_the_discriminator_sees_condition_and_image():
    settings = Zi2ziSettings(**SMALL)
    discriminator = Discriminator(settings)
    one, other = images(settings), images(settings)
    answers = [discriminator(*pair)[0] for pair in ((one, other), (other, one), (one, one))]
    assert not torch.equal(answers[0], answers[1]) and not torch.equal(answers[0], answers[2])


@pytest.mark.parametrize("preset", ["zi2zi", "classic"])
def test_gradients_reach_every_parameter(preset):
    settings = Zi2ziSettings(preset=preset, **SMALL, image_size=64, downs=5, attention="middle")
    generator = Generator(settings)
    # Attention starts switched off (gamma = 0), which keeps gradients from its convolutions, not from gamma.
    for module in generator.modules():
        if isinstance(module, SelfAttention):
            nn.init.constant_(module.gamma, 0.5)
    generator(images(settings, batch=3), torch.tensor([0, 1, 2]))[0].square().mean().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        # A bias that a norm follows is taken out again with the mean; so is attention's key bias by the softmax.
        assert name.endswith("bias") or parameter.grad.abs().sum() > 0, name


def test_attention_starts_as_the_identity():
    x = torch.randn(2, 16, 6, 6)
    attention = SelfAttention(16)
    assert torch.equal(attention(x), x)
    attention(x).square().mean().backward()
    assert attention.gamma.grad is not None and attention.gamma.grad.item() != 0


def test_attention_weighs_all_places():
    attention = SelfAttention(16)
    for layer in (attention.query, attention.key):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    nn.init.ones_(attention.gamma)
    x = torch.randn(1, 16, 6, 6)
    # Without queries and keys every place gets the mean of all values.
    torch.testing.assert_close(attention(x) - x, attention.value(x).mean((2, 3), keepdim=True).expand_as(x))


def test_style_is_given_by_label_or_by_vector():
    settings = Zi2ziSettings(**SMALL)
    generator = Generator(settings).eval()
    source = images(settings)
    labels = torch.tensor([0, 2])
    by_label, _ = generator(source, labels)
    assert torch.equal(generator(source, generator.embedding(labels))[0], by_label)
    assert not torch.equal(generator(source, torch.tensor([1, 1]))[0], by_label)
    assert generator(source, generator.embedding.weight.mean(0, keepdim=True).expand(2, -1))[0].shape == source.shape


def test_the_code_does_not_depend_on_the_style_or_on_dropout():
    settings = Zi2ziSettings(**SMALL, dropout=0.5)
    generator = Generator(settings)
    source = images(settings)
    assert torch.equal(generator.encode(source), generator.encode(source))


def test_weights_start_small():
    settings = Zi2ziSettings(norm="batch")
    for network in (Generator(settings), Discriminator(settings)):
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.numel() > 1_000:
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
            if isinstance(module, nn.BatchNorm2d):
                assert module.weight.mean().item() == pytest.approx(1.0, abs=0.02)


def test_the_same_seed_gives_the_same_networks():
    def build() -> list[torch.Tensor]:
        torch.manual_seed(7)
        return [*Generator(Zi2ziSettings(**SMALL)).parameters(), *Discriminator(Zi2ziSettings(**SMALL)).parameters()]

    assert all(torch.equal(one, other) for one, other in zip(build(), build(), strict=True))
