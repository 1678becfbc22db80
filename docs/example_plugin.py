"""proportional_lambda: G's adversarial weight rises while D's adversarial loss is below a set point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from balancer import MovingAverage, Plugin, PluginConfig, StepContext, hookimpl


def next_factor(factor: float, d_adv: float, config: ProportionalLambda.Config) -> float:
    """The law: aim at 1 + gain · (set_point − d_adv) / set_point within [low, high], by at most `slew` a step."""
    aim = 1.0 + config.gain * (config.set_point - d_adv) / config.set_point
    aim = min(max(aim, config.low), config.high)
    return factor + min(max(aim - factor, -config.slew), config.slew)


class ProportionalLambda(Plugin):
    """Multiplies lambda_adv, so that G answers a D that wins; the run's own lambda_adv stays the base."""

    name = "proportional_lambda"
    reads = ("d_adv",)
    writes = {"lambda_adv": ("mul",)}

    class Config(PluginConfig):
        """Settings of proportional_lambda."""

        set_point: float = Field(0.25, gt=0, le=0.7, description="d_adv to aim at (middle of the document's 0.1–0.4)")
        gain: float = Field(1.0, ge=0, le=10, description="change of the factor for a d_adv of 0 (our choice)")
        low: float = Field(0.5, gt=0, le=1, description="smallest factor (our choice)")
        high: float = Field(2.0, ge=1, le=10, description="largest factor; strokes are invented beyond some point")
        slew: float = Field(0.01, gt=0, le=1, description="largest change of the factor in a step (our choice)")
        half_life: float = Field(20.0, ge=0, description="half-life, in measurements, of an average of d_adv")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.average = MovingAverage(config.half_life)
        self.factor = 1.0

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        reading = self.signals["d_adv"]
        if reading is None or not reading.fresh:
            return
        self.factor = next_factor(self.factor, self.average.update(reading.value), self.config)
        self.knobs["lambda_adv"].mul(self.factor)

    def state_dict(self) -> dict[str, Any]:
        return {"factor": self.factor, "average": self.average.value}

    def load_state_dict(self, state: Mapping[str, Any], version: int) -> None:
        self.factor = state["factor"]
        self.average.value = state["average"]
