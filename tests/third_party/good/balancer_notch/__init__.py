"""notch: an upper bound on lambda_adv that goes down a notch each time D has been too accurate for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from balancer import MovingAverage, Plugin, PluginConfig, RunInfo, SignalSpec, StepContext, hookimpl


@dataclass
class NotchLaw:
    """How many notches down: one more after `patience` accurate measurements in a row, one fewer after as many not."""

    patience: int
    deepest: int
    notch: int = 0
    streak: int = 0

    def update(self, accurate: bool) -> int:
        """The notch after one more measurement; `streak` counts up while D is accurate and down while it is not."""
        self.streak = max(self.streak, 0) + 1 if accurate else min(self.streak, 0) - 1
        if abs(self.streak) == self.patience:
            step = 1 if accurate else -1
            self.notch = min(max(self.notch + step, 0), self.deepest)
            self.streak = 0
        return self.notch


class Notch(Plugin):
    """Binds the law to D's accuracy and to lambda_adv, and shows the notch as a signal of its own."""

    name = "notch"
    reads = ("d_acc",)
    writes = {"lambda_adv": ("max",)}
    brings_signals = (SignalSpec("notch_depth", "plugin", "notches that lambda_adv is held down by"),)

    class Config(PluginConfig):
        """Settings of notch."""

        accuracy_above: float = Field(0.8, ge=0, le=1, description="D is too accurate above this (3D-GAN: 0.8)")
        patience: int = Field(5, ge=1, description="measurements in a row before the next notch")
        top: float = Field(1.0, gt=0, le=1e4, description="the bound at the first notch, before its factor")
        factor: float = Field(0.8, gt=0, lt=1, description="the bound shrinks by this from notch to notch")
        deepest: int = Field(10, ge=1, description="there is no deeper notch")
        half_life: float = Field(0.0, ge=0, le=1e6, description="half-life of an average of the accuracy; 0: none")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.law = NotchLaw(config.patience, config.deepest)
        self.average = MovingAverage(config.half_life)

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        self.publish("notch_depth", self.law.notch)

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        reading = self.signals["d_acc"]
        if reading is not None and reading.fresh:
            notch = self.law.update(self.average.update(reading.value) > self.config.accuracy_above)
            if notch > 0:
                self.knobs["lambda_adv"].write("max", self.config.top * self.config.factor**notch)
            else:
                self.knobs["lambda_adv"].withdraw("max")
        self.publish("notch_depth", self.law.notch)

    def state_dict(self) -> dict[str, Any]:
        return {"notch": self.law.notch, "streak": self.law.streak, "average": self.average.value}

    def load_state_dict(self, state: Mapping[str, Any], version: int) -> None:
        self.law.notch, self.law.streak = state["notch"], state["streak"]
        self.average.value = state["average"]
