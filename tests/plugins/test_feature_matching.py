"""feature_matching: the distance by hand, of several Ds and of more images than targets; its weight; what G follows."""

from typing import Any

import pytest
import torch
from balancer_plugins.feature_matching import distance
from support.shapes_runs import shapes_trainer
from support.toy_steps import advance
from torch import Tensor, nn
from torch.nn import functional as F

from balancer import Balancer, Plugin, StepContext, hookimpl
from balancer.errors import CompositionError
from balancer.testing import check_plugin, toy_trainer

REAL = [torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[[0.5]], [[1.5]]])]
FAKE = [torch.tensor([[1.0, 0.0], [4.0, 4.0]]), torch.tensor([[[0.0]], [[0.5]]])]


def test_it_is_the_mean_over_maps_of_the_mean_distance() -> None:
    found = distance(REAL, FAKE)
    assert found is not None and found.item() == pytest.approx(((0 + 2 + 1 + 0) / 4 + (0.5 + 1.0) / 2) / 2)


def test_maps_of_several_discriminators_may_be_lists_of_their_own() -> None:
    nested = distance([REAL, REAL[:1]], [FAKE, FAKE[:1]])
    flat = distance([*REAL, *REAL[:1]], [*FAKE, *FAKE[:1]])
    assert nested == flat == pytest.approx((0.75 + 0.75 + 0.75) / 3)


def test_of_more_images_than_targets_the_first_ones_count() -> None:
    shuffled = [torch.cat([own, torch.full_like(own, 100.0)]) for own in FAKE]
    assert distance(REAL, shuffled) == distance(REAL, FAKE)


def test_a_d_without_maps_gives_no_term() -> None:
    assert distance([], []) is None


def test_half_precision_does_not_overflow() -> None:
    real, fake = (torch.full((2, 64), value, dtype=torch.float16) for value in (60000.0, -60000.0))
    assert distance([real], [fake]) == 120000.0


def test_its_weight_is_a_knob_that_others_may_turn() -> None:
    class Halve(Plugin):
        name = "halve"
        writes = {"lambda_feature_matching": ("mul",)}

        @hookimpl
        def on_step_start(self, ctx: StepContext) -> None:
            self.knobs["lambda_feature_matching"].mul(0.5)

    rows = [
        advance(toy_trainer(plugins, {"feature_matching": config}), 1).balance.last_row
        for plugins, config in ((["feature_matching"], {}), (["feature_matching", Halve], {"weight": 4.0}))
    ]
    assert [row["knob/lambda_feature_matching"] for row in rows] == [10.0, 2.0]
    for row, weight in zip(rows, (10.0, 2.0), strict=True):
        terms = {"feature_matching": weight, "adv": 1.0, "category": 1.0}
        assert row["loss/g_loss"] == pytest.approx(sum(w * row[f"loss/{term}"] for term, w in terms.items()))


@pytest.mark.parametrize("train", [{}, {"micro_batches": 4}])
def test_in_a_run_it_is_that_of_the_updated_d_on_the_whole_batch(train: dict[str, Any]) -> None:
    trainer = shapes_trainer(["feature_matching"], lr=1e-30, **train)  # so that nothing moves
    batch = trainer.next_batch()
    trainer.step(batch)
    model = trainer.model
    with torch.no_grad():
        condition, drawn = model.condition(batch), model.generate(trainer.G, batch).images
        real, fake = (model.discriminate(trainer.D, x, condition).features for x in (model.real(batch), drawn))
    apart = [float(F.l1_loss(one, two)) for one, two in zip(real, fake, strict=True)]
    assert len(apart) > 1
    assert trainer.balance.last_row["loss/feature_matching"] == pytest.approx(sum(apart) / len(apart), rel=1e-4)


def test_g_follows_the_maps_and_d_does_not_learn_from_it() -> None:
    # Of a script: D's map is x · w, G is a number that is to come to the target's.
    image, weight = nn.Parameter(torch.tensor([[0.0]])), nn.Parameter(torch.tensor([[2.0]]))
    balance = Balancer(["feature_matching"], supplies={"features", "adv"}, obeys={"g_loss_terms"}, audit="off")
    optimizer = torch.optim.SGD([image], lr=0.01)
    for _ in range(40):
        balance.start_step()
        target = torch.tensor([[1.5]])
        shown: dict[str, Any] = {"fake": image, "real_features": [target @ weight], "fake_features": [image @ weight]}
        terms: dict[str, Tensor] = balance.g_loss_terms(**shown)
        balance.before_g_backward(adv=0.0, **terms)
        optimizer.zero_grad()
        sum((balance.weight(name) * term for name, term in terms.items()), torch.zeros(())).backward()
        optimizer.step()
    assert image.item() == pytest.approx(1.5, abs=0.21), "by steps of 0.2"


def test_a_host_that_shows_no_maps_is_refused() -> None:
    with pytest.raises(CompositionError, match=r"sees features, which this script does not show: this script would"):
        Balancer(["feature_matching"], obeys={"g_loss_terms"})


def test_a_start_of_g_alone_is_warned_of() -> None:
    trainer = shapes_trainer(["feature_matching", "adversarial_start"])
    (said,) = trainer.balance.composition.warnings
    assert "follows the maps of a D that was never trained" in said


def test_it_keeps_every_promise_of_a_plugin() -> None:
    check_plugin("feature_matching", strict=True)
