"""Looks at held-out glyphs while a run trains: they change no bit of it, and say what is there to be seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.zi2zi_runs import SMALL, arguments, ok, state, zi2zi_trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import functional as F

from balancer import read_signals
from balancer.train.held_out import look_at_held_out
from zi2zi_model.judges.figures import Targets
from zi2zi_model.network.model import draw

Cli = Callable[..., Any]
NAMES = ("val/csim", "val/grad_cos", "val/grad_ratio", "val/l1", "val/r_v", "val/structure_error")
# Dropout and label shuffling take from the random state, batch norm keeps statistics, spectral norm its vectors.
DISTURBED = {
    "dropout": 0.5, "norm": "batch", "spectral_norm": True, "shuffle_labels": True, "augment_shift": 0.05,
}  # fmt: skip


def same(one: Any, two: Any) -> bool:
    """Whether two states hold the same, tensors bit by bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(two, torch.Tensor) and torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(one == two)


@pytest.mark.parametrize("average", [(), ("--set", "train.ema_half_life=50")], ids=["plain", "average"])
def test_probes_change_no_bit_of_a_run(average: tuple[str, ...], tmp_path: Path, cli: Cli) -> None:
    for name, every in (("without", 0), ("with", 2)):
        words = arguments(tmp_path / name, 5, "dynamic_lambda", **SMALL, **DISTURBED)
        ok(cli(*words, *average, "--set", f"train.probe_every={every}"))
    one, two = state(tmp_path / "without"), state(tmp_path / "with")
    for part in ("generator", "discriminator", "average", "optimizers", "random"):
        assert part in one
        assert same(one[part], two[part]), part
    plain, probed = read_signals(tmp_path / "without"), read_signals(tmp_path / "with")
    assert sorted({*probed} - {*plain}) == list(NAMES)
    for name, column in plain.items():
        assert np.array_equal(column, probed[name], equal_nan=True), name


def test_they_come_every_n_steps_and_a_resume_goes_on_with_the_same(tmp_path: Path, cli: Cli) -> None:
    probing = ("--set", "train.probe_every=2", "--set", "train.ema_half_life=50", "--set", "train.log_every=5")
    ok(cli(*arguments(tmp_path / "whole", 7, **SMALL), *probing))
    ok(cli(*arguments(tmp_path / "cut", 3, **SMALL), *probing))
    ok(cli("train", "--resume", tmp_path / "cut", "--steps", 7, "--quiet"))
    whole, cut = read_signals(tmp_path / "whole"), read_signals(tmp_path / "cut")
    for name in NAMES[:4]:
        assert np.flatnonzero(np.isfinite(whole[name])).tolist() == [1, 3, 5], name
    for name in NAMES:
        assert np.array_equal(whole[name], cut[name], equal_nan=True), name
    # Each of them is drawn, though only every fifth step is.
    events = EventAccumulator(str(tmp_path / "whole")).Reload()
    assert [point.step for point in events.Scalars("val/l1")] == [1, 3, 5]
    assert [point.step for point in events.Scalars("loss/l1")] == [0, 5]


def test_what_they_say_is_so() -> None:
    trainer = zi2zi_trainer(model={"held_out": 0.3}, ema_half_life=50.0, lambda_adv=2.0)
    for _ in range(4):
        trainer.step(trainer.next_batch())
    model, sampler = trainer.model, trainer.average.module  # type: ignore[union-attr]
    looked = look_at_held_out(model, trainer.balance, sampler, trainer.G, trainer.D, "cpu")
    data = model.data  # type: ignore[attr-defined]
    source, target, label = data.batch(data.held_out_items)
    output = draw(sampler.eval(), source, torch.from_numpy(label), 1)
    assert looked["val/l1"] == pytest.approx(np.abs(output.astype(float) - target).mean() / 255, abs=1e-4)
    measured = Targets([*map(str, range(len(target)))], target, target[:0], []).measure(output)
    assert looked["val/csim"] == pytest.approx(measured.figures["content cosine"], abs=1e-3)

    def judged(pictures: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        return trainer.D.eval()(pictures, sources)[0]

    held, seen = model.probe_batch(held_out=True), model.probe_batch(held_out=False)
    assert len(held["style"]) == len(data.held_out_items)
    G = trainer.G.eval()
    with torch.no_grad():
        real, trained = (judged(batch["target"], batch["source"]).mean() for batch in (held, seen))
        fake = judged(G(seen["source"], seen["style"])[0], seen["source"]).mean()
    expected = float((trained - real) / (trained - fake))
    assert looked.get("val/r_v", expected) == pytest.approx(expected, rel=1e-3)
    assert ("val/r_v" in looked) == bool(trained > fake)
    images = G(held["source"], held["style"])[0].detach().requires_grad_()
    logits, category, *_ = trainer.D(images, held["source"])
    adversarial = 2.0 * F.softplus(-logits).mean()
    one_hot = F.one_hot(held["style"], category.shape[1]).float()
    others = (
        100 * (images - held["target"]).abs().mean()
        + 15 * ((G.encode(images) - G.encode(held["source"])) ** 2).mean()
        + F.binary_cross_entropy_with_logits(category, one_hot)
    )
    one, two = (torch.autograd.grad(loss, images, retain_graph=True)[0].flatten() for loss in (adversarial, others))
    assert looked["val/grad_ratio"] == pytest.approx(float(one.norm() / two.norm()), rel=1e-3)
    assert looked["val/grad_cos"] == pytest.approx(float(F.cosine_similarity(one, two, dim=0)), abs=1e-3)


def test_nothing_is_looked_at_where_nobody_asks(tmp_path: Path, cli: Cli) -> None:
    words = ("train", "--model", "points", "--steps", 2, "--quiet", "--device", "cpu", "--plugins", "", "--out")
    for name, more in (("asked", ["--set", "train.probe_every=1"]), ("not", [])):
        ok(cli(*words, tmp_path / name, *more))
    looked = ("val/grad_cos", "val/grad_ratio", "val/structure_error")
    assert {name for name in read_signals(tmp_path / "asked") if name.startswith("val/")} >= {*looked}
    assert not [name for name in read_signals(tmp_path / "not") if name.startswith("val/")]
