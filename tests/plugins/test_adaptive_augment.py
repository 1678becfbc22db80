"""adaptive_augment: how p goes and survives, where pixels go, and that images and conditions are moved alike."""

import copy
import itertools
import math
from typing import Any

import pytest
import torch
from balancer_plugins.adaptive_augment import AdaptiveAugment, Drawn, augmented, draw, next_probability
from hypothesis import given
from hypothesis import strategies as st
from support.shapes_runs import shapes_trainer
from support.toy_steps import advance
from torch import Tensor

from balancer import Balancer, Plugin, StepContext, hookimpl
from balancer.errors import BalancerWarning, ConfigError
from balancer.testing import toy_trainer
from balancer.train.loop import Trainer

# The law.


@pytest.mark.parametrize(("p", "r_t", "expected"), [(0.5, 0.7, 0.6), (0.5, 0.5, 0.4), (0.5, 0.6, 0.5), (0.0, 0.1, 0.0)])
def test_p_goes_by_the_sign_of_the_excess(p: float, r_t: float, expected: float) -> None:
    assert next_probability(p, r_t, 0.6, 0.1) == pytest.approx(expected)


@given(st.lists(st.floats(-1, 1), max_size=60), st.floats(0, 3))
def test_p_stays_a_probability(signs: list[float], share: float) -> None:
    p = 0.0
    for r_t in signs:
        p = next_probability(p, r_t, 0.6, share)
        assert 0.0 <= p <= 1.0


@pytest.mark.parametrize("train", [{}, {"micro_batches": 2}, {"precision": "bf16"}])
def test_p_is_what_adas_rule_makes_of_d_s_answers(train: dict[str, Any]) -> None:
    settings = {"adaptive_augment": {"target": 0.0, "images": 256}, "d_skip": {"every": 3}}
    trainer = shapes_trainer(["adaptive_augment", "d_skip"], settings, batch_size=16, lr=0.03, **train)
    p, signs, expected, found = 0.0, [], [], []
    for step in range(36):
        expected.append(p)  # what the answers of a step come to acts from the next one on
        advance(trainer, 1)
        row = trainer.balance.last_row
        found.append(row["signal/ada_p"])
        if step % 3 == 0:  # D rests in the others
            signs.append(2 * row["signal/d_acc_real"] - 1)
        if len(signs) == 4:
            p = min(max(p + math.copysign(4 * 16 / 256, sum(signs)) * (sum(signs) != 0), 0.0), 1.0)
            signs = []
    assert found == pytest.approx(expected)
    assert max(found) >= 0.25


# Where pixels go.


def drawn(items: int = 1, **values: float) -> Drawn:
    """The same transformation for all items; nothing where nothing is said."""
    neutral = {"shift_x": 0.0, "shift_y": 0.0, "scale": 1.0, "angle": 0.0, "contrast": 1.0, "brightness": 0.0}
    return Drawn(**{name: torch.full((items,), value) for name, value in {**neutral, **values}.items()})


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_shift_by_whole_pixels_moves_and_continues_the_border(pictures: Tensor) -> None:
    moved = augmented(pictures, drawn(3, shift_x=2 / 8, shift_y=-1 / 8), "border")
    assert torch.allclose(moved[:, :, :-1, 2:], pictures[:, :, 1:, :-2], atol=1e-5), "to the right, and up"
    assert torch.allclose(moved[:, :, :-1, :2], pictures[:, :, 1:, :1].expand(-1, -1, -1, 2), atol=1e-5)
    mirrored = augmented(pictures, drawn(3, shift_x=2 / 8), "reflection")
    assert torch.allclose(mirrored[..., :2], pictures[..., :2].flip(-1), atol=1e-5)


def test_a_quarter_turn_is_counter_clockwise(pictures: Tensor) -> None:
    turned = augmented(pictures, drawn(3, angle=math.pi / 2), "border")
    assert torch.allclose(turned, pictures.rot90(1, (2, 3)), atol=1e-5)


def test_a_turn_keeps_shapes_also_where_images_are_not_square() -> None:
    wide = torch.zeros(1, 1, 5, 9)
    wide[0, 0, 2, 4], wide[0, 0, 2, 6] = 1.0, 2.0  # the middle, and two pixels right of it
    turned = augmented(wide, drawn(angle=math.pi / 2), "border")
    assert turned[0, 0, 2, 4] == pytest.approx(1.0, abs=1e-4)
    assert turned[0, 0, 0, 4] == pytest.approx(2.0, abs=1e-4), "two pixels above it"


def test_a_scale_grows_both_ways_from_the_middle() -> None:
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 3, 5] = 1.0
    grown = augmented(image, drawn(scale=2.0), "border")
    assert grown[0, 0, 2, 6] == pytest.approx(1.0, abs=1e-4)
    assert float(grown.sum()) == pytest.approx(4.0, abs=1e-3)


def test_contrast_and_brightness_act_on_values(pictures: Tensor) -> None:
    assert torch.allclose(augmented(pictures, drawn(3, contrast=0.5, brightness=0.25), "border"), pictures / 2 + 0.25)


def test_what_nothing_happens_to_stays_to_the_bit_and_gradients_pass(pictures: Tensor) -> None:
    assert torch.equal(augmented(pictures, drawn(3), "border"), pictures)
    at = pictures.clone().requires_grad_()
    augmented(at, drawn(3, angle=0.3, scale=0.8, shift_x=0.05), "border").sum().backward()
    assert at.grad is not None
    assert float(at.grad.abs().sum()) > 0
    half = augmented(pictures.bfloat16(), drawn(3, angle=0.3), "border")
    assert half.dtype is torch.bfloat16


