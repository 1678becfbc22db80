"""What plugins may read: signals, how a step's values are named, and which names are taken."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

from balancer.contract.knobs import STANDARD_KNOBS
from balancer.errors import PluginError, nearest

# "val": measured on held-out items when the step is over, and read in `on_step_end` at the earliest.
Phase = Literal["d", "g", "plugin", "val"]

# What a value of a step is: its number and epoch ("clock"), a signal by its phase, what a knob held, the rate that a
# schedule gave before knobs turned it ("base"), a product ("derived"), or how many updates a network had ("updates").
Kind = Literal["clock", "d", "g", "plugin", "val", "knob", "base", "derived", "updates"]
Key = tuple[Kind, str]
# Everything that one step measured and did.
StepRow = Mapping[Key, float]


@dataclass(frozen=True)
class SignalSpec:
    """A signal: its name, the phase of a step in which it is measured, and what it is.

    `ask` completes the sentence "the host would have to …" for hosts that do not supply it.
    """

    name: str
    phase: Phase
    summary: str
    ask: str = ""


# Measured every `probe_every` steps; not fresh in between.
STRUCTURE_ERROR: Final = "val/structure_error"
D_SCALAR_ASK: Final = "pass {}= to balance.after_d_step"
G_TERMS_ASK: Final = "pass G's terms to balance.before_g_backward"
G_GRADIENTS_ASK: Final = (
    "pass fake= and G's terms as tensors to balance.before_g_backward, list 'gradients' in supplies, "
    "and pass gradients_every=16 to Balancer"
)
D_LOGITS_ASK: Final = "pass real_logits= and fake_logits= to balance.after_d_step"

STANDARD_SIGNALS: Final[dict[str, SignalSpec]] = {
    spec.name: spec
    for spec in (
        SignalSpec(
            "d_adv",
            "d",
            "D's adversarial loss alone: mean of the real and the fake half, hard labels, floor 0, chance ln 2",
            f"{D_LOGITS_ASK} (or d_adv=)",
        ),
        SignalSpec("d_loss", "d", "D's whole loss, as it is trained on", D_SCALAR_ASK.format("d_loss")),
        SignalSpec(
            "d_loss_real",
            "d",
            "D's adversarial loss on real images, with the labels in use",
            D_SCALAR_ASK.format("d_loss_real"),
        ),
        SignalSpec(
            "d_loss_fake",
            "d",
            "D's adversarial loss on generated images, with the labels in use",
            D_SCALAR_ASK.format("d_loss_fake"),
        ),
        SignalSpec("d_acc", "d", "share of real and generated images that D tells right, in [0, 1]", D_LOGITS_ASK),
        SignalSpec("d_acc_real", "d", "share of real images that D calls real, in [0, 1]", D_LOGITS_ASK),
        SignalSpec("d_acc_fake", "d", "share of generated images that D calls generated, in [0, 1]", D_LOGITS_ASK),
        SignalSpec("d_logit_real", "d", "mean logit of D on real images", D_LOGITS_ASK),
        SignalSpec("d_logit_fake", "d", "mean logit of D on generated images", D_LOGITS_ASK),
        SignalSpec(
            "critic_gap",
            "d",
            "mean logit of D on real images less that on generated ones; of a loss without levels, instead of d_adv",
            D_LOGITS_ASK,
        ),
        SignalSpec(
            "adv", "g", "G's adversarial loss, unweighted (cheat loss)", "pass adv= to balance.before_g_backward"
        ),
        SignalSpec(
            "g_grad_adv",
            "g",
            "norm of the gradient of the adversarial term, unweighted, at G's images; from after_g_step on",
            G_GRADIENTS_ASK,
        ),
        SignalSpec(
            "g_grad_rec",
            "g",
            "norm of the gradient of all other terms, weighted, at G's images; from after_g_step on",
            G_GRADIENTS_ASK,
        ),
        SignalSpec(
            "g_grad_cos", "g", "cosine of these two gradients, in [-1, 1]; from after_g_step on", G_GRADIENTS_ASK
        ),
        SignalSpec(
            "g_grad_norm",
            "g",
            "norm of the gradient that G's optimizer stepped on; from after_g_step on",
            "pass optimizers={'g': …} and gradients_every=16 to Balancer",
        ),
        SignalSpec(
            "d_grad_norm",
            "d",
            "norm of the gradient that D's optimizer stepped on; from after_d_step on",
            "pass optimizers={'d': …} and gradients_every=16 to Balancer",
        ),
        SignalSpec(
            STRUCTURE_ERROR,
            "val",
            "how far held-out items are in structure from what they should be, 0 for none; from on_step_end on",
            "call balance.signals.held_out(structure_error=…) before balance.end_step",
        ),
        SignalSpec("g_loss", "g", "G's whole loss, the weighted sum of its terms; from after_g_step on", G_TERMS_ASK),
        SignalSpec("adv_share", "g", "share of the adversarial term in G's loss; from after_g_step on", G_TERMS_ASK),
    )
}

# Measured every `gradients_every` steps; not fresh in between.
GRADIENT_SIGNALS: Final = ("g_grad_adv", "g_grad_rec", "g_grad_cos", "g_grad_norm", "d_grad_norm")

# What a loss with levels has, and what one without.
OF_LEVELS: Final = ("d_adv", "d_acc", "d_acc_real", "d_acc_fake")
OF_A_CRITIC: Final = ("critic_gap",)
# Of several discriminators each has these of its own: `d_adv/0`, `d_adv/1`, ….
OF_EACH_D: Final = ("d_adv", "critic_gap", "d_acc", "d_logit_real", "d_logit_fake")
_OF_ONE_D: Final = re.compile(rf"({'|'.join(OF_EACH_D)})/(\d{{1,3}})")
D_LISTS_ASK: Final = "pass real_logits= and fake_logits= as lists, one tensor for each discriminator"


def standard_signal(name: str) -> SignalSpec | None:
    """The standard signal of that name, those of one discriminator of several among them; else None."""
    if (of_one := _OF_ONE_D.fullmatch(name)) is None:
        return STANDARD_SIGNALS.get(name)
    whole = STANDARD_SIGNALS[of_one[1]]
    return replace(whole, name=name, summary=f"{of_one[1]} of discriminator {of_one[2]} alone", ask=D_LISTS_ASK)


def term_signal(term: str, phase: Literal["d", "g"]) -> SignalSpec:
    """The signal of one more loss term: G's `l1` is `l1`, D's `category` is `d_category`."""
    if phase == "d":
        return SignalSpec(f"d_{term}", "d", f"the {term} term of D's loss, weighted")
    return SignalSpec(
        term, "g", f"the {term} term of G's loss, unweighted", f"pass {term}= to balance.before_g_backward"
    )


def share_signal(term: str) -> SignalSpec:
    """The signal of a term's share of G's loss."""
    return SignalSpec(f"{term}_share", "g", f"share of the {term} term in G's loss; from after_g_step on", G_TERMS_ASK)


def taken(name: str, *, g_term: bool = False) -> str | None:
    """Why no plugin, model or script may give this name to a signal or a term of a loss; None where it may."""
    if standard_signal(name) is not None:
        return None
    if name in ("step", "epoch", "adv_effective", "d_updates", "g_updates"):
        return "a run's record has a column of that name"
    if name in STANDARD_KNOBS or name.startswith(("lambda_", "lr_")):
        return "a knob has that name" if name in STANDARD_KNOBS else "names of knobs begin like that"
    if name.startswith("loss_"):
        return "columns of G's terms begin like that"
    if name.endswith("_share"):
        return "shares of G's loss end like that"
    return "names of D's signals begin with d_" if g_term and name.startswith("d_") else None


@dataclass(frozen=True, slots=True)
class Reading:
    """A signal's newest value, the step it was measured on, and whether that is the present one."""

    value: float
    step: int
    fresh: bool


