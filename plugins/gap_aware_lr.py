"""gap_aware_lr: D learns faster or slower as its loss lies above or below that of a D that cannot tell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from balancer import CompositionView, Plugin, PluginConfig, StepContext, hookimpl


def rate_factor(d_adv: float, config: GapAwareLr.Config) -> float:
    """What D's learning rate is multiplied by at this average of d_adv, in [lowest, highest].

    With x = |d_adv − ideal| / (reach · ideal), at most 1, it is highest^x above the ideal and lowest^x below it, in
    hundredths: each change is a decision.

    Source: Hazimeh & Ponomareva 2023 (arXiv 2302.00089); `lr_scheduler` in google-research's
    adversarial_nets_lr_scheduler/demo.ipynb.
    """
    gap = min(abs(d_adv - config.ideal) / (config.reach * config.ideal), 1.0)
    furthest: float = config.highest if d_adv > config.ideal else config.lowest
    return round(math.pow(furthest, gap), 2)


class GapAwareLr(Plugin):
    """Multiplies lr_d by a function of the gap between an average of d_adv and its ideal."""

    name = "gap_aware_lr"
    reads = ("d_adv",)
    writes = {"lr_d": ("mul",)}

    class Config(PluginConfig):
        """Settings of gap_aware_lr."""

        ideal: float = Field(
            math.log(2),
            gt=0,
            le=2,
            description="d_adv to aim at: ln 2, a D that cannot tell (the paper's ln 4 for the sum of both halves)",
        )
        reach: float = Field(
            0.1, gt=0, le=10, description="share of ideal at which a factor is fully reached (x_min and x_max, paper)"
        )
        lowest: float = Field(0.1, ge=0.01, le=1, description="factor far below the ideal (h_min, paper)")
        highest: float = Field(2.0, ge=1, le=100, description="factor far above it (f_max, paper)")
        decay: float = Field(
            0.95, ge=0, lt=1, description="of the average of d_adv, for each measurement (demo of the paper's code)"
        )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        # At the ideal, as in the paper's code: the rate moves only as measurements come in.
        self.average = config.ideal

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        reading = self.signals["d_adv"]
        if reading is None or not reading.fresh:
            return
        decay = self.config.decay
        self.average = decay * self.average + (1 - decay) * reading.value
        self.knobs["lr_d"].mul(rate_factor(self.average, self.config))

    def check(self, composition: CompositionView) -> Iterable[str]:
        config, healthy = self.config, composition.host.adversarial.healthy
        floor = config.ideal * (1 - config.reach)
        if healthy is not None and healthy[1] <= floor and config.lowest < 1:
            yield (
                f"below a d_adv of {floor:.3g} it holds lr_d at {config.lowest:g} of its base, so in the whole band of "
                f"{healthy[0]:g}–{healthy[1]:g} that the source document calls healthy: a lower ideal aims there"
            )
        ratio = getattr(composition.configs.get("d_lr_ratio"), "ratio", 1.0)
        work = ratio * config.lowest / getattr(composition.configs.get("d_skip"), "period", 1)
        others = [name for name in ("d_lr_ratio", "d_skip") if name in composition.configs]
        if others and work < 0.1:
            yield f"together with {' and '.join(others)} D may get {work:.3g} of its usual training, below 0.1"
        if "instance_noise" in composition.configs:
            yield "instance_noise lifts the d_adv that it answers to: lr_d rises though the clean D is no weaker"

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average}

    def load_state_dict(self, state: Mapping[str, Any], version: int) -> None:
        self.average = state["average"]
