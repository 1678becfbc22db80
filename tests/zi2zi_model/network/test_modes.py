"""zi2zi's modes: shuffled labels, a frozen encoder, a start from another run, moved pictures, an average of G."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from balancer.cli.main import main
from balancer.contract.compose import compose
from balancer.contract.host import model_host
from balancer.contract.model import DOutput
from balancer.record import checkpoint
from balancer.record.run_config import TrainSettings, read_toml
from balancer.train.loop import Trainer, make_accelerator
from zi2zi_model.data.font_data import EMBEDDED_SOURCE, EMBEDDED_TARGETS
from zi2zi_model.drawing.inference import trained_run
from zi2zi_model.family import Zi2ziFamily
from zi2zi_model.network.losses import category_loss, l1_loss
from zi2zi_model.network.model import Zi2zi, augment
from zi2zi_model.network.networks import Discriminator, Generator
from zi2zi_model.network.start import start_from
from zi2zi_model.settings import Zi2ziSettings

Cli = Callable[..., Any]
SMALL: dict[str, Any] = {"max_characters": 40, "held_out": 0.2, "max_channels": 64, "d_channels": 8, "charset": "demo"}
TWO_STYLES: dict[str, Any] = {"source": EMBEDDED_SOURCE, "targets": [EMBEDDED_TARGETS[0], EMBEDDED_SOURCE]}


def zi2zi_trainer(plugins: list[Any] | None = None, model: dict[str, Any] | None = None, **train: Any) -> Trainer:
    """Small zi2zi on the CPU, without dropout: a step then depends on weights and data alone."""
    chosen = Zi2ziSettings(**{**SMALL, **(model or {})})
    options = TrainSettings(**{"device": "cpu", "batch_size": 8, "lr": 5e-4, **train})
    composition = compose(plugins or [], {}, host=model_host("zi2zi", Zi2ziFamily().spec(chosen), options.lambda_adv))
    torch.manual_seed(0)
    trainer = Trainer(Zi2ziFamily().build(chosen), composition, options, make_accelerator(options, composition), None)
    trainer.G.train()
    return trainer


def zi2zi(**model: Any) -> Zi2zi:
    torch.manual_seed(0)
    return Zi2ziFamily().build(Zi2ziSettings(**{**SMALL, **model}))


def arguments(out: Path, steps: int = 3, plugins: str = "", **model: Any) -> list[str]:
    """A short run of the command, as its arguments; values of `model` go to `--set model.…`."""
    given = [f"model.{key}={','.join(map(str, v)) if isinstance(v, list) else v}" for key, v in model.items()]
    sets = [word for item in given for word in ("--set", item)]
    words = ["train", "--plugins", plugins, "--steps", str(steps), "--quiet", "--device", "cpu", "--out", str(out)]
    return [*words, *sets]


def call(*words: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["balancer", *words])
        try:
            main()
        except SystemExit as exit:
            assert not exit.code


def ok(result: Any) -> Any:
    assert result.status == 0, result.err
    return result


def state(run: Path) -> dict[str, Any]:
    return checkpoint.load_latest(run / "checkpoints").state


# Shuffled labels.


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


# A frozen encoder.

PIECES: list[dict[str, Any]] = [{"norm": "batch", "decoder": "transposed"}, {"attention": "3", "shuffle_labels": True}]


@pytest.mark.parametrize("pieces", PIECES, ids=["batch norm", "attention"])
@pytest.mark.parametrize("parts", [1, 2])
def test_a_frozen_encoder_stays_to_the_bit(pieces: dict[str, Any], parts: int) -> None:
    trainer = zi2zi_trainer(model={"freeze_encoder": True, **pieces}, micro_batches=parts, ema_half_life=50.0)
    before = deepcopy(trainer.G.state_dict())
    for _ in range(3):
        trainer.step(trainer.next_batch())
    after = trainer.G.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert not [key for key in changed if key.startswith("encoder.")]
    assert {f"decoder.{index}.conv.weight" for index in range(5)} | {"embedding.weight"} < changed
    if "norm" in pieces:
        assert "decoder.0.norm.running_mean" in changed


def test_an_encoder_that_is_not_frozen_is_trained() -> None:
    trainer = zi2zi_trainer(model={"norm": "batch", "decoder": "transposed"})
    before = deepcopy(trainer.G.state_dict())
    trainer.step(trainer.next_batch())
    changed = {key for key, value in trainer.G.state_dict().items() if not torch.equal(before[key], value)}
    assert {"encoder.0.conv.weight", "encoder.1.norm.running_mean"} < changed


def test_a_frozen_run_is_resumed_to_the_same_bits(tmp_path: Path, cli: Cli) -> None:
    model = {**SMALL, "freeze_encoder": True, "norm": "batch"}
    for name, steps in (("whole", 5), ("parts", 2)):
        ok(cli(*arguments(tmp_path / name, steps, **model)))
    ok(cli("train", "--resume", tmp_path / "parts", "--steps", "5", "--quiet"))
    one, two = (state(tmp_path / name)["generator"] for name in ("whole", "parts"))
    assert all(torch.equal(one[key], two[key]) for key in one)


# A start from another run.


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two styles in a table of four, with networks that are not the defaults."""
    run = tmp_path_factory.mktemp("base") / "run"
    networks: dict[str, Any] = {"decoder": "transposed", "norm": "batch", "styles": 4, "style_dim": 24, "lambda_l1": 50}
    call(*arguments(run, 4, **{**SMALL, **TWO_STYLES, **networks}))
    return run


