"""Whether a run has left what training can mend, by stated criteria; a run that has goes on, and is told so."""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import Final

from balancer.contract.adversarial import AdversarialLoss
from balancer.contract.levels import CHANCE
from balancer.contract.losses import BUILT_IN
from balancer.contract.signals import StepRow

STEPS: Final = 20  # of which a median counts
TIMES: Final = 100.0  # what a loss was at first, or at chance
ALONE: Final = 0.999  # of G's loss: the adversarial term leaves nothing to the others
NOTHING: Final = 1e-4  # of G's loss: it is there and does not count


class Divergence:
    """Follows G's terms, its adversarial share and `d_adv`; each criterion is about the median of the last 20 steps.

    - G's terms, weighed as they are now, are 100 times what they were in the first step; the adversarial one counts
      there for BCE alone, since others are unbounded by nature.
    - `d_adv` is 100 times that of chance.
    - The adversarial term is over 99.9 % of G's loss beside other terms, or under 0.01 %.

    Attributes:
        standing: what holds at present, as a word and a sentence; empty where nothing does.
        told: what began to hold last, as said then; empty where nothing ever did.
    """

    def __init__(self, loss: AdversarialLoss = BUILT_IN["bce"]) -> None:
        self._judges_adv: Final = loss.name == "bce"
        self._first: dict[str, float] = {}
        self._growth: Final[deque[float]] = deque(maxlen=STEPS)
        self._share: Final[deque[float]] = deque(maxlen=STEPS)
        self._d_adv: Final[deque[float]] = deque(maxlen=STEPS)
        self._said: Final[set[str]] = set()
        self.standing: tuple[str, str] = ("", "")
        self.told = ""

    @property
    def at_the_end(self) -> str:
        """What to say of the whole run; empty where nothing is to be said."""
        return self.told and f"{self.told}{'' if self.standing[0] else ' (it has passed since)'}"

    def update(self, step: int, row: StepRow) -> str | None:
        """Take the row of one step in; a sentence at the step at which something begins to hold, once for each."""
        self._growth.append(self._grown(row))
        self._share.append(_share(row))
        self._d_adv.append(row.get(("d", "d_adv"), 0.0))
        self.standing = self._judged() if len(self._growth) == STEPS else ("", "")
        word, sentence = self.standing
        if not word or word in self._said:
            return None
        self._said.add(word)
        self.told = f"step {step}: {sentence}"
        return self.told

    def _grown(self, row: StepRow) -> float:
        """How many times G's terms are what they were in the first step; 1 where that cannot be said."""
        weights = {name.removeprefix("lambda_"): value for (kind, name), value in row.items() if kind == "knob"}
        terms = {
            name: abs(value)
            for (kind, name), value in row.items()
            if kind == "g" and name in weights and (self._judges_adv or name != "adv")
        }
        self._first = self._first or terms
        shared = terms.keys() & self._first.keys()
        then = sum(weights[name] * self._first[name] for name in shared)
        return sum(weights[name] * terms[name] for name in shared) / then if then > 0 else 1.0

    def _judged(self) -> tuple[str, str]:
        growth, share, d_adv = map(statistics.median, (self._growth, self._share, self._d_adv))
        lower = "lower train.lr, or go back with --resume RUN --from-step"
        if growth > TIMES:
            what = f"G's losses are {growth:.3g} times what they were in the first step"
            return "diverged", f"{what}: the run has diverged; {lower}"
        if d_adv > TIMES * CHANCE:
            return "diverged", f"d_adv is {d_adv:.3g}, and {CHANCE:.2g} at chance: the run has diverged; {lower}"
        if share > ALONE:
            return (
                "adv alone counts",
                f"adv is {100 * share:.4g} % of G's loss, its other terms count for nothing: {_SEE}",
            )
        if 0.0 < share < NOTHING:
            return "adv counts for nothing", f"adv is {100 * share:.1g} % of G's loss and counts for nothing: {_SEE}"
        return "", ""


_SEE: Final = "see lambda_adv and the other weights"


def _share(row: StepRow) -> float:
    """The adversarial share of G's loss, NaN-free; 0 where there is none, or nothing beside it."""
    others = (
        value for (kind, name), value in row.items() if kind == "g" and name.endswith("_share") and name != "adv_share"
    )
    share = abs(row.get(("g", "adv_share"), 0.0))
    return share if math.isfinite(share) and any(others) else 0.0
