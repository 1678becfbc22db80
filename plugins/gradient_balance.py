"""gradient_balance: weights of G's terms follow the gradients that these terms have, as VQGAN and EnCodec have it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from balancer import CompositionView, Plugin, PluginConfig, RunInfo, StepContext, hookimpl
from balancer.errors import ConfigError

# Which settings belong to which modes.
OF_MODES: Final = {
    "rec": ("vqgan", "set_point"),
    "weights": ("encodec",),
    "beta": ("encodec",),
    "ratio": ("set_point",),
    "low": ("set_point",),
    "high": ("set_point",),
    "slew": ("set_point",),
}


def vqgan_factor(rec: float, adv: float) -> float:
    """clip(‖∇rec‖ / (‖∇adv‖ + 1e-4), 0, 1e4): Esser et al. 2021 (2012.09841, eq. 7), as in taming-transformers."""
    return min(max(rec / (adv + 1e-4), 0.0), 1e4)


def encodec_weights(shares: Mapping[str, float], norms: Mapping[str, float]) -> dict[str, float]:
    """w_i / Σw / ⟨‖∂l_i/∂x̂‖⟩ (Défossez et al. 2022, 2210.13438, 3.4), at most 1e6; none for a term without gradient."""
    total = math.fsum(shares.values())
    return {term: min(share / total / norms[term], 1e6) for term, share in shares.items() if norms.get(term, 0.0) > 0}


def approach(value: float, aim: float, slew: float, low: float, high: float) -> float:
    """From `value` towards `aim`, both within [low, high], by at most the share `slew` of it, up or down."""
    value, aim = (min(max(one, low), high) for one in (value, aim))
    return min(max(aim, value / (1 + slew)), value * (1 + slew))


class GradientBalance(Plugin):
    """Weighs terms by the norms of their gradients: a ratio (VQGAN), each term's share (EnCodec), or a ratio held."""

    name = "gradient_balance"
    sees = ("gradients",)

    class Config(PluginConfig):
        """Settings of gradient_balance."""

        mode: Literal["vqgan", "encodec", "set_point"] = Field(
            "vqgan", description="the law; vqgan multiplies lambda_adv, the others set weights (VQGAN's is best known)"
        )
        every: int = Field(
            1, ge=1, description="measure in every k-th step (taming-transformers and EnCodec do so in each)"
        )
        rec: dict[str, float] | None = Field(
            None,
            description="terms with their weights that the adversarial one is compared with; if not given all others, "
            "with the weights in force (taming-transformers: its nll_loss)",
        )
        weights: dict[str, float] | None = Field(
            None, description="with encodec: each term's share of the gradient (EnCodec's own: l_t 0.1, others 1 to 3)"
        )
        beta: float = Field(0.999, ge=0, lt=1, description="with encodec: decay of the averages of norms (EnCodec)")
        ratio: float = Field(
            1.0, gt=0, le=100, description="with set_point: ‖λ∇adv‖ / ‖∇others‖ to hold at G's images (no source)"
        )
        low: float = Field(0.1, gt=0, le=1e4, description="with set_point: least lambda_adv (our choice)")
        high: float = Field(10.0, gt=0, le=1e4, description="with set_point: largest lambda_adv (our choice)")
        slew: float = Field(
            0.02, gt=0, le=1, description="with set_point: largest relative change in a measurement (our choice)"
        )

        @model_validator(mode="after")
        def _go_together(self) -> Self:
            for name, modes in OF_MODES.items():
                if self.mode not in modes and getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f'{name} does nothing with mode = "{self.mode}": leave it out')
            if self.mode == "encodec" and self.weights is None:
                raise ValueError('mode = "encodec" needs weights, such as {adv = 3.0, l1 = 1.0}')
            for name in ("rec", "weights"):
                given = getattr(self, name)
                if given is not None and not (
                    all(0 <= weight < math.inf for weight in given.values()) and math.fsum(given.values()) > 0
                ):
                    raise ValueError(f"{name} holds weights of 0 or more, one above 0 at least")
            if self.rec is not None and "adv" in self.rec:
                raise ValueError("rec names what adv is compared with: leave adv out of it")
            if self.low > self.high:
                raise ValueError(f"low = {self.low:g} is above high = {self.high:g}")
            return self

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        shares: dict[str, float] = config.weights or {}
        if config.mode == "encodec":
            self.writes = {f"lambda_{term}": ("set",) for term in shares}
        else:
            self.writes = {"lambda_adv": ("mul",) if config.mode == "vqgan" else ("set",)}
        # The mode that a resumed run had until now.
        self.mode = config.mode
        # Of each term with a share: Σ βⁿ·norm and Σ βⁿ over its measurements.
        self.sums = dict.fromkeys(shares, (0.0, 0.0))

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        config = self.config
        if config.mode == "set_point":
            knob = self.knobs["lambda_adv"]
            if self.mode != "set_point":
                knob.withdraw("set")
            # Within the bounds from the first step on, and within new ones after a resume.
            knob.set(min(max(knob.own("set") or float(knob.value), config.low), config.high))  # type: ignore[arg-type]
        self.mode = config.mode

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        if ctx.step % self.config.every:
            return
        if self.config.mode == "encodec":
            self._share(ctx)
            return
        others, at = self._others(ctx), "last_layer" if self.config.mode == "vqgan" else "output"
        if not others or ctx.gradient_norm is None:
            return
        rec, adv = ctx.gradient_norm(others, at=at), ctx.gradient_norm("adv", at=at)
        if rec is None or adv is None:  # as may happen in half precision: then what was holds
            return
        knob = self.knobs["lambda_adv"]
        if self.config.mode == "vqgan":
            knob.mul(vqgan_factor(rec, adv))
        elif adv > 0:
            aim, own = self.config.ratio * rec / adv, float(knob.own("set"))  # type: ignore[arg-type]
            knob.set(approach(own, aim, self.config.slew, self.config.low, self.config.high))

    def _share(self, ctx: StepContext) -> None:
        assert ctx.gradient_norm is not None
        for term in self.sums:
            norm = ctx.gradient_norm(term, at="output")
            if norm is not None:
                total, count = self.sums[term]
                self.sums[term] = self.config.beta * total + norm, self.config.beta * count + 1
        averages = {term: total / count for term, (total, count) in self.sums.items() if count}
        for term, weight in encodec_weights(self.config.weights, averages).items():
            self.knobs[f"lambda_{term}"].set(weight)

    def _others(self, ctx: StepContext) -> dict[str, float]:
        """What the adversarial term is compared with, and what each of it weighs."""
        if self.config.rec is not None:
            return {term: weight for term, weight in self.config.rec.items() if weight}
        if ctx.weights is None:
            raise ConfigError(
                "gradient_balance compares with all other terms of G's loss, and this script does not tell what they "
                "weigh: give their weights in base, or in gradient_balance.rec"
            )
        return {term: weight for term, weight in ctx.weights.items() if weight and term != "adv"}

    def check(self, composition: CompositionView) -> Iterable[str]:
        host, config = composition.host, self.config
        alone = host.weighs and set(host.base) == {"lambda_adv"} and "feature_matching" not in composition.configs
        if alone and config.mode != "encodec":
            yield f"G's loss has no other term than the adversarial one in {host.name}: there is nothing to balance"
        bounds = [config.low, config.high]
        if config.mode == "set_point" and (base := composition.far_base("lambda_adv", bounds)) is not None:
            yield (
                f"lambda_adv is {base:g} in {host.name}, and this law holds it within {config.low:g}–{config.high:g}: "
                "set low and high around it"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"mode": self.mode, "sums": {term: list(sums) for term, sums in self.sums.items()}}

    def load_state_dict(self, state: Mapping[str, Any], version: int) -> None:
        self.mode = state["mode"]
        # Terms that have a share since this resume begin their averages now.
        self.sums |= {term: (sums[0], sums[1]) for term, sums in state["sums"].items() if term in self.sums}
