"""Pictures moved and scaled: source and target alike, within bounds, and paper stays paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.zi2zi_runs import SMALL, TWO_STYLES, arguments, ok, state, zi2zi
from torch import Tensor

from zi2zi_model.network.model import augment

Cli = Callable[..., Any]


def blots(count: int, size: int = 64, margin: int = 24) -> Tensor:
    """Random ink (count, 1, S, S) in the middle of paper."""
    pictures = torch.ones(count, 1, size, size)
    pictures[:, :, margin:-margin, margin:-margin] = torch.rand(count, 1, size - 2 * margin, size - 2 * margin) * 2 - 1
    return pictures


def middle(pictures: Tensor) -> Tensor:
    """Centre of each picture's ink (B, 2), in shares of the side."""
    ink = (1 - pictures)[:, 0]
    places = (torch.arange(ink.shape[-1]) + 0.5) / ink.shape[-1]
    mass = ink.sum((1, 2))
    return torch.stack([(ink.sum(1) * places).sum(1) / mass, (ink.sum(2) * places).sum(1) / mass], 1)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31 - 1), shift=st.floats(0, 0.25), scale=st.floats(0, 0.25))
def test_source_and_target_move_alike_and_paper_stays_paper(seed: int, shift: float, scale: float) -> None:
    torch.manual_seed(seed)
    same = blots(6)
    source, target = moved = augment(torch.stack([same, same]), shift, scale)
    assert torch.equal(source, target)
    assert moved.shape == (2, 6, 1, 64, 64)
    assert moved.is_contiguous()
    assert float(moved.min()) >= -1.0 - 1e-5
    assert float(moved.max()) <= 1.0 + 1e-5
    # Ink of the middle quarter, scaled and shifted, ends this far from the edge.
    reach = int(64 * (0.5 - (0.125 * (1 + scale) + shift))) - 2
    for edge in (source[..., :reach, :], source[..., -reach:, :], source[..., :reach], source[..., -reach:]):
        assert reach <= 0 or bool((edge == 1.0).all())


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31 - 1), shift=st.floats(0.01, 0.25), scale=st.floats(0, 0.25))
def test_shift_and_scale_are_bounded(seed: int, shift: float, scale: float) -> None:
    torch.manual_seed(seed)
    square = torch.ones(64, 1, 64, 64)
    square[:, :, 24:40, 24:40] = -1.0
    moved, _ = augment(torch.stack([square, square]), shift, scale)
    away = (middle(moved) - 0.5).abs()
    # Resampling a 16 px square places its centre to a fraction of a pixel.
    assert float(away.max()) <= shift + 0.25 / 64
    assert float(away.max()) > shift * 0.8
    area = (1 - moved).sum((1, 2, 3)) / (1 - square).sum((1, 2, 3))
    assert float(area.max()) <= (1 + scale) ** 2 + 0.03
    assert float(area.min()) >= (1 - scale) ** 2 - 0.03


def test_pictures_of_one_batch_move_differently() -> None:
    torch.manual_seed(0)
    same = blots(1).expand(8, -1, -1, -1)
    moved, _ = augment(torch.stack([same, same]), 0.1, 0.0)
    assert len({tuple(place) for place in middle(moved).mul(1000).round().tolist()}) == 8


def test_zero_changes_no_bit() -> None:
    plain, asked, moved = (
        zi2zi(augment_shift=shift, augment_scale=scale) for shift, scale in ((0, 0), (0.0, 0.0), (0.1, 0.0))
    )
    items = range(8)
    before = torch.get_rng_state()
    one, two = plain.batch(items), asked.batch(items)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[key], two[key]) for key in one)
    source, target, _ = plain.data.batch(plain.data.train_items[:8])
    for name, pixels in (("source", source), ("target", target)):
        assert torch.equal(one[name][:, 0], torch.from_numpy(pixels).float() / 127.5 - 1)
        assert not torch.equal(moved.batch(items)[name], one[name])
    assert torch.equal(moved.batch(items)["style"], one["style"])


def test_an_augmented_run_is_resumed_to_the_same_bits(tmp_path: Path, cli: Cli) -> None:
    model = {**SMALL, **TWO_STYLES, "augment_shift": 0.05, "augment_scale": 0.05, "shuffle_labels": True}
    for name, steps in (("whole", 4), ("parts", 2)):
        ok(cli(*arguments(tmp_path / name, steps, **model)))
    ok(cli("train", "--resume", tmp_path / "parts", "--steps", "4", "--quiet"))
    one, two = (state(tmp_path / name)["generator"] for name in ("whole", "parts"))
    assert all(torch.equal(one[key], two[key]) for key in one)