def test_each_transformation_comes_with_probability_p_and_within_its_range() -> None:
    config = AdaptiveAugment.Config(brightness=0.2, contrast=0.5)
    found = draw(4000, (32, 64), 0.3, config, torch.Generator().manual_seed(0))
    for name, neutral in (("scale", 1.0), ("angle", 0.0), ("contrast", 1.0), ("brightness", 0.0)):
        assert float((getattr(found, name) != neutral).float().mean()) == pytest.approx(0.3, abs=0.04), name
    assert float(found.angle.abs().max()) <= math.radians(5)
    assert float(found.scale.log2()[found.scale != 1].std()) == pytest.approx(0.2, rel=0.1)
    whole = draw(4000, (32, 64), 1.0, AdaptiveAugment.Config(drift=0), torch.Generator().manual_seed(0))
    pixels = whole.shift_x * 64
    assert torch.equal(pixels, pixels.round())
    assert float(pixels.abs().max()) == 8.0, "an eighth of the width"
    assert float((whole.shift_y * 32).abs().max()) == 4.0


# In a run.


class After(Plugin):
    """Keeps what D sees behind adaptive_augment."""

    name = "zzz_after"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.seen: list[tuple[Any, Any]] = []

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        self.seen.append((images.detach().clone(), None if condition is None else condition.detach().clone()))
        return images, condition


class Twin(Plugin):
    """Gives D the images once more as their condition, before they are augmented."""

    name = "aaa_twin"

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        return images, images.detach()


def seen(trainer: Trainer) -> list[tuple[Any, Any]]:
    (after,) = [plugin for plugin in trainer.balance.composition.plugins if isinstance(plugin, After)]
    return after.seen


def test_images_and_conditions_are_moved_alike_and_real_and_fake_are_not() -> None:
    settings = {"adaptive_augment": {"initial": 1.0, "brightness": 0.1}}
    trainer = advance(shapes_trainer([Twin, "adaptive_augment", After], settings), 2)
    pairs = seen(trainer)
    assert len(pairs) == 6
    assert all(torch.equal(images, condition) for images, condition in pairs)
    plain = advance(shapes_trainer([Twin, After], settings={}), 1)
    assert not torch.allclose(pairs[0][0], seen(plain)[0][0])
    assert all(not torch.equal(one[0], other[0]) for one, other in itertools.combinations(pairs, 2))


def test_p_and_what_is_drawn_survive_a_resume_at_every_step() -> None:
    settings = {"adaptive_augment": {"initial": 0.9, "every": 3, "images": 200, "target": 1.0}}

    def made() -> Trainer:
        return shapes_trainer(["adaptive_augment", After], settings)

    whole, states, rows = made(), [], []
    for _ in range(8):
        states.append(copy.deepcopy(whole.state_dict()))
        advance(whole, 1)
        rows.append(whole.balance.last_row)
    assert [rows[step]["signal/ada_p"] for step in (0, 2, 3, 6)] == pytest.approx([0.9, 0.9, 0.66, 0.42])
    for stop, state in enumerate(states):
        resumed = made()
        resumed.load_state_dict(state)
        advance(resumed, 8 - stop)
        assert resumed.balance.last_row == rows[-1], stop
        assert torch.equal(seen(resumed)[-1][0], seen(whole)[-1][0])


def script(**options: Any) -> Balancer:
    settings = {"adaptive_augment": {"initial": 1.0, **options.pop("config", {})}}
    told = {"obeys": {"transform_d_input"}, "supplies": {"d_acc_real"}, "settings": settings, **options}
    return Balancer(["adaptive_augment"], **told)


def test_labels_beside_images_are_left_alone_and_images_have_any_channels() -> None:
    balance = script(batch_size=4)
    balance.start_step()
    for channels in (1, 3, 7):
        images, labels = torch.rand(4, channels, 12, 10), torch.arange(4)
        moved, condition = balance.transform_d_input(images, labels)
        assert moved.shape == images.shape
        assert not torch.equal(moved, images)
        assert condition is labels
    assert balance.transform_d_input(images)[1] is None


def test_a_condition_of_another_size_is_moved_by_the_same_share() -> None:
    balance = script(batch_size=2, config={"drift": 0.0, "scale": 0.0, "rotate": 0.0})
    balance.start_step()
    ramp = torch.linspace(-1, 1, 16).expand(2, 1, 16, 16)
    fine, coarse = balance.transform_d_input(ramp, ramp[:, :, ::2, ::2].contiguous())
    assert coarse is not None
    moved = float((fine - ramp)[0, 0, 8, 8])
    assert moved != 0
    assert float((coarse - ramp[:, :, ::2, ::2])[0, 0, 4, 4]) == pytest.approx(moved, rel=1e-4)


def test_what_has_no_height_and_width_is_left_alone_with_one_warning() -> None:
    balance = script(batch_size=4)
    balance.start_step()
    points = torch.rand(4, 2)
    with pytest.warns(BalancerWarning, match=r"D sees tensors of shape \(4, 2\), not images") as told:
        assert balance.transform_d_input(points)[0] is points
        assert balance.transform_d_input(points)[0] is points
    assert len(told) == 1


def test_without_the_number_of_items_p_cannot_be_counted() -> None:
    with pytest.raises(ConfigError, match=r"pass batch_size= to Balancer, or give adaptive_augment\.batch_size"):
        script().start_step()
    script(config={"batch_size": 4}).start_step()


def test_a_gate_on_accuracy_beside_it_is_warned_about() -> None:
    settings = {"d_skip": {"accuracy_above": 0.8}}
    (warning,) = toy_trainer(["adaptive_augment", "d_skip"], settings).balance.composition.warnings
    assert "p stands still while D rests; keep one of them" in warning
    assert toy_trainer(["adaptive_augment", "d_skip"]).balance.composition.warnings == ()
