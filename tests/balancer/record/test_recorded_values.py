"""What a log holds is what was measured and what was used, from the step on where it first came."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from balancer import Balancer, Plugin, SignalSpec, StepContext, hookimpl
from balancer.record.folder import COLUMNS
from balancer.record.recorder import Recorder
from balancer.record.signals import read_signals
from balancer.testing import recorded, replay, toy_trainer
from balancer.train.points import PointsFamily


class Probe(Plugin):
    """Notes which signals are fresh when a step ends."""

    name = "probe"
    seen: set[str]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.reads = tuple(OFFERED)
        self.seen = set()

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        readings = {name: self.signals[name] for name in OFFERED}
        self.seen |= {name for name, reading in readings.items() if reading is not None and reading.fresh}


OFFERED: set[str] = set()


def test_every_signal_on_offer_is_measured_and_kept(tmp_path: Path) -> None:
    from balancer.contract.host import model_host

    OFFERED.clear()
    OFFERED.update(model_host("points", PointsFamily().spec(PointsFamily.Settings()), 1.0).signals)
    trainer = toy_trainer([Probe], folder=tmp_path, gradients_every=1, probe_every=1)
    trainer.step(trainer.next_batch())
    trainer.balance.end_run()
    (probe,) = trainer.balance.composition.plugins
    assert isinstance(probe, Probe)
    assert probe.seen == OFFERED
    kept = next(iter(recorded(tmp_path)))
    assert set(kept) >= OFFERED


class Late(Plugin):
    """Turns lambda_adv when the step is over, for the next one."""

    name = "late"
    writes = {"lambda_adv": ("set",)}

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].set(0.1 * (ctx.step + 1))


def test_the_weight_that_is_kept_is_the_one_that_was_used(tmp_path: Path) -> None:
    balance = Balancer([Late], obeys={"lambda_adv"}, supplies={"adv"}, log_dir=tmp_path)
    used = []
    for _ in range(3):
        balance.start_step(epoch=0)
        balance.after_d_step()
        used.append(balance.lambda_adv)
        balance.end_step(adv=2.0)
    balance.end_run()
    columns = read_signals(tmp_path)
    assert used == [1.0, 0.1, 0.2]
    assert columns["lambda_adv"].tolist() == used
    assert columns["adv_effective"].tolist() == [2.0 * weight for weight in used]


class Gap(Plugin):
    """Brings a signal whose name looks like one of D's."""

    name = "gap"
    brings_signals = (SignalSpec("d_gap", "plugin", "difference of D's mean logits"),)
    reads = ("d_logit_real", "d_logit_fake")

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        real, fake = self.signals["d_logit_real"], self.signals["d_logit_fake"]
        assert real is not None
        assert fake is not None
        self.publish("d_gap", real.value - fake.value)


def test_a_run_whose_plugin_brings_a_signal_can_be_replayed(tmp_path: Path) -> None:
    trainer = toy_trainer([Gap, "dynamic_lambda"], {"dynamic_lambda": {"warmup_steps": 0}}, tmp_path)
    for _ in range(3):
        trainer.step(trainer.next_batch())
    trainer.balance.end_run()
    columns = read_signals(tmp_path)
    assert columns["d_gap"].tolist() == (columns["d_logit_real"] - columns["d_logit_fake"]).tolist()
    again = replay([Gap, "dynamic_lambda"], recorded(tmp_path), settings={"dynamic_lambda": {"warmup_steps": 0}})
    assert again["lambda_adv"] == columns["lambda_adv"].tolist()


def test_a_value_that_first_comes_later_gets_a_column_of_its_own(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 10)
    recorder.step(0, 0, {("d", "d_adv"): 0.5})
    for step in (1, 2):
        recorder.step(step, 0, {("d", "d_adv"): 0.5, ("plugin", "late"): 1.0})
    recorder.close()
    assert json.loads((tmp_path / COLUMNS).read_text(encoding="utf-8"))["columns"] == [
        "row_crc32",
        "step",
        "epoch",
        "d_adv",
        "late",
    ]
    columns = read_signals(tmp_path)
    assert columns["d_adv"].tolist() == [0.5] * 3
    assert math.isnan(columns["late"][0]) and columns["late"][1:].tolist() == [1.0] * 2
    again = Recorder(tmp_path, 10)
    again.cut(2)
    again.step(2, 0, {("d", "d_adv"): 0.25, ("plugin", "late"): 2.0})
    again.close()
    assert read_signals(tmp_path)["late"][1:].tolist() == [1.0, 2.0]


class LateRates(Plugin):
    """Halves G's rate after D's step, and takes it back after G's: what G stepped with lies in between."""

    name = "late_rates"
    reads = ("d_adv",)
    writes = {"lr_g": ("mul",)}

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.knobs["lr_g"].mul(0.5)

    @hookimpl
    def after_g_step(self, ctx: StepContext) -> None:
        self.knobs["lr_g"].withdraw("mul")


def test_the_log_holds_the_rates_that_were_used(tmp_path: Path) -> None:
    trainer = toy_trainer([LateRates], folder=tmp_path, lr=1e-3)
    with trainer.balance:
        for _ in range(3):
            trainer.step(trainer.next_batch())
    assert read_signals(tmp_path)["lr_g"].tolist() == [5e-4] * 3
    assert read_signals(tmp_path)["lr_d"].tolist() == [1e-3] * 3
