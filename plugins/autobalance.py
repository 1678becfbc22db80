"""autobalance: lambda_adv at which the adversarial gradient is a set share of the others', while structure holds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from balancer import Plugin, PluginConfig, StepContext, hookimpl


@dataclass
class RatioLaw:
    """Moves lambda_adv's factor to where a ratio of gradients meets its set point: down at once, up by a share at most.

    The ratio is ‖λ·∇adv‖ / ‖∇others‖ at G's images. It is proportional to λ while G stands still, so that
    λ · set point / ratio is where it would be met at once. Of the last `window` such places the median counts, so that
    the first measurement of an untrained D is forgotten. Nothing is integrated: at a bound nothing winds up.
    """

    slew: float
    bound: float
    window: int
    recent: list[float] = field(default_factory=list)  # ln(‖∇others‖ / ‖∇adv‖), the newest last

    def next_factor(self, factor: float, without: float, adv: float, others: float, set_point: float) -> float:
        """The factor after a measurement, `without` being lambda_adv but for it; unchanged where there is no ratio."""
        if not (math.isfinite(adv) and math.isfinite(others) and adv > 0 and others > 0 and without > 0):
            return factor
        self.recent = [*self.recent, math.log(others) - math.log(adv)][-self.window :]
        aim = math.log(set_point) + statistics.median(self.recent) - math.log(without)
        furthest = math.log(self.bound)
        aimed = max(math.exp(min(max(aim, -furthest), furthest)), 1 / self.bound)
        return min(aimed, factor * (1 + self.slew), self.bound)


@dataclass
class StructureGuard:
    """The share of the set point that structure allows: lowered while its error is above the best so far.

    A look is bad where the error exceeds its best by `tolerance`, and good where it is within half of that. `patience`
    bad ones in a row lower it, as many good ones raise it again.
    """

    tolerance: float
    patience: int
    lowered_to: float
    lowest: float
    best: float | None = None
    share: float = 1.0
    bad: int = 0
    good: int = 0

    def look(self, error: float) -> str:
        """Take a look in; what was decided, in words, or an empty text."""
        if not math.isfinite(error) or error < 0:
            return ""
        if self.best is None or error <= self.best:
            self.best = error
        self.bad = self.bad + 1 if error > self.best * (1 + self.tolerance) else 0
        self.good = self.good + 1 if error <= self.best * (1 + self.tolerance / 2) else 0
        before = self.share
        above = (
            f"structure error {error:.3g}, {error / self.best - 1:.0%} above its best {self.best:.3g}"
            if self.best
            else ""
        )
        if self.bad >= self.patience and self.share > self.lowest:
            self.share, self.bad = max(self.share * self.lowered_to, self.lowest), 0
            return f"{above}: backs off, set point × {before:.2f} → × {self.share:.2f}"
        if self.good >= self.patience and self.share < 1:
            self.share, self.good = min(self.share / self.lowered_to, 1.0), 0
            return f"structure holds ({error:.3g}): set point × {before:.2f} → × {self.share:.2f}"
        return ""


class Autobalance(Plugin):
    """Multiplies lambda_adv so that gradients meet a set point, and lowers the set point where structure goes."""

    name = "autobalance"
    reads: tuple[str, ...] = ("g_grad_adv", "g_grad_rec", "val/structure_error")
    writes = {"lambda_adv": ("mul",)}

    class Config(PluginConfig):
        """Settings of autobalance."""

        set_point: float = Field(
            0.8, gt=0, le=100, description="‖lambda_adv·∇adv‖ / ‖∇other terms‖ at G's images to hold (our choice)"
        )
        slew: float = Field(
            0.5, gt=0, le=10, description="largest relative rise of lambda_adv in a measurement; it falls at once"
        )
        bound: float = Field(100.0, gt=1, le=1e6, description="largest factor on lambda_adv; its inverse the smallest")
        window: int = Field(5, ge=1, le=1000, description="measurements of whose ratios the median counts")
        guard: bool = Field(
            True, description="back off where the structure of held-out items goes (val/structure_error)"
        )
        tolerance: float = Field(
            0.1, gt=0, le=1, description="how far the error of structure may lie above its best so far, as a share"
        )
        patience: int = Field(2, ge=1, le=1000, description="looks in a row at held-out items before a change")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if not config.guard:
            self.reads = tuple(name for name in self.reads if name != "val/structure_error")
        self.law = RatioLaw(config.slew, config.bound, config.window)
        self.guard = StructureGuard(config.tolerance, config.patience, lowered_to=0.7, lowest=0.1)
        self.said = ""

    @hookimpl
    def after_g_step(self, ctx: StepContext) -> None:
        adv, others = self.signals["g_grad_adv"], self.signals["g_grad_rec"]
        if adv is None or others is None or not (adv.fresh and others.fresh):
            return
        knob = self.knobs["lambda_adv"]
        own = knob.own("mul")
        factor = 1.0 if own is None else float(own)  # type: ignore[arg-type]
        without = float(knob.held) / factor  # type: ignore[arg-type]
        set_point = self.config.set_point * self.guard.share
        following = self.law.next_factor(factor, without, adv.value, others.value, set_point)
        if following != factor:
            ratio = float(knob.held) * adv.value / others.value  # type: ignore[arg-type]
            knob.mul(following, self.said or f"ratio of gradients {ratio:.3g}, set point {set_point:.3g}")
            self.said = ""

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        if not self.config.guard:
            return
        error = self.signals["val/structure_error"]
        if error is not None and error.fresh:
            self.said = self.guard.look(error.value) or self.said

    def state_dict(self) -> dict[str, Any]:
        guard = self.guard
        return {
            "recent": self.law.recent, "best": guard.best, "share": guard.share, "bad": guard.bad, "good": guard.good,
            "said": self.said,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any], version: int) -> None:
        self.law.recent = [*state["recent"]]
        for name in ("best", "share", "bad", "good"):
            setattr(self.guard, name, state[name])
        self.said = state["said"]