NEW: dict[str, Any] = {"max_characters": 40, "held_out": 0.2, "charset": "demo"}


@pytest.fixture
def base(trained: Path, tmp_path: Path) -> Path:
    """That run where it can be deleted."""
    return shutil.copytree(trained, tmp_path / "base")


def begun(start: Path, **model: Any) -> tuple[Zi2zi, dict[str, Tensor]]:
    """A model that starts from a run, and D's weights as they were before."""
    model_ = zi2zi(**{"max_channels": 64, **NEW, "start": start, **model})
    fresh = deepcopy(model_.discriminator.state_dict())
    model_.begin()
    return model_, fresh


def test_a_new_style_begins_at_the_mean_of_the_trained_ones(trained: Path) -> None:
    model, fresh = begun(trained)
    assert (model.settings.styles, model.settings.style_offset) == (5, 4)
    old = state(trained)
    assert isinstance(model.generator, Generator)
    rows, old_rows = model.generator.embedding.weight.detach(), old["generator"]["embedding.weight"]
    assert torch.equal(rows[:4], old_rows)
    assert torch.allclose(rows[4], old_rows[:2].mean(0))
    assert not torch.allclose(rows[4], old_rows.mean(0))
    for key in ("category.weight", "category.bias"):
        now = model.discriminator.state_dict()[key]
        assert torch.equal(now[:4], old["discriminator"][key])
        assert torch.equal(now[4:], fresh[key][4:])
    for network, name in ((model.generator, "generator"), (model.discriminator, "discriminator")):
        now = network.state_dict()
        assert now.keys() == old[name].keys()
        for key, value in now.items():
            assert key in ("embedding.weight", "category.weight", "category.bias") or torch.equal(value, old[name][key])
    assert set(model.batch(range(4))["style"].tolist()) == {4}
    assert model.data_record()["rows"] == [4]


def test_several_new_styles_get_a_row_each(trained: Path) -> None:
    model, _ = begun(trained, **TWO_STYLES)
    assert (model.settings.styles, model.settings.style_offset) == (6, 4)
    rows = model.generator.state_dict()["embedding.weight"]
    assert torch.equal(rows[4], rows[5])
    assert set(model.batch(range(30))["style"].tolist()) == {4, 5}


def test_networks_are_those_of_the_run_to_start_from(trained: Path) -> None:
    there, here = read_toml(trained / "config.toml")["model"], Zi2ziSettings.model_validate({"start": trained})
    for key in ("decoder", "norm", "style_dim", "max_channels", "d_channels", "lambda_l1"):
        assert getattr(here, key) == there[key], key
    assert Zi2ziSettings.model_validate({"start": trained, "lambda_l1": 70}).lambda_l1 == 70
    assert here.max_characters is None  # the data are its own


def test_an_offset_of_0_goes_on_with_the_styles_of_the_run(trained: Path) -> None:
    model, _ = begun(trained, style_offset=0, **TWO_STYLES)
    assert model.settings.styles == 4
    old = state(trained)
    for network, name in ((model.generator, "generator"), (model.discriminator, "discriminator")):
        assert all(torch.equal(value, old[name][key]) for key, value in network.state_dict().items())
    assert set(model.batch(range(30))["style"].tolist()) == {0, 1}


def test_without_a_start_nothing_is_loaded() -> None:
    model = zi2zi()
    before = deepcopy(model.generator.state_dict())
    assert start_from(model.settings, model.generator, model.discriminator) == ()
    assert all(torch.equal(before[key], value) for key, value in model.generator.state_dict().items())


