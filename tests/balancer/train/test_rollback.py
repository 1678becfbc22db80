"""A run that goes back to its last checkpoint by itself: with one named change, told, and resumable bit for bit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from support.toy_steps import equal, weights
from torch import Tensor

from balancer import Plugin, StepContext, hookimpl
from balancer.errors import NotFiniteError
from balancer.record import checkpoint
from balancer.record.decisions import read_notes
from balancer.record.signals import read_signals
from balancer.testing import toy_trainer
from balancer.train.loop import Trainer
from balancer.train.progress import Progress


class Unlucky(Plugin):
    """Brings a NaN gradient into G when certain images come in step 7, or rates are as high as at first, or always."""

    name = "unlucky"
    brings_terms: ClassVar = {"g": ("flat",)}
    images: ClassVar[Any] = None
    always = False
    rates: ClassVar[Any] = None

    @hookimpl
    def g_loss_terms(self, ctx: StepContext) -> dict[str, Tensor]:
        assert ctx.real is not None and ctx.fake is not None
        bad = ctx.step == 7 and (
            self.always
            or (self.images is not None and torch.equal(ctx.real, self.images))
            or (self.rates is not None and self.rates() > 1e-3)
        )
        return {"flat": torch.sqrt(ctx.fake * 0.0).sum() * 0.0 if bad else 0.0 * ctx.fake.sum()}


def made(folder: Path, **train: Any) -> Trainer:
    settings = {"dynamic_lambda": {"warmup_steps": 2, "half_life": 4}}
    return toy_trainer(
        ["dynamic_lambda", "d_skip", Unlucky],
        settings,
        folder,
        **{"checkpoint_every": 5, "on_nan": "rollback", **train},
    )


@pytest.fixture
def unlucky_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = made(tmp_path / "first")
    while trainer.balance.step < 7:
        trainer.step(trainer.next_batch())
    monkeypatch.setattr(Unlucky, "images", trainer.next_batch()["points"])
    trainer.balance.end_run()


def trained(trainer: Trainer, steps: int) -> Trainer:
    trainer.run(steps, Progress(steps, quiet=True))
    return trainer


def resumed(folder: Path, **train: Any) -> Trainer:
    trainer = made(folder, **train)
    trainer.load_state_dict(checkpoint.load_latest(folder / "checkpoints").state)
    return trainer


@pytest.mark.usefixtures("unlucky_images")
def test_another_order_goes_past_what_some_images_did(tmp_path: Path) -> None:
    run = trained(made(tmp_path / "run"), 20)
    assert run.rollbacks == 1
    assert read_signals(tmp_path / "run")["step"].tolist() == list(range(20))
    (note,) = read_notes(tmp_path / "run")
    assert (note.step, note.kind, note.who) == (5, "rollback", "balancer")
    assert note.text.startswith("back from step 7 to 5, with another order of the data (rollback 1 of 3): step 7: ")
    again = trained(made(tmp_path / "again"), 20)
    assert equal(weights(run), weights(again))


@pytest.mark.usefixtures("unlucky_images")
@pytest.mark.parametrize("cut", [5, 10, 13])
def test_a_resume_around_a_rollback_is_the_whole_run(cut: int, tmp_path: Path) -> None:
    whole = trained(made(tmp_path / "whole"), 20)
    trained(made(tmp_path / "run"), cut)
    run = trained(resumed(tmp_path / "run"), 20)
    assert equal(weights(run), weights(whole))
    assert run.rollbacks == whole.rollbacks == 1
    ours, theirs = read_signals(tmp_path / "run"), read_signals(tmp_path / "whole")
    assert all(torch.equal(*(torch.nan_to_num(torch.from_numpy(c)) for c in (ours[k], theirs[k]))) for k in theirs)
    assert [n.text for n in read_notes(tmp_path / "run")] == [n.text for n in read_notes(tmp_path / "whole")]


def test_lower_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = made(tmp_path / "run", rollback_change="rate", lr=4e-3)
    monkeypatch.setattr(Unlucky, "rates", lambda self: trainer.optimizers["g"].param_groups[0]["lr"])
    trained(trainer, 12)
    assert trainer.rollbacks == 2
    rates = read_signals(tmp_path / "run")["lr_g"]
    assert rates[4] == 4e-3 and rates[5] == 1e-3
    assert [note.text.partition(" (")[0] for note in read_notes(tmp_path / "run")] == [
        "back from step 7 to 5, with learning rates times 0.25"
    ], "the way back that was taken back is not in the log"


@pytest.mark.parametrize(("settings", "note"), [
    ({"rollbacks": 2}, "the run went back 2 times already: train.rollbacks"),
    ({"checkpoint_every": 100}, "it cannot go back: there is no checkpoint in "),
    ({"on_nan": "stop"}, ""),
])  # fmt: skip
def test_it_stops_where_it_may_or_can_not_go_back(
    settings: dict[str, Any], note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Unlucky, "always", True)
    trainer = made(tmp_path / "run", **settings)
    with pytest.raises(NotFiniteError, match=r"^step 7: the norm of G's gradient is nan") as stopped:
        trained(trainer, 20)
    assert "".join(getattr(stopped.value, "__notes__", ())).startswith(note)
    assert all(math.isfinite(float(one.sum())) for one in weights(trainer).values())
