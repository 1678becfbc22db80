"""Adversarial losses in our loop: what G's pass sees, critics without levels, several discriminators, their records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.point_runs import ran
from support.toy_steps import advance, weights
from torch import Tensor, nn
from torch.nn.functional import softplus

from balancer import (
    DOutput,
    Plugin,
    StepContext,
    as_text,
    diagnose,
    explain,
    hookimpl,
    read_signals,
    replay,
    report,
)
from balancer.contract.losses import BUILT_IN
from balancer.contract.model import GanModel, ModelFamily, ModelSpec
from balancer.testing import PointsSettings, check_model, toy_trainer
from balancer.train.loop import Trainer
from balancer.train.points import PointsModel


def judged(trainer: Trainer) -> list[tuple[Tensor, Tensor]]:
    """From here on, every batch that D judges and its logits, in order."""
    calls: list[tuple[Tensor, Tensor]] = []
    plain = trainer.model.discriminate

    def noted(discriminator: nn.Module, images: Tensor, condition: Tensor | None) -> DOutput:
        output = plain(discriminator, images, condition)
        calls.append((images, output.logits))
        return output

    trainer.model.discriminate = noted  # type: ignore[method-assign]
    return calls


class Doubled(Plugin):
    """Doubles what D sees."""

    name = "doubled"

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        return 2 * images, condition


@pytest.mark.parametrize("name", ["relativistic", "relativistic_average"])
def test_g_is_compared_with_real_images_as_the_updated_d_sees_them(name: str) -> None:
    trainer = toy_trainer([Doubled], {"model": {"adversarial": name, "head": False}})
    advance(trainer, 3)
    calls = judged(trainer)
    batch = trainer.next_batch()
    trainer.step(batch)
    assert len(calls) == 4
    (_, before), _, (seen, real), (_, fake) = calls
    assert torch.equal(seen, 2 * batch["points"]), "transform_d_input acts there too"
    assert not real.requires_grad and fake.requires_grad
    assert not torch.equal(real, before)
    with torch.no_grad():
        assert torch.equal(real, trainer.D(2 * batch["points"])[0])
    apart = fake.detach() - real
    expected = softplus(-apart).mean()
    if name == "relativistic_average":
        expected = 0.5 * (softplus(real - fake.mean()).mean() + softplus(real.mean() - fake).mean())
    assert trainer.balance.last_row["loss/adv"] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", ["bce", "lsgan", "hinge", "wasserstein"])
def test_other_losses_cost_no_further_pass(name: str) -> None:
    trainer = toy_trainer([], {"model": {"adversarial": name, "head": False}})
    calls = judged(trainer)
    advance(trainer, 1)
    assert len(calls) == 3


@pytest.mark.parametrize("name", BUILT_IN)
def test_micro_batches_train_with_every_loss(name: str) -> None:
    trainer = advance(toy_trainer([], {"model": {"adversarial": name}}, micro_batches=2), 5)
    row = trainer.balance.last_row
    assert "signal/d_adv" in row if BUILT_IN[name].has_levels else "signal/critic_gap" in row
    assert all(bool(value.isfinite().all()) for value in weights(trainer).values())


# A critic without levels, from training to the report.


def test_a_critic_is_trained_explained_replayed_and_reported_without_a_word_of_levels(tmp_path: Path) -> None:
    run = ran(tmp_path / "run", "d_lr_ratio", ["model.adversarial=wasserstein", "train.log_every=5"], steps=48)
    columns = read_signals(run)
    assert {"critic_gap", "d_logit_real", "d_logit_fake"} <= columns.keys()
    assert not {"d_adv", "d_acc", "real_label"} & columns.keys()
    gap = columns["d_logit_real"] - columns["d_logit_fake"]
    assert columns["critic_gap"].tolist() == pytest.approx(gap.tolist(), abs=1e-6)
    diagnosis = diagnose(str(run))
    assert diagnosis.verdict.words == "verdict.no_levels"
    texts = [as_text(diagnosis, lang) for lang in ("en", "zh-TW")]
    page = tmp_path / "page.html"
    report([run]).write(page)
    for text in (*texts, page.read_text(encoding="utf-8")):
        assert "critic_gap" in text
        assert "0.1–0.4" not in text and "0.1 and 0.4" not in text
    assert "this adversarial loss has no levels" in " ".join(texts[0].split())
    assert explain(run, 20)
    assert replay(run).replay["lr_d"] == replay(run, ["d_lr_ratio"]).replay["lr_d"]


@pytest.mark.parametrize(("name", "banded"), [("bce", True), ("lsgan", False), ("relativistic_average", False)])
def test_a_healthy_range_is_drawn_and_spoken_of_where_one_is_known(name: str, banded: bool, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = ran(tmp_path / "run", "", [f"model.adversarial={name}"], steps=24)
    page = tmp_path / "page.html"
    report([run]).write(page)
    text = page.read_text(encoding="utf-8")
    assert ("healthy by the source document: 0.1–0.4" in text) == ("between 0.1 and 0.4" in text) == banded
    tags = EventAccumulator(str(run)).Reload().Tags()["scalars"]
    assert ("band/d_adv_low" in tags) == banded
    assert "signal/d_adv" in tags


# Several discriminators.


class TwoScales(PointsModel):
    """Judges points, and pairs of them half as often."""

    def discriminate(self, discriminator: nn.Module, images: Tensor, condition: Tensor | None) -> DOutput:
        output = super().discriminate(discriminator, images, condition)
        assert isinstance(output.logits, Tensor)
        return DOutput([output.logits, 0.5 * output.logits[::2] - 0.1], output.heads)


class TwoScalesFamily(ModelFamily):
    Settings = PointsSettings

    def spec(self, settings: PointsSettings) -> ModelSpec:
        return ModelSpec(adversarial=settings.adversarial, discriminators=2)

    def build(self, settings: PointsSettings) -> GanModel:
        return TwoScales(settings, self.spec(settings))


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("parts", [1, 2])
def test_a_model_of_two_scales_trains_and_each_has_its_signal(name: str, parts: int) -> None:
    settings = {"adversarial": name, "head": False, "points": 64}
    trainer = check_model(TwoScalesFamily(), settings, batch_size=16, micro_batches=parts)
    row = trainer.balance.last_row
    whole = "signal/d_adv" if BUILT_IN[name].has_levels else "signal/critic_gap"
    assert row[whole] == pytest.approx((row[f"{whole}/0"] + row[f"{whole}/1"]) / 2, rel=1e-5)
    assert f"{whole}/2" not in row


def test_the_model_check_counts_discriminators() -> None:
    class Wrong(TwoScalesFamily):
        def spec(self, settings: PointsSettings) -> ModelSpec:
            return ModelSpec()

    with pytest.raises(AssertionError, match="logits are of 2 discriminators, the spec says 1"):
        check_model(Wrong(), {"head": False, "points": 64}, batch_size=16)
