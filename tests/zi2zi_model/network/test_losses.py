"""The terms' values, and that the const term teaches the decoder."""

import math

import pytest
import torch

from zi2zi_model.network.losses import category_loss, const_loss, l1_loss
from zi2zi_model.network.networks import Generator
from zi2zi_model.settings import Zi2ziSettings


def test_l1_is_the_mean_absolute_difference():
    assert l1_loss(torch.ones(2, 1, 4, 4), -torch.ones(2, 1, 4, 4)).item() == 2.0


def test_const_is_the_mean_squared_difference():
    assert const_loss(torch.full((2, 8, 3, 3), 3.0), torch.full((2, 8, 3, 3), 1.0)).item() == 4.0


def test_category_is_ln_2_for_undecided_logits_and_a_mean_over_styles():
    assert category_loss(torch.zeros(3, 40), torch.tensor([0, 7, 39])).item() == pytest.approx(math.log(2))
    right = torch.full((1, 4), -50.0)
    right[0, 2] = 50.0
    assert category_loss(right, torch.tensor([2])).item() == pytest.approx(0.0, abs=1e-6)
    # Two of four answers are wrong by 50 nats.
    assert category_loss(right, torch.tensor([1])).item() == pytest.approx(25.0)


def test_terms_are_fp32_whatever_the_networks_computed_in():
    half = torch.ones(2, 4, dtype=torch.bfloat16)
    terms = l1_loss(half, half), const_loss(half, half), category_loss(half, torch.tensor([0, 1]))
    assert {term.dtype for term in terms} == {torch.float32}


@pytest.mark.parametrize("preset", ["zi2zi", "classic"])
def test_the_const_term_reaches_the_decoder(preset):
    torch.manual_seed(0)
    generator = Generator(Zi2ziSettings(preset=preset, image_size=64, downs=6, g_channels=8, max_channels=16))
    source = torch.rand(2, 1, 64, 64) * 2 - 1
    fake, _ = generator(source, torch.tensor([0, 1]))
    const_loss(generator.encode(source), generator.encode(fake)).backward()
    for name, parameter in generator.decoder.named_parameters():
        if name.endswith("weight"):
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
