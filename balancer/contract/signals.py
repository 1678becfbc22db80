"""What plugins may read: signals, the board that holds the newest values, and one transfer off the device per phase."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from torch import Tensor

    Reduce = Callable[[Tensor], Tensor]

Phase = Literal["d", "g", "plugin"]


@dataclass(frozen=True)
class SignalSpec:
    """A signal: its name, the phase of a step in which it is measured, and what it is.

    `ask` completes the sentence "the host would have to …" for hosts that do not supply it.
    """

    name: str
    phase: Phase
    summary: str
    ask: str = ""


D_SCALAR_ASK: Final = "pass {}= to balance.after_d_step"
G_TERMS_ASK: Final = "pass G's terms to balance.before_g_backward"
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
            "adv", "g", "G's adversarial loss, unweighted (cheat loss)", "pass adv= to balance.before_g_backward"
        ),
        SignalSpec("g_loss", "g", "G's whole loss, the weighted sum of its terms; from after_g_step on", G_TERMS_ASK),
        SignalSpec("adv_share", "g", "share of the adversarial term in G's loss; from after_g_step on", G_TERMS_ASK),
    )
}


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


@dataclass(frozen=True, slots=True)
class Reading:
    """A signal's newest value, the step it was measured on, and whether that is the present one."""

    value: float
    step: int
    fresh: bool


class Transfer:
    """Scalars of one phase on their way off the device: packed, averaged over ranks and copied once.

    On an accelerator the copy is queued behind the kernels that made the values; `values` waits for
    it, and by then the host has queued the backward pass, so the device does not idle.
    """

    __slots__ = ("_event", "_names", "_vector")

    def __init__(self, scalars: Mapping[str, Tensor], reduce: Reduce | None) -> None:
        import torch

        self._names = tuple(scalars)
        with torch.no_grad():
            vector = torch.stack([value.squeeze() for value in scalars.values()]).float()
        if reduce is not None:
            vector = reduce(vector)
        self._event: Any = None
        if vector.is_cuda:
            self._vector = torch.empty(vector.shape, dtype=vector.dtype, pin_memory=True)
            self._vector.copy_(vector, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()
        else:
            self._vector = vector

    def values(self) -> dict[str, float]:
        """The scalars by name."""
        if self._event is not None:
            self._event.synchronize()
        return dict(zip(self._names, self._vector.tolist(), strict=True))


class SignalBoard:
    """The newest value of every signal, and the step it was measured on."""

    def __init__(self) -> None:
        self.step = 0
        self._values: dict[str, float] = {}
        self._steps: dict[str, int] = {}
        self._pending: Transfer | None = None

    def begin(self, transfer: Transfer) -> None:
        """Take the scalars of a phase; nothing waits for them until somebody reads."""
        self.settle()
        self._pending = transfer

    def settle(self) -> dict[str, float]:
        """Wait for the scalars on their way, if any, and return them."""
        if self._pending is None:
            return {}
        values = self._pending.values()
        self._pending = None
        self.put(values)
        return values

    def put(self, values: Mapping[str, float]) -> None:
        """Note values measured in the present step."""
        for name, value in values.items():
            self._values[name] = value
            self._steps[name] = self.step

    def read(self, name: str) -> Reading | None:
        """The newest value, or None where the signal has never been measured, or is not a number this time."""
        self.settle()
        if name not in self._values:
            return None
        if not math.isfinite(self._values[name]):
            return None
        step = self._steps[name]
        return Reading(self._values[name], step, step == self.step)

    def fresh(self) -> dict[str, float]:
        """All values measured in the present step."""
        self.settle()
        return {name: value for name, value in self._values.items() if self._steps[name] == self.step}

    def state_dict(self) -> dict[str, Any]:
        """Newest values and their steps, as primitives."""
        self.settle()
        return {"values": dict(self._values), "steps": dict(self._steps)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._pending = None
        self._values = {name: float(value) for name, value in state["values"].items()}
        self._steps = {name: int(step) for name, step in state["steps"].items()}


class SignalReader:
    """One plugin's view of the board: only what it declared in `reads`."""

    __slots__ = ("_board", "_names", "_plugin")

    def __init__(self, board: SignalBoard, plugin: str, names: frozenset[str]) -> None:
        self._board = board
        self._plugin = plugin
        self._names = names

    def __getitem__(self, name: str) -> Reading | None:
        """The newest reading, or None where the signal has not been measured yet."""
        if name not in self._names:
            from balancer.errors import PluginError

            raise PluginError(f"plugin {self._plugin} read {name} without declaring it: add it to reads")
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
