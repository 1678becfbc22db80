"""Shuffled labels: G draws each batch a second time in other styles, and D is trained on real, fake and shuffled."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from support.zi2zi_runs import SMALL, TWO_STYLES, arguments, ok, state, zi2zi, zi2zi_trainer

from balancer import Plugin, StepContext, hookimpl
from balancer.contract.model import DOutput
from zi2zi_model.network.losses import category_loss, l1_loss
from zi2zi_model.network.networks import Discriminator

Cli = Callable[..., Any]


def test_g_draws_each_batch_a_second_time_in_shuffled_styles() -> None:
    model = zi2zi(shuffle_labels=True, **TWO_STYLES)
    batch = model.batch(range(8))
    assert sorted(batch["shuffled"].tolist()) == sorted(batch["style"].tolist())
    fake = model.generate(model.generator, batch)
    assert fake.images.shape == (16, 1, 64, 64)
    assert fake.condition is not None
    assert torch.equal(fake.condition, batch["source"].repeat(2, 1, 1, 1))
    for half, styles in zip(fake.images.chunk(2), (batch["style"], batch["shuffled"]), strict=True):
        alone, _ = model.generator(batch["source"], styles)
        assert torch.allclose(half, alone, atol=1e-5)


def test_only_images_in_their_own_styles_have_targets() -> None:
    model = zi2zi(shuffle_labels=True, **TWO_STYLES)
    batch = model.batch(range(8))
    fake = model.generate(model.generator, batch)
    judged = model.discriminate(model.discriminator, fake.images, fake.condition)
    terms = model.g_terms(fake, judged, batch)
    assert torch.equal(terms["l1"], l1_loss(fake.images[:8], batch["target"]))
    styles = torch.cat([batch["style"], batch["shuffled"]])
    assert torch.equal(terms["category"], category_loss(judged.heads["category"], styles))
    ruined = fake._replace(images=torch.cat([fake.images[:8], -fake.images[8:]]))
    assert torch.equal(model.g_terms(ruined, judged, batch)["l1"], terms["l1"])


@pytest.mark.parametrize("parts", [1, 2])
def test_d_is_trained_on_halves_of_real_fake_and_shuffled(parts: int) -> None:
    trainer = zi2zi_trainer(model={"shuffle_labels": True, "lambda_category": 3.0, **TWO_STYLES}, micro_batches=parts)
    batch = trainer.next_batch()
    G, D = deepcopy(trainer.G), deepcopy(trainer.D)
    trainer.step(batch)
    row = trainer.balance.last_row

    adversarial, category = [], []
    with torch.no_grad():
        fakes = [G(batch["source"], batch[styles])[0] for styles in ("style", "shuffled")]
        images = [batch["target"], *fakes]
        labels = [batch["style"], batch["style"], batch["shuffled"]]
        for image, label, real in zip(images, labels, (1.0, 0.0, 0.0), strict=True):
            logits, heads = D(image, batch["source"])
            bce = torch.nn.functional.binary_cross_entropy_with_logits
            adversarial.append(float(bce(logits, torch.full_like(logits, real))))
            category.append(float(bce(heads, torch.nn.functional.one_hot(label, heads.shape[1]).float())))
    expected = sum(adversarial) / 2 + 3.0 * sum(category) / 6
    assert row["loss/d_loss"] == pytest.approx(expected, rel=1e-5)
    # The signal stays the mean of two halves.
    real, fake, shuffled = adversarial
    assert row["signal/d_adv"] == pytest.approx((real + (fake + shuffled) / 2) / 2, rel=1e-5)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_d_that_does_not_know_is_at_ln_2(shuffle: bool) -> None:
    trainer = zi2zi_trainer(model={"shuffle_labels": shuffle, **TWO_STYLES})
    assert isinstance(trainer.D, Discriminator)
    assert trainer.D.binary is not None
    torch.nn.init.zeros_(trainer.D.binary.weight)
    trainer.step(trainer.next_batch())
    assert trainer.balance.last_row["signal/d_adv"] == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_third_partys_plugin_sees_a_condition_beside_each_of_gs_images(parts: int) -> None:
    class Third(Plugin):
        name = "third"

        @hookimpl
        def d_loss_terms(self, ctx: StepContext) -> None:
            assert ctx.discriminate is not None
            judged = ctx.discriminate(ctx.fake, ctx.fake_condition)  # type: ignore[arg-type]
            seen.append((ctx.condition, ctx.fake_condition, judged))

        @hookimpl
        def g_loss_terms(self, ctx: StepContext) -> None:
            seen.append((ctx.condition, ctx.fake_condition, ctx.fake_logits))

    seen: list[Any] = []
    trainer = zi2zi_trainer([Third], model={"shuffle_labels": True, **TWO_STYLES}, micro_batches=parts)
    trainer.step(trainer.next_batch())
    assert len(seen) == 2 * parts
    for condition, beside, judged in seen:
        assert torch.equal(beside, torch.cat([condition, condition]))
        assert len(judged) == len(beside) == 2 * 8 // parts


def test_without_shuffling_d_sees_two_halves() -> None:
    model = zi2zi(**TWO_STYLES)
    batch = model.batch(range(8))
    assert "shuffled" not in batch
    answer = DOutput(torch.zeros(8, 1), {"category": torch.zeros(8, 8)})
    assert float(model.d_terms(answer, answer, batch)["category"]) == pytest.approx(math.log(2))


def test_shuffled_labels_train_with_other_methods(tmp_path: Path, cli: Cli) -> None:
    words = arguments(
        tmp_path / "run", 4, "dynamic_lambda,label_smoothing", shuffle_labels=True, **{**SMALL, **TWO_STYLES}
    )
    result = ok(cli(*(word for word in words if word != "--quiet")))
    assert "shuffle_labels" not in result.out + result.err
    ok(cli("train", "--resume", tmp_path / "run", "--steps", "6", "--quiet"))
    assert all(value.isfinite().all() for value in state(tmp_path / "run")["discriminator"].values())


def test_shuffling_one_style_is_remarked_on(tmp_path: Path, cli: Cli) -> None:
    words = arguments(tmp_path / "run", 1, shuffle_labels=True, **SMALL)
    result = ok(cli(*(word for word in words if word != "--quiet")))
    assert "shuffle_labels does nothing with one style" in result.out + result.err
    assert "shuffle_labels does nothing with one style" not in zi2zi(shuffle_labels=True, **TWO_STYLES).remarks()
    assert not [remark for remark in zi2zi().remarks() if "shuffle_labels" in remark]
