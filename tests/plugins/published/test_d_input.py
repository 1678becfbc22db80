"""ADA and instance noise: what D sees, and how p and σ go."""

import copy
from typing import Any

import pytest
import torch
from support.published import Ada, InstanceNoise
from support.shapes_runs import shapes_trainer
from support.toy_steps import advance

from balancer import Plugin, StepContext, hookimpl
from balancer.testing import check_plugin
from balancer.train.loop import Trainer


class Beside(Plugin):
    """Keeps what D sees before and after the plugin under test."""

    name = "zzz_beside"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.pairs: list[tuple[Any, Any]] = []

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        self.pairs.append((images.detach().clone(), condition.detach().clone()))
        return images, condition


class Before(Beside):
    name = "aaa_before"


def seen(trainer: Trainer) -> list[tuple[Any, Any]]:
    before, after = [plugin for plugin in trainer.balance.composition.plugins if isinstance(plugin, Beside)]
    return list(zip(before.pairs, after.pairs, strict=True))


@pytest.mark.parametrize("train", [{}, {"micro_batches": 2}, {"precision": "bf16"}])
def test_p_goes_by_the_sign_of_d_on_real_images(train: dict[str, Any]) -> None:
    settings = {"ada": {"target": 0.0, "items": 256.0}, "d_skip": {"every": 3}}
    trainer = shapes_trainer([Ada, "d_skip"], settings, batch_size=16, lr=0.03, **train)
    p, signs, expected, found = 0.0, [], [], []
    for _ in range(24):
        expected.append(p)  # what was decided in a step acts from the next one on
        advance(trainer, 1)
        found.append(trainer.balance.last_row["knob/ada_p"])
        signs.append(2 * trainer.balance.last_row["signal/d_acc_real"] - 1)
        if len(signs) == 4:
            r_t = sum(signs) / 4
            p = min(max(p + (1 if r_t > 0.0 else -1) * 4 * 16 / 256, 0.0), 1.0)
            signs = []
    assert found == pytest.approx(expected)
    assert max(found) > 0.2


def test_images_and_conditions_are_mirrored_together_and_p_survives_a_resume() -> None:
    settings = {"ada": {"target": -1.5, "items": 128.0}}

    def made() -> Trainer:
        return shapes_trainer([Before, Ada, Beside], settings, batch_size=16)

    trainer = advance(made(), 5)
    state = copy.deepcopy(trainer.state_dict())
    advance(trainer, 2)
    resumed = made()
    resumed.load_state_dict(state)
    advance(resumed, 2)
    assert resumed.balance.last_row == trainer.balance.last_row
    assert trainer.balance.last_row["knob/ada_p"] == 0.5
    mirrored = 0
    for (images, condition), (new_images, new_condition) in seen(resumed):
        for row in range(len(images)):
            pairs = [(images[row], new_images[row]), (condition[row], new_condition[row])]
            flips = [torch.equal(new, old.flip(-1)) for old, new in pairs]
            same = [torch.equal(new, old) for old, new in pairs]
            assert all(flips) or all(same)
            mirrored += all(flips) and not all(same)
    assert 10 < mirrored < 80, "about half of 96"


def test_noise_falls_linearly_over_the_planned_run() -> None:
    settings = {"instance_noise": {"sigma": 0.4, "share": 0.5}}
    trainer = shapes_trainer([Before, InstanceNoise, Beside], settings, steps=16)
    rows = []
    for _ in range(10):
        advance(trainer, 1)
        rows.append(trainer.balance.last_row["knob/d_noise"])
    assert rows == pytest.approx([0.4 * max(0.0, 1 - step / 8) for step in range(10)])
    spreads = [float((after[0] - before[0]).std()) for before, after in seen(trainer)[::3]]
    assert spreads == pytest.approx(rows, rel=0.06, abs=1e-12)


def test_a_resume_with_more_steps_anneals_over_all_of_them() -> None:
    first = advance(shapes_trainer([InstanceNoise], steps=8), 2)
    longer = shapes_trainer([InstanceNoise], steps=80)
    longer.load_state_dict(first.state_dict())
    advance(longer, 1)
    assert longer.balance.last_row["knob/d_noise"] == pytest.approx(0.1 * (1 - 2 / 40))


def test_they_keep_every_promise_of_a_plugin() -> None:
    for plugin in (Ada, InstanceNoise):
        check_plugin(plugin, steps=6, skip=["card"])