class Readings(Protocol):
    """Where the newest values are; the engine's board of signals."""

    def read(self, name: str) -> Reading | None:
        """The newest value, or None where the signal has never been measured, or is not a number this time."""
        ...


class SignalReader:
    """One plugin's view of the board: only what it declared in `reads`."""

    __slots__ = ("_board", "_names", "_plugin")

    def __init__(self, board: Readings, plugin: str, names: frozenset[str]) -> None:
        self._board = board
        self._plugin = plugin
        self._names = names

    def __getitem__(self, name: str) -> Reading | None:
        """The newest reading, or None where the signal has not been measured yet."""
        if name not in self._names:
            near = nearest(name, sorted(self._names))
            raise PluginError(f"plugin {self._plugin} read {name} without declaring it: add it to reads{near}")
        return self._board.read(name)

    def snapshot(self) -> dict[str, float]:
        """All declared signals that have a value, for the record of a decision."""
        readings = {name: self._board.read(name) for name in sorted(self._names)}
        return {name: reading.value for name, reading in readings.items() if reading is not None}


@dataclass
class MovingAverage:
    """Exponential moving average with a half-life in measurements; starts at the first one."""

    half_life: float
    value: float | None = None

    def update(self, measured: float) -> float:
        """Take one measurement in and return the average; half-life 0 means no averaging."""
        if self.value is None or self.half_life <= 0:
            self.value = measured
        else:
            self.value += (1.0 - 0.5 ** (1.0 / self.half_life)) * (measured - self.value)
        return self.value
