"""lecam: its term is the paper's, of the averages of the updates before, also with several discriminators."""

from typing import Any

import numpy as np
import pytest
import torch
from balancer_plugins.lecam import lecam_distance
from support.shapes_runs import shapes_trainer
from support.toy_steps import advance

from balancer import Balancer, Plugin, StepContext, hookimpl
from balancer.contract.compose import compose
from balancer.contract.host import model_host
from balancer.contract.model import ModelSpec
from balancer.errors import CompositionError, ConfigError
from balancer.testing import toy_trainer


class Watch(Plugin):
    """Keeps D's logits of each part of each step in which D is updated."""

    name = "watch"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.logits: dict[int, list[tuple[Any, Any]]] = {}

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        assert isinstance(ctx.real_logits, torch.Tensor) and isinstance(ctx.fake_logits, torch.Tensor)
        pair = tuple(logits.detach().float().numpy() for logits in (ctx.real_logits, ctx.fake_logits))
        self.logits.setdefault(ctx.step, []).append(pair)


def test_the_distance_is_one_sided() -> None:
    real, fake = torch.tensor([[1.0], [-3.0]]), torch.tensor([[[0.0, 2.0]], [[-1.0, 5.0]]])
    # Above −0.5: 1.5² and nothing; below 1.5: 1.5², nothing, 2.5², nothing.
    expected = (1.5**2 + 0) / 2 + (1.5**2 + 2.5**2) / 4
    assert float(lecam_distance(real, fake, 1.5, -0.5)) == pytest.approx(expected)
    assert float(lecam_distance(real, fake, -2.0, 4.0)) == 0.0, "closer than their averages: no term"


@pytest.mark.parametrize("train", [{}, {"micro_batches": 2}, {"precision": "bf16"}])
def test_it_follows_the_averages_of_the_updates_before(train: dict[str, Any]) -> None:
    settings = {"lecam": {"decay": 0.7, "weight": 0.8}, "d_skip": {"every": 2}}
    trainer = shapes_trainer(["lecam", Watch, "d_skip"], settings, **train)
    rows = []
    for _ in range(7):
        advance(trainer, 1)
        rows.append(trainer.balance.last_row.get("loss/d_lecam"))
    assert [row is not None for row in rows] == [step > 0 and step % 2 == 0 for step in range(7)]
    (watch,) = [plugin for plugin in trainer.balance.composition.plugins if isinstance(plugin, Watch)]
    averages = None
    for step, parts in watch.logits.items():
        real, fake = (np.concatenate(side) for side in zip(*parts, strict=True))
        if averages is not None:
            apart = np.mean(np.maximum(real - averages[1], 0) ** 2) + np.mean(np.maximum(averages[0] - fake, 0) ** 2)
            assert rows[step] == pytest.approx(0.5 * 0.8 * apart, rel=2e-3 if "precision" in train else 1e-5)
        now = np.array([real.mean(), fake.mean()])
        averages = now if averages is None else 0.7 * averages + 0.3 * now


def two_ds(discriminators: int, supplies: set[str]) -> Balancer:
    settings = {"lecam": {"discriminators": discriminators, "decay": 0.5, "weight": 1.0}}
    return Balancer(["lecam"], settings=settings, obeys={"d_loss_terms"}, supplies=supplies)


EACH = {f"d_logit_{side}/{index}" for side in ("real", "fake") for index in (0, 1)}


def test_each_discriminator_has_averages_of_its_own() -> None:
    balance = two_ds(2, EACH)
    terms = []
    for scale in (1.0, 3.0, 1.0):
        real = [torch.tensor([scale]), torch.tensor([20.0 * scale, 20.0 * scale])]
        fake = [torch.tensor([0.0]), torch.tensor([-20.0])]
        balance.start_step()
        terms.append(
            {name: float(value) for name, value in balance.d_loss_terms(real_logits=real, fake_logits=fake).items()}
        )
        balance.after_d_step(real_logits=real, fake_logits=fake)
        balance.end_step()
    # After the first update the averages are (1, 0) and (20, −20); after the second (2, 0) and (40, −20).
    second = [3.0**2 + 1.0**2, 80.0**2 + 40.0**2]
    third = [1.0**2 + 2.0**2, 40.0**2 + 60.0**2]
    assert terms == [
        {},
        {"lecam": pytest.approx(0.5 * sum(second) / 2)},
        {"lecam": pytest.approx(0.5 * sum(third) / 2)},
    ]
    assert balance.last_row["signal/d_logit_real/1"] == 20.0


def test_a_wrong_number_of_discriminators_is_refused() -> None:
    balance = two_ds(1, {"d_logit_real", "d_logit_fake"})
    balance.start_step()
    logits = [torch.zeros(2), torch.zeros(2)]
    with pytest.raises(ConfigError, match=r"are of 2 discriminators: set lecam\.discriminators = 2"):
        balance.d_loss_terms(real_logits=logits, fake_logits=logits)
    three = model_host("toy", ModelSpec(discriminators=3), 1.0)
    with pytest.raises(CompositionError, match=r"model toy has 3, .* set lecam\.discriminators = 3"):
        compose(["lecam"], host=three)
    assert compose(["lecam"], {"lecam": {"discriminators": 3}}, host=three).warnings == ()
    with pytest.raises(CompositionError, match="reads d_logit_real/3"):
        compose(["lecam"], {"lecam": {"discriminators": 4}}, host=three)


def test_averages_of_another_number_of_discriminators_tell_nothing() -> None:
    one = two_ds(1, {"d_logit_real", "d_logit_fake"})
    one.start_step()
    one.after_d_step(real_logits=torch.ones(2), fake_logits=torch.zeros(2))
    one.end_step()
    plugin, other = one.composition.plugins[0], two_ds(2, EACH).composition.plugins[0]
    assert plugin.state_dict() == {"averages": [[1.0, 0.0]]}
    other.load_state_dict(plugin.state_dict(), 1)
    assert other.state_dict() == {"averages": []}


def test_it_holds_d_s_logits_together() -> None:
    def gap(weight: float) -> float:
        trainer = advance(toy_trainer(["lecam"], {"lecam": {"weight": weight}}, lr_d=2e-2, seed=3), 60)
        row = trainer.balance.last_row
        return row["signal/d_logit_real"] - row["signal/d_logit_fake"]

    assert gap(3.0) < 0.5 * gap(0.0)


def test_a_relativistic_loss_is_warned_about() -> None:
    host = model_host("toy", ModelSpec(adversarial="relativistic"), 1.0)
    (warning,) = compose(["lecam"], host=host).warnings
    assert "a drift of both sides counts as distance" in warning
