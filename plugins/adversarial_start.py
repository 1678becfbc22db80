"""adversarial_start: G learns alone first, then D warms up, then lambda_adv rises to what the others give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from balancer import MovingAverage, Plugin, PluginConfig, RunInfo, StepContext, hookimpl
from balancer.errors import ConfigError


@dataclass
class Plateau:
    """Whether a loss has stopped falling: its moving average had no new best over `patience` measurements.

    A best is one that is lower than the last by `improvement`, as a share of it.
    """

    patience: int
    improvement: float
    average: MovingAverage = field(default_factory=lambda: MovingAverage(0.0))
    best: float | None = None
    waited: int = 0

    def update(self, measured: float) -> bool:
        """Take one measurement in; NaN and infinity tell nothing."""
        if math.isfinite(measured):
            value = self.average.update(measured)
            if self.best is None or value < self.best - self.improvement * abs(self.best):
                self.best, self.waited = value, 0
            else:
                self.waited += 1
        return self.waited >= self.patience


def rise(done: int, steps: int, shape: str) -> float:
    """The factor of a ramp after `done` of its steps, in (0, 1]; 1 from `steps` on.

    It is in thousandths: each change is a decision, and a long ramp need not be one in every step.
    """
    share = min((done + 1) / (steps + 1), 1.0)
    if shape == "cosine":
        share = 0.5 - 0.5 * math.cos(math.pi * share)
    return math.ceil(share * 1000 - 1e-9) / 1000


class AdversarialStart(Plugin):
    """Holds lambda_adv at 0 and D still until a step, a share of the run or a plateau; then warms D up, then ramps."""

    name = "adversarial_start"
    writes = {"lambda_adv": ("mul",), "d_update": ("gate",)}
    # A plateau decides when it starts, and nothing after.
    one_shot = True

    class Config(PluginConfig):
        """Settings of adversarial_start."""

        step: int | None = Field(
            None,
            ge=0,
            description="start at this step; 10000 if none of step, share and plateau is given (disc_start of "
            "taming-transformers' custom_vqgan.yaml; its imagenet_vqgan.yaml has 250001)",
        )
        share: float | None = Field(
            None, ge=0, lt=1, description="start at this share of the run's planned steps (no source)"
        )
        plateau: str | None = Field(
            None, description="start when this signal, a term of G's loss such as l1, no longer falls (no source)"
        )
        patience: int = Field(1000, ge=1, description="measurements without a new best that make a plateau (no source)")
        improvement: float = Field(
            0.01, ge=0, lt=1, description="a new best of the plateau's average is lower by this share (no source)"
        )
        half_life: float = Field(
            100.0, ge=0, le=1e6, description="half-life, in measurements, of the plateau's average (no source); 0: none"
        )
        d_warmup: int = Field(
            0,
            ge=0,
            description="updates that D then has before G listens to it (none in taming-transformers; as "
            "net_d_init_iters of BasicSR, which is 0)",
        )
        ramp: int = Field(0, ge=0, description="steps in which lambda_adv then rises from 0 (no source); 0: at once")
        shape: Literal["linear", "cosine"] = Field("linear", description="how it rises (no source)")

        @model_validator(mode="after")
        def _one_start(self) -> Self:
            given = [name for name in ("step", "share", "plateau") if getattr(self, name) is not None]
            if len(given) > 1:
                raise ValueError(f"{' and '.join(given)} each say when to start: give one of them")
            return self

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.plateau is not None:
            self.reads = (config.plateau,)
        self.law = Plateau(config.patience, config.improvement, MovingAverage(config.half_life))
        self.found = False
        # From which step on D is updated, how many updates it had had then, and from which step on lambda_adv rises.
        self.started: int | None = None
        self.d_updates = 0
        self.rising: int | None = None
        self._first: int | None = None

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        config = self.config
        if config.plateau is None and config.share is None:
            self._first = 10000 if config.step is None else config.step
        elif config.share is not None and self.started is None:
            if run.steps is None:
                raise ConfigError(
                    "adversarial_start.share needs the run's planned length, which this loop does not tell: "
                    "pass steps= to Balancer, or give adversarial_start.step"
                )
            self._first = math.ceil(config.share * run.steps)

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        # D's gate is read next, so everything is decided here: the order of D and G in the step does not matter.
        if self.started is None and (self.found or (self._first is not None and ctx.step >= self._first)):
            self.started, self.d_updates = ctx.step, ctx.d_updates
        warm = self.started is not None and ctx.d_updates - self.d_updates >= self.config.d_warmup
        if self.rising is None and warm:
            self.rising = ctx.step
        factor = 0.0 if self.rising is None else rise(ctx.step - self.rising, self.config.ramp, self.config.shape)
        self.knobs["d_update"].gate(self.started is not None)
        self.knobs["lambda_adv"].mul(factor)

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        if self.config.plateau is not None and not self.found:
            reading = self.signals[self.config.plateau]
            self.found = reading is not None and reading.fresh and self.law.update(reading.value)

    def state_dict(self) -> dict[str, Any]:
        return {
            "found": self.found,
            "started": self.started,
            "d_updates": self.d_updates,
            "rising": self.rising,
            "signal": self.config.plateau,
            "average": self.law.average.value,
            "best": self.law.best,
            "waited": self.law.waited,
        }

    def load_state_dict(self, state: Mapping[str, Any], version: int) -> None:
        self.found, self.started = state["found"], state["started"]
        self.d_updates, self.rising = state["d_updates"], state["rising"]
        # Of another signal the old average means nothing.
        if state["signal"] == self.config.plateau:
            self.law.average.value = state["average"]
            self.law.best, self.law.waited = state["best"], state["waited"]
