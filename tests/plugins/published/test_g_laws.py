"""VQGAN's weight, EnCodec's balance and feature matching: their numbers, computed apart."""

import copy
from typing import Any

import pytest
import torch
from support.published import EncodecBalance, FeatureMatching, LazyR1, LeCam, VqganWeight
from support.shapes_runs import shapes_trainer
from support.toy_steps import advance, equal, weights
from torch import Tensor

from balancer.testing import check_plugin
from balancer.train.loop import Trainer

REC = {"l1": 10.0, "shape": 1.0}
VQGAN = {"vqgan_weight": {"rec": REC, "weight": 0.8}}
ENCODEC = {"encodec_balance": {"shares": {"adv": 3.0, "l1": 1.0, "shape": 1.0}, "beta": 0.9}}
RUNS: list[dict[str, Any]] = [{}, {"micro_batches": 2}, {"micro_batches": 4, "g_updates": 2}, {"precision": "bf16"}]


def terms(trainer: Trainer, batch: Any) -> tuple[dict[str, Tensor], Tensor]:
    """G's terms and images on a whole batch, as the networks stand, with all of the graph."""
    model = trainer.model
    with trainer.accelerator.autocast():
        drawn = model.generate(trainer.G, batch)
        judged = model.discriminate(trainer.D, drawn.images, model.condition(batch))
        adv = torch.nn.functional.softplus(-judged.logits.float()).mean()  # type: ignore[union-attr]
        return {"adv": adv, **model.g_terms(drawn, judged, batch)}, drawn.images


def before_g(trainer: Trainer, plugins: Any, settings: Any, train: dict[str, Any]) -> tuple[Trainer, Any]:
    """A trainer whose D has had the update of the step to come and whose G has not, and the step's batch."""
    batch = trainer.next_batch()
    apart = shapes_trainer([], {}, **{**train, "micro_batches": 1})
    apart.G.load_state_dict(trainer.G.state_dict())
    g_before = copy.deepcopy(apart.G.state_dict())
    seen = []
    handle = trainer.optimizers["d"].register_step_post_hook(
        lambda *args: seen.append(copy.deepcopy(trainer.D.state_dict()))
    )
    trainer.step(batch)
    handle.remove()
    apart.D.load_state_dict(seen[-1] if seen else trainer.D.state_dict())
    apart.G.load_state_dict(g_before)
    return apart, batch


@pytest.mark.parametrize("train", RUNS)
def test_vqgan_s_weight_is_the_ratio_of_the_gradients_at_the_last_layer(train: dict[str, Any]) -> None:
    train = {**train, "g_updates": 1}
    trainer = shapes_trainer([VqganWeight, "d_skip"], {**VQGAN, "d_skip": {"every": 2}}, **train)
    for _ in range(4):
        apart, batch = before_g(trainer, [], {}, train)
        found, _ = terms(apart, batch)
        last = apart.model.last_layer()
        assert last is not None
        (rec,) = torch.autograd.grad(sum(weight * found[term] for term, weight in REC.items()), last, retain_graph=True)
        (adv,) = torch.autograd.grad(found["adv"], last)
        expected = 0.8 * float((rec.norm() / (adv.norm() + 1e-4)).clamp(0, 1e4))
        assert trainer.balance.last_row["knob/lambda_adv"] == pytest.approx(
            expected, rel=0.02 if "precision" in train else 1e-3
        )


@pytest.mark.parametrize("train", RUNS)
def test_encodec_s_weights_give_each_gradient_its_share_at_the_output(train: dict[str, Any]) -> None:
    train = {**train, "g_updates": 1}
    trainer = shapes_trainer([EncodecBalance], ENCODEC, **train)
    total, fix = dict.fromkeys(("adv", "l1", "shape"), 0.0), 0.0
    for _ in range(3):
        apart, batch = before_g(trainer, [], {}, train)
        found, images = terms(apart, batch)
        fix = 0.9 * fix + 1
        for term, share in ENCODEC["encodec_balance"]["shares"].items():  # type: ignore[attr-defined]
            (gradient,) = torch.autograd.grad(found[term], images, retain_graph=True)
            total[term] = 0.9 * total[term] + float(gradient.float().norm())
            expected = share / 5 / (total[term] / fix)
            assert trainer.balance.last_row[f"knob/lambda_{term}"] == pytest.approx(
                expected, rel=0.02 if "precision" in train else 1e-3
            )


@pytest.mark.parametrize("train", RUNS)
def test_feature_matching_is_the_l1_of_d_s_maps(train: dict[str, Any]) -> None:
    train = {**train, "g_updates": 1}
    trainer = shapes_trainer([FeatureMatching], {}, **train)
    for _ in range(3):
        apart, batch = before_g(trainer, [], {}, train)
        body, model = apart.D.get_submodule("body"), apart.model
        with torch.no_grad(), apart.accelerator.autocast():
            real = torch.cat([model.real(batch), model.condition(batch)], 1)  # type: ignore[list-item]
            fake = torch.cat([model.generate(apart.G, batch).images, model.condition(batch)], 1)  # type: ignore[list-item]
            apart_by = 0.0
            for layer in [*body.children()][:4]:
                real, fake = layer(real), layer(fake)
                if isinstance(layer, torch.nn.LeakyReLU):
                    apart_by += float((real.float() - fake.float()).abs().mean())
        rel = 0.02 if "precision" in train else 1e-4
        assert trainer.balance.last_row["loss/match"] == pytest.approx(apart_by, rel=rel)
        assert trainer.balance.last_row["knob/lambda_match"] == 2.0


def test_matching_is_balanced_with_the_others_also_in_micro_batches() -> None:
    settings = {"encodec_balance": {"shares": {"adv": 1.0, "match": 1.0}}}
    rows = []
    for parts in (1, 4):
        trainer = advance(shapes_trainer([EncodecBalance, FeatureMatching], settings, micro_batches=parts), 1)
        rows.append([trainer.balance.last_row[f"knob/lambda_{term}"] for term in ("adv", "match")])
    assert rows[0] == pytest.approx(rows[1], rel=1e-3)


@pytest.mark.parametrize("parts", [1, 2])
def test_all_of_them_together_resume_bit_for_bit(parts: int) -> None:
    plugins = [VqganWeight, FeatureMatching, LeCam, LazyR1]

    def made() -> Trainer:
        return shapes_trainer(plugins, {**VQGAN, "lazy_r1": {"every": 2}}, micro_batches=parts)

    whole = advance(made(), 3)
    state = copy.deepcopy(whole.state_dict())
    advance(whole, 3)
    resumed = made()
    resumed.load_state_dict(state)
    assert equal(weights(advance(resumed, 3)), weights(whole))


def test_they_keep_every_promise_of_a_plugin() -> None:
    check_plugin(VqganWeight, {"rec": {"category": 1.0}}, steps=6, skip=["card"])
    check_plugin(EncodecBalance, {"shares": {"adv": 1.0, "category": 1.0}}, steps=6, skip=["card"])
    check_plugin(FeatureMatching, steps=6, skip=["card"])