def test_a_fine_tuned_run_stands_without_its_base(base: Path, tmp_path: Path, cli: Cli) -> None:
    tuned = tmp_path / "tuned"
    model = {**NEW, "start": base, "freeze_encoder": True}
    words = arguments(tuned, 2, "dynamic_lambda", **model)
    result = ok(cli(*(word for word in words if word != "--quiet")))
    assert "starting from base at step 4, with 1 new style row" in result.out + result.err
    at_start = state(base)
    for key, value in state(tuned)["generator"].items():
        assert not key.startswith("encoder.") or torch.equal(value, at_start["generator"][key]), key

    ok(cli(*arguments(tmp_path / "whole", 4, "dynamic_lambda", **model)))
    shutil.rmtree(base)
    ok(cli("train", "--resume", tuned, "--steps", "4", "--quiet"))
    one, two = (state(run)["generator"] for run in (tmp_path / "whole", tuned))
    assert all(torch.equal(one[key], two[key]) for key in one)

    out = tmp_path / "drawn"
    ok(cli("zi2zi", "infer", tuned, "--text", "永", "--between", "0,4", "--steps", "3", "--out", out, "--json"))
    assert {"永_00.png", "永_01.png", "永_02.png", "between.gif", "between.png"} == {p.name for p in out.iterdir()}
    run = trained_run(tuned)
    assert (run.rows, run.row(None)) == ((4,), 4)
    assert not torch.equal(run.vector(0), run.vector(4))


def test_a_tuned_run_can_be_started_from_again(base: Path, tmp_path: Path, cli: Cli) -> None:
    ok(cli(*arguments(tmp_path / "one", 1, start=base, **NEW)))
    model, _ = begun(tmp_path / "one")
    assert (model.settings.styles, model.settings.style_offset) == (6, 5)


def no_run(base: Path) -> dict[str, Any]:
    return {"start": base.parent}


def no_checkpoint(base: Path) -> dict[str, Any]:
    shutil.rmtree(base / "checkpoints")
    return {"start": base}


def damaged(base: Path) -> dict[str, Any]:
    (base / "config.toml").write_text("[model", encoding="utf-8")
    return {"start": base}


def other_networks(base: Path) -> dict[str, Any]:
    return {"start": base, "downs": 4}


def other_size(base: Path) -> dict[str, Any]:
    return {"start": base, "image_size": 96}


def other_style_dim(base: Path) -> dict[str, Any]:
    return {"start": base, "style_dim": 16}


def fewer_styles(base: Path) -> dict[str, Any]:
    return {"start": base, "styles": 2, "style_offset": 0}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (no_run, "is not the config of a zi2zi run"),
        (no_checkpoint, "there is no checkpoint in"),
        (damaged, "is not the config of a zi2zi run"),
        (other_networks, "does not fit this run's networks: model.downs is 4, there 5\n"),
        (other_size, "does not fit this run's networks: model.image_size is 96, there 64\n"),
        (other_style_dim, "does not fit this run's networks: model.style_dim is 16, there 24\n"),
        (fewer_styles, "does not fit this run's networks: Error(s) in loading state_dict for Generator: size mismatch"),
    ],
)
def test_a_start_that_cannot_be_used_is_refused_in_one_line(
    make: Callable[[Path], dict[str, Any]], said: str, base: Path, tmp_path: Path, cli: Cli
) -> None:
    words = arguments(tmp_path / "run", **{**NEW, **make(base)})
    for _ in range(2):  # nothing is left that would stand in the way of another try
        result = cli(*words)
        assert (result.status, result.err.count("\n")) == (2, 1), result.err
        assert said in result.err


def test_a_run_of_another_model_is_not_a_start(tmp_path: Path, cli: Cli) -> None:
    points = ["train", "--model", "points", "--plugins", "", "--steps", "1", "--quiet", "--device", "cpu"]
    ok(cli(*points, "--out", tmp_path / "points"))
    result = cli(*arguments(tmp_path / "run", start=tmp_path / "points", **NEW))
    assert (result.status, result.err.count("\n")) == (2, 1), result.err
    assert "is not the config of a zi2zi run" in result.err


# Moved and scaled pictures.


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


# The average of G's weights.


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_run_draws_with_its_average(norm: str, tmp_path: Path, cli: Cli) -> None:
    run = tmp_path / "run"
    ok(cli(*arguments(run, 4, **SMALL, norm=norm), "--set", "train.ema_half_life=100"))
    kept = state(run)
    drawn_with = trained_run(run).generator.state_dict()
    assert kept["average"] is not None
    for key, value in drawn_with.items():
        assert torch.equal(value, kept["average"][f"module.{key}"]), key
    assert not torch.equal(drawn_with["embedding.weight"], kept["generator"]["embedding.weight"])
    assert not torch.equal(drawn_with["decoder.0.conv.weight"], kept["generator"]["decoder.0.conv.weight"])


def test_a_run_without_an_average_draws_with_g(trained: Path) -> None:
    raw = state(trained)["generator"]
    assert all(torch.equal(value, raw[key]) for key, value in trained_run(trained).generator.state_dict().items())
