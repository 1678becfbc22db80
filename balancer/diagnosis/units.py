"""In which units a log's losses stand: what d_loss adds up, which weights G's terms carry, and how that is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from balancer.contract.adversarial import AdversarialLoss
from balancer.contract.levels import CHANCE
from balancer.contract.losses import find_loss
from balancer.reading.history import History

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from balancer.reading.series import Floats

# How sure: stated ("told") by the user or the run's config, known by the log's format, measured in the figures, or
# assumed.
Basis = Literal["told", "format", "measured", "assumed"]
# Terms of G's loss that compare pixels (or spectra) with the target.
PIXEL_TERMS: Final = frozenset({"l1", "l2", "rec", "mel", "pixel", "nll"})
# Names in a history that are not a term of G's loss.
NO_TERMS: Final = {"epoch", "g_loss", "lr", "real_label", "fake_label", "adv_effective"}
NO_TERMS_BEGIN: Final = ("d_", "critic_gap", "lambda_", "lr_", "val/")


@dataclass(frozen=True)
class Units:
    """What turns logged losses into the project's signals.

    `d_adv` = `d_scale` × (`d_loss` − `d_floor`) where D's loss alone is logged; `d_loss_kind` says what it
    adds up, of `discriminators` together. G's terms in a history are raw (unweighted); `weights` holds what each
    weighs in G's loss, by term (`adv`, `l1`, …), or None for a term whose weight is not known; a `lambda_<term>`
    series in the history takes precedence. `logged_weighted` are terms that the log printed weighted already.
    `levels` is False where the levels of D's loss mean nothing, since its scale is not known or there is none
    (Wasserstein): then only trends can be judged. `recorded` is the loss as a run's own record has it, which
    `adversarial` names then.
    """

    adversarial: str = "bce"
    adversarial_basis: Basis = "assumed"
    d_loss_kind: Literal["mean", "sum", "unknown"] = "unknown"
    d_scale: float = 1.0
    d_floor: float = 0.0
    d_basis: Basis = "assumed"
    d_holds_category: bool | None = None
    discriminators: int = 1
    weights: Mapping[str, float | None] = field(default_factory=dict)
    weights_basis: Basis = "assumed"
    logged_weighted: tuple[str, ...] = ()
    levels: bool = True
    recorded: AdversarialLoss | None = None
    # The range of d_adv that the authors of the log's training code call healthy, and where they do.
    healthy_range: tuple[float, float] | None = None
    healthy_by: str = ""
    # What the evidence was, as figures for the words.
    evidence: Mapping[str, float | int | str] = field(default_factory=dict)

    @property
    def loss(self) -> AdversarialLoss:
        """The adversarial loss, for its levels."""
        return self.recorded or find_loss(self.adversarial)

    @property
    def healthy(self) -> tuple[float, float] | None:
        """The range of `d_adv` in a healthy run, as the log's training code or else its loss has it."""
        return self.healthy_range or self.loss.healthy

    def reading_d_loss(self, kind: Literal["mean", "sum"]) -> Units:
        """d_loss read as the mean or the sum of D's halves, in the loss and the number of discriminators known."""
        loss = self.loss
        if not loss.has_levels:
            return replace(self, d_loss_kind=kind)
        count = (2 if kind == "sum" else 1) * self.discriminators
        scale = CHANCE / (loss.chance - loss.floor) / count
        return replace(self, d_loss_kind=kind, d_scale=scale, d_floor=loss.floor * count)

    def d_adv(self, row: Mapping[str, Any]) -> Any:
        """`d_adv` of D's logged losses, numbers or arrays: from its two halves or its whole loss; None without them."""
        if "d_loss_real" in row and "d_loss_fake" in row:
            loss = self.loss
            mean = (row["d_loss_real"] + row["d_loss_fake"]) / 2 / self.discriminators
            return loss.scaled(mean) if loss.has_levels else None
        if "d_loss" in row and self.loss.has_levels:
            return self.d_scale * (row["d_loss"] - self.d_floor)
        return None


def g_terms(history: History) -> list[str]:
    """The terms of G's loss that a history holds, `adv` first."""
    names = [
        name
        for name in history.measured
        if name not in NO_TERMS and not name.startswith(NO_TERMS_BEGIN) and not name.endswith("_share")
    ]
    return sorted(names, key=lambda name: (name != "adv", name))


def implied_by(history: History, units: Units) -> str | None:
    """What a loss of D follows from where none is logged: its mean probabilities ("prob") or logits ("logit")."""
    if any(name in history for name in ("d_adv", "d_loss", "d_loss_real")):
        return None
    for found, losses in (("prob", ("bce",)), ("logit", ("bce", "hinge"))):
        if units.adversarial in losses and all(f"d_{found}_{side}" in history for side in ("real", "fake")):
            return found
    return None


def least_adv(d_adv: float) -> float:
    """The lowest adversarial loss of G that hard-label BCE allows where D's mean loss is `d_adv`: −ln(1 − e^−2d)."""
    return -math.log(-math.expm1(-2 * max(d_adv, 1e-12)))


def implied_adv(d_adv: float) -> float:
    """G's adversarial loss where D errs alike on real and generated images: −ln(1 − e^−d)."""
    return -math.log(-math.expm1(-max(d_adv, 1e-12)))


def below_least(d_adv: Floats, adv: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """In which rows G's adversarial loss is clearly lower than hard-label BCE allows at this `d_adv`; what it allows.

    D is updated between the two figures, and both are rounded in print: only what lies far below counts.
    """
    shown = d_adv[d_adv > 0]
    digit = float(shown.min()) / 2 if len(shown) else 1e-3
    least = np.array([least_adv(value) for value in np.maximum(d_adv, digit)])
    return adv < 0.8 * least - 0.1, least
