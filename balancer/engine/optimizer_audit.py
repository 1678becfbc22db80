"""Whether each optimizer that was passed steps, whether another one updates D too, and whether steps begin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

from balancer.engine.optimizers import Optimizers, Watched

# Steps in which an optimizer had gradients and another one of its network stepped. Long enough for scripts that train
# one discriminator for a while and then the other.
PASSED_BY: Final = 128
# How often D and G may take turns within one step of the host's: some loops have a few rounds in each.
TURNS: Final = 32


class OptimizerAudit:
    """Watches which of the optimizers step, and in what order.

    Args:
        say: takes the kind and the text of a warning.
    """

    def __init__(self, optimizers: Optimizers, say: Callable[[str, str], None]) -> None:
        self._optimizers: Final = optimizers
        self._say: Final = say
        self._moved: Final[set[Watched]] = set()
        # Optimizers with gradients while another one of their role stepped: in this step, and in how many.
        self._waiting: Final[set[Watched]] = set()
        self._passed_by: Final[Counter[Watched]] = Counter()
        # The role that stepped last in this step, and how often it was another one than before.
        self._last = ""
        self._changes = 0

    def begin_step(self) -> None:
        """A step begins."""
        self._waiting.clear()
        self._last, self._changes = "", 0

    def stepped(self, one: Watched) -> None:
        """An optimizer took a step that moved something."""
        self._moved.add(one)
        several = self._optimizers.by_role[one.role]
        self._waiting.update(other for other in several if other not in self._moved and other.has_gradients())
        self._changes += one.role != self._last
        self._last = one.role
        if self._changes == 2 * TURNS:
            self._say(
                "one_step",
                f"D and G have been updated in turn {TURNS} times since start_step, which begins a step: call "
                "balance.start_step() at the top of each iteration",
            )

    def end_step(self) -> None:
        """A step ends."""
        for one in self._waiting - self._moved:
            self._passed_by[one] += 1
            if self._passed_by[one] == PASSED_BY:
                which, kind = f"optimizers[{one.role!r}][{one.index}]", type(one.optimizer).__name__
                self._say(
                    f"never_{one.role}_{one.index}",
                    f"{which}, one {kind} of several, has not stepped once, though it had gradients in {PASSED_BY} "
                    "steps in which another one of its list stepped: call its step() too, or leave it out",
                )

    def d_made_of(self, weights: Collection[int]) -> None:
        """D's outputs were made of these weights, by identity: an optimizer that was not passed must update none."""
        for other in self._optimizers.unrelated():
            theirs = [id(parameter) for group in other.param_groups for parameter in group["params"]]
            if any(parameter in weights for parameter in theirs):
                kind = type(other).__name__
                self._say(
                    "untold",
                    f"D's outputs also come from weights of an optimizer ({kind}) that was not passed, which lr_d and "
                    "d_updates know nothing of: pass all that update D, optimizers={'d': [a, b], …}",
                )
                return
