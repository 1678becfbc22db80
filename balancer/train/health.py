"""A word on the state of a run, by the bands of the source document, which say nothing of quality."""

from __future__ import annotations

import math
from typing import Final

from balancer.contract.adversarial import AdversarialLoss
from balancer.contract.levels import CHANCE, HEALTHY_D_ADV, SATURATED_BELOW, STARVED_ABOVE
from balancer.contract.losses import BUILT_IN
from balancer.contract.signals import Key, MovingAverage, StepRow

HALF_LIFE: Final = 20.0  # steps


class Health:
    """Follows `d_adv` and `adv`, averaged with a half-life of 20 steps, and names the state they are in.

    The level of `adv` that means starvation is one of BCE; with another loss `d_adv` alone is judged, and where no
    range of it is called healthy, it is saturated, at chance or between, of which nothing is said. Where one is, the
    word is whether `d_adv` lies below, in or above it, and whose range it is: no measurement here says that runs are
    better within.
    """

    def __init__(self, loss: AdversarialLoss = BUILT_IN["bce"]) -> None:
        self._judges_adv = loss.name == "bce"
        self._healthy = loss.healthy
        self._whose = "the document's" if loss.healthy == HEALTHY_D_ADV else "its loss's"
        self._d_adv = MovingAverage(HALF_LIFE)
        self._adv = MovingAverage(HALF_LIFE)
        self._state = ""
        self._since = 0

    @property
    def d_adv(self) -> float | None:
        """The average of `d_adv`, or None before its first measurement."""
        return self._d_adv.value

    def update(self, step: int, row: StepRow) -> str:
        """Take one step's row in and return the word for the state."""
        if ("d", "d_adv") in row:
            self._d_adv.update(row["d", "d_adv"])
        if ("g", "adv") in row:
            self._adv.update(row["g", "adv"])
        state = self._name()
        if state != self._state:
            self._state, self._since = state, step
        steps = step - self._since
        return f"{state} for {steps} steps" if state else ""

    def _name(self) -> str:
        d_adv, adv = self._d_adv.value, self._adv.value
        if d_adv is None:
            return ""
        if d_adv < SATURATED_BELOW:
            starved = self._judges_adv and adv is not None and adv > STARVED_ABOVE
            return "G starved" if starved else "D saturated"
        if d_adv >= CHANCE:
            return "D at chance"
        if self._healthy is None:
            return ""
        low, high = self._healthy
        side = "below" if d_adv < low else "in" if d_adv <= high else "above"
        return f"{side} {self._whose} band"


# The document's condition for a lambda_adv of 0.6 at the start of a run.
STRONG_START: Final = 0.6
STRONG_START_STEPS: Final = 50
STRONG_START_D_ADV: Final = (0.15, 0.4)
STRONG_START_ADV: Final = (1.0, 4.0)


class StrongStart:
    """Watches the first 50 steps of a run for a lambda_adv that the source document would not start with.

    Its levels of losses are those of BCE; of a run with another only a resume is judged.
    """

    def __init__(self, resumed: bool, loss: AdversarialLoss = BUILT_IN["bce"]) -> None:
        bands: dict[Key, tuple[float, float]] = {("d", "d_adv"): STRONG_START_D_ADV, ("g", "adv"): STRONG_START_ADV}
        self._bands = bands if loss.name == "bce" else {}
        self._resumed = resumed
        self._steps = 0
        self._lambda_adv = 0.0
        self._sums = dict.fromkeys(self._bands, 0.0)

    def update(self, row: StepRow) -> str | None:
        """Take one step's row in; the warning, at the step that settles it, else None."""
        if self._steps >= STRONG_START_STEPS:
            return None
        if self._steps == 0:
            self._lambda_adv = row.get(("knob", "lambda_adv"), 0.0)
        for key in self._sums:
            self._sums[key] += row.get(key, math.nan)
        self._steps += 1
        if self._lambda_adv < STRONG_START:
            return None
        why = ["the run was resumed"] if self._resumed else []
        if self._resumed:
            self._steps = STRONG_START_STEPS
        elif self._steps < STRONG_START_STEPS:
            return None
        else:
            for key, (low, high) in self._bands.items():
                mean = self._sums[key] / self._steps
                if not low <= mean <= high:
                    why.append(f"the mean {key[1]} of its first steps is {mean:.3g}, not {low:g}–{high:g}")
        if not why:
            return None
        return (
            f"lambda_adv started at {self._lambda_adv:g}, and {' and '.join(why)}: the source document advises 0.2–0.3 "
            "then; what fixed values came to here: benchmarks/evidence"
        )
