"""dynamic_lambda: lambda_adv follows bands of D's adversarial loss; it says how far D is to be believed."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from balancer import (
    CompositionView,
    MovingAverage,
    Plugin,
    PluginConfig,
    RunInfo,
    StepContext,
    hookimpl,
)
from balancer.errors import CompositionError

# (below, lambda_adv) rows, then lambda_adv above the last threshold.
PRESETS = {
    "three_bands": (((0.05, 0.2), (0.15, 0.4)), 0.6),  # source document, remedy 3
    "four_bands": (((0.02, 0.20), (0.08, 0.35), (0.20, 0.50)), 0.60),  # source document, remedy 4
}


@dataclass
class BandLaw:
    """Which value a loss falls into, with hysteresis; the law itself, free of torch and of moments.

    A boundary t is crossed upwards at t·(1 + hysteresis) and downwards at t·(1 − hysteresis).
    """

    thresholds: tuple[float, ...]
    values: tuple[float, ...]
    hysteresis: float = 0.0
    band: int | None = None

    def update(self, loss: float) -> float:
        """The value for this loss, given the band it was in before."""
        plain = bisect.bisect_right(self.thresholds, loss)
        if self.band is None:
            self.band = plain
        while self.band < plain and loss >= self.thresholds[self.band] * (1 + self.hysteresis):
            self.band += 1
        while self.band > plain and loss < self.thresholds[self.band - 1] * (1 - self.hysteresis):
            self.band -= 1
        return self.values[self.band]


class DynamicLambda(Plugin):
    """Sets lambda_adv after D's update and before G's backward pass, in the same step (source document, remedy 5)."""

    name = "dynamic_lambda"
    reads = ("d_adv",)
    writes = {"lambda_adv": ("set",)}

    class Config(PluginConfig):
        """Settings of dynamic_lambda."""

        preset: Literal["four_bands", "three_bands"] = Field(
            "four_bands", description="bands of the source document (remedies 4 and 3); unused where bands is given"
        )
        bands: tuple[tuple[float, float], ...] | None = Field(
            None, description="own bands: [[below, lambda_adv], …] with rising thresholds"
        )
        above: float | None = Field(
            None, ge=0, le=1e4, description="lambda_adv above the last of one's own bands; if not given, the ceiling"
        )
        initial: float = Field(
            0.25, ge=0, le=1e4, description="lambda_adv until the warm-up is over, at most the ceiling (remedy 1)"
        )
        ceiling: float = Field(0.6, ge=0, le=1e4, description="lambda_adv never exceeds this (remedy 1)")
        warmup_steps: int | None = Field(
            None,
            ge=0,
            description="fresh measurements for which initial holds; if not given 100 (an untrained D is at chance, "
            'which the bands would answer with 0.6), and 0 with signal = "d_loss"',
        )
        half_life: float = Field(
            0.0, ge=0, le=1e6, description="half-life, in measurements, of an average of the signal; 0: none"
        )
        hysteresis: float = Field(0.0, ge=0, lt=1, description="relative margin around each threshold; 0: none")
        relative: bool = Field(
            False,
            description="bands, initial, above and ceiling are factors of the run's own lambda_adv, which the law "
            "multiplies instead of setting it",
        )
        signal: Literal["d_adv", "d_loss"] = Field(
            "d_adv", description="d_loss takes D's raw loss, as the source document literally does"
        )

        @field_validator("bands")
        @classmethod
        def _rising(cls, bands: tuple[tuple[float, float], ...] | None) -> tuple[tuple[float, float], ...] | None:
            if bands is not None:
                thresholds = [below for below, _ in bands]
                if not bands or thresholds != sorted(set(thresholds)) or thresholds[0] <= 0:
                    raise ValueError("thresholds must be positive and rise from band to band")
                if any(value < 0 for _, value in bands):
                    raise ValueError("lambda_adv of a band must not be negative")
            return bands

        @model_validator(mode="after")
        def _above_needs_bands(self) -> Self:
            if self.above is not None and self.bands is None:
                raise ValueError("above does nothing without bands: give bands, or lower the ceiling")
            return self

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.reads = (config.signal,)
        if config.relative:
            self.writes = {"lambda_adv": ("mul",)}
        rows, above = PRESETS[config.preset]
        if config.bands is not None:
            rows, above = config.bands, config.ceiling if config.above is None else config.above
        self.law = BandLaw(
            tuple(below for below, _ in rows),
            tuple(min(value, config.ceiling) for value in (*(value for _, value in rows), above)),
            config.hysteresis,
        )
        self.average = MovingAverage(config.half_life)
        default = 0 if config.signal == "d_loss" else 100
        self.warmup_left = default if config.warmup_steps is None else config.warmup_steps

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        if self.knobs["lambda_adv"].own("mul" if self.config.relative else "set") is None:
            self._turn(self._initial)

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        reading = self.signals[self.config.signal]
        if reading is None or not reading.fresh:
            return
        loss = self.average.update(reading.value)
        if self.warmup_left > 0:
            self.warmup_left -= 1
            return
        self._turn(self.law.update(loss))

    def _turn(self, value: float) -> None:
        knob = self.knobs["lambda_adv"]
        if self.config.relative:
            knob.mul(value)
        else:
            knob.set(value)

    @property
    def _initial(self) -> float:
        initial: float = min(self.config.initial, self.config.ceiling)
        return initial

    def check(self, composition: CompositionView) -> Iterable[str]:
        values = [self._initial, *self.law.values]
        if not self.config.relative and (base := composition.far_base("lambda_adv", values)) is not None:
            yield (
                f"lambda_adv is {base:g} in {composition.host.name}, and this law sets it to "
                f"{min(values):g}–{max(values):g}: set relative = true, and its bands multiply that {base:g}"
            )
        if any(value > self.config.ceiling for _, value in self.config.bands or ()):
            yield f"the ceiling of {self.config.ceiling:g} cuts some of its bands: raise the ceiling if they are meant"
        loss = composition.host.adversarial
        if self.config.signal == "d_loss" and not loss.has_levels:
            raise CompositionError(
                f"dynamic_lambda.signal = d_loss: the {loss.name} loss has no levels, so bands of it mean nothing: "
                "leave dynamic_lambda out, or take a loss that has levels (such as bce, hinge or relativistic_average)"
            )
        if self.config.signal == "d_loss" and composition.host.d_terms:
            terms = ", ".join(composition.host.d_terms)
            yield f"d_loss also holds {terms}, which may lift it above every band for good: d_adv does not"
        if self.config.signal == "d_loss" and "label_smoothing" in composition.configs:
            yield (
                "smoothed labels lift the raw d_loss above every band (a floor of 0.325 at 0.9/0.1), "
                'so it answers with the top band for ever: use signal = "d_adv"'
            )

    def state_dict(self) -> dict[str, Any]:
        return {
            "thresholds": list(self.law.thresholds),
            "band": self.law.band,
            "average": self.average.value,
            "warmup_left": self.warmup_left,
        }

    def load_state_dict(self, state: Mapping[str, Any], version: int) -> None:
        # Under other thresholds the old band means nothing.
        self.law.band = state["band"] if state["thresholds"] == list(self.law.thresholds) else None
        self.average.value = state["average"]
        self.warmup_left = state["warmup_left"]
