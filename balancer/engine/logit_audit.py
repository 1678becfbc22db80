"""Whether what a host passes as D's logits can be what it says: no probabilities, of this loss, not swapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from torch import Tensor

# Looks in a row that must agree, where what is seen is strong, and where it is weak.
STRONG: Final = 8
WEAK: Final = 48
# With one look in so many steps (audit.py), this is some thousand steps.
SUSTAINED: Final = 80
# Losses on logits whose levels mean something, and on differences of logits.
OF_LEVELS: Final = ("bce", "hinge")
RELATIVE: Final = ("relativistic", "relativistic_average", "relativistic_hinge")
# Autograd's names of operations that only arrange values.
ARRANGING: Final = (
    "View",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Clone",
    "Transpose",
    "Permute",
    "ToCopy",
    "Alias",
    "Slice",
    "Split",
    "Select",
    "Narrow",
    "Index",
)


class LogitAudit:
    """Looks at D's outputs on real and on generated images of some updates.

    Args:
        loss: the name of the adversarial loss that the host said; of one that is not built in, nothing is expected.
        say: takes the kind and the text of a warning.
    """

    def __init__(self, loss: str, say: Callable[[str, str], None]) -> None:
        self._loss: Final = loss
        self._say: Final = say
        self._pending: list[Tensor] = []
        # Looks in a row, by what they speak for.
        self._streaks: Final[dict[str, int]] = {}
        # Whether D's outputs lay near the labels at the first look.
        self._began_near: bool | None = None

    def look(self, real: Tensor | Sequence[Tensor], fake: Tensor | Sequence[Tensor]) -> None:
        """Take one update's logits; nothing waits for their values yet."""
        import torch

        sides = [[one] if isinstance(one, torch.Tensor) else list(one) for one in (real, fake)]
        if self._loss in (*OF_LEVELS, *RELATIVE) and any(_ends_in_sigmoid(x) for side in sides for x in side):
            self._say_probabilities("D ends in a sigmoid")
        with torch.no_grad():
            flat = [torch.cat([x.detach().flatten().float() for x in side]) for side in sides]
            figures = [(*x.aminmax(), *torch.std_mean(x, correction=0)) for x in flat]
            self._pending.append(torch.stack([figure for of_side in figures for figure in of_side]))

    def settle(self) -> None:
        """Judge what was taken since."""
        # One look in a step, whatever the number of its updates and micro-batches: looks stand for steps.
        for look in self._pending[-1:]:
            self._judge(*look.tolist())
        self._pending.clear()

    def _judge(
        self,
        r_min: float,
        r_max: float,
        r_dev: float,
        r_mean: float,
        f_min: float,
        f_max: float,
        f_dev: float,
        f_mean: float,
    ) -> None:
        probabilities = r_min >= 0 and f_min >= 0 and r_max <= 1 and f_max <= 1 and r_mean - f_mean > 0.5
        if self._loss in OF_LEVELS:
            if self._streak("probabilities", probabilities) == STRONG:
                self._say_probabilities(f"all of D's outputs lie in [0, 1] (real {r_mean:.3g}, generated {f_mean:.3g})")
            # Where they are probabilities too, that has been said.
            near = 1.0 if probabilities else max(abs(r_mean - 1), abs(f_mean), r_dev, f_dev)
            # D's first outputs may lie there by chance, and those of a D that has hardly learnt still do.
            self._began_near = near < 0.5 if self._began_near is None else self._began_near
            tight = self._streak("at_labels", near < 0.15)
            loose = self._streak("near_labels", near < 0.4 and not self._began_near)
            # At chance a least-squares D says 1/2, where logits are about 0.
            about_half = abs(r_mean + f_mean - 1) < 0.3 and max(r_dev, f_dev) < 0.5 and not probabilities
            found = tight == STRONG or loose == WEAK or self._streak("about_half", about_half) == SUSTAINED
            if found and self._loss == "bce":  # a hinge D's outputs on real images stay about its margin, 1
                self._say(
                    "least_squares",
                    f"D's outputs stay between 0 and 1, or about there (real {r_mean:.3g}, generated {f_mean:.3g}), "
                    f"as a least-squares D's do, but adversarial is {self._loss!r}: say adversarial='lsgan', or "
                    "pass logits from before a sigmoid",
                )
        middle, margin = (0.5, 0.25) if self._loss == "lsgan" else (0.0, 1.0)
        if self._loss in RELATIVE:
            strong = weak = f_mean - r_mean > 2 * margin
        elif self._loss == "wasserstein":  # a critic has the scale that it likes
            strong, weak = False, f_mean - r_mean > r_dev + f_dev
        else:
            known = self._loss in (*OF_LEVELS, "lsgan")
            strong = known and r_mean < middle - margin and f_mean > middle + margin
            weak = known and r_max < middle < f_min
        if self._streak("swapped", strong) == STRONG or self._streak("weakly_swapped", weak) == WEAK:
            self._say(
                "swapped",
                f"D calls generated images real and real ones generated (mean outputs {f_mean:.3g}, {r_mean:.3g}): are "
                "real_logits= and fake_logits= of balance.after_d_step swapped, or the labels in D's own loss?",
            )

    def _say_probabilities(self, seen: str) -> None:
        self._say(
            "probabilities",
            f"{seen}, but {self._loss} wants logits, so that d_adv and every law on it are wrong: pass D's output from "
            "before the sigmoid; of a least-squares D, say adversarial='lsgan'",
        )

    def _streak(self, kind: str, holds: bool) -> int:
        self._streaks[kind] = self._streaks.get(kind, 0) + 1 if holds else 0
        return self._streaks[kind]


def leaves(logits: Tensor | Sequence[Tensor]) -> set[int]:
    """The identities of the tensors, such as weights, that these logits were made of, as far as their graph shows."""
    found, seen = set(), set()
    several: Any = logits if isinstance(logits, list | tuple) else [logits]
    nodes = [one.grad_fn for one in several]
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            nodes += [behind for behind, _ in node.next_functions]
            if hasattr(node, "variable"):
                found.add(id(node.variable))
    return found


def _ends_in_sigmoid(logits: Tensor) -> bool:
    node: Any = logits.grad_fn
    while node is not None:
        name = node.name()
        if name.startswith("Sigmoid"):
            return True
        if not name.startswith(ARRANGING):
            return False
        node = node.next_functions[0][0] if node.next_functions else None
    return False
