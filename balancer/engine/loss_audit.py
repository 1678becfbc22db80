"""Which adversarial loss D is really trained with, by the gradient that its update had at its last bias."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.losses import BUILT_IN
from balancer.engine.logit_audit import ARRANGING
from balancer.engine.optimizers import Optimizers, Watched

if TYPE_CHECKING:
    from torch import Tensor

# Losses that are told apart.
CANDIDATES: Final = ("bce", "lsgan", "hinge")
# Updates with a gradient there after which is judged, and what is left unexplained of it, as a share of its squares,
# by the loss that it is (rounding, in half precision too) and at least by one that it is not.
UPDATES: Final = 8
EXPLAINED: Final = 1e-4
UNEXPLAINED: Final = 1e-2
# What is nearly the same in all updates, any loss explains.
VARIED: Final = 1e-2


class LossAudit:
    """Compares the gradient at a bias that shifts all of D's outputs with what each loss would give there.

    A factor on D's loss is common to all updates. Where the gradient holds more than one pass, is clipped or averaged
    over ranks, or labels are smoothed, no loss explains it, and nothing is said; a penalty on gradients adds nothing.

    Args:
        loss: the name of the adversarial loss that the host said.
        say: takes the kind and the text of a warning.
    """

    def __init__(self, loss: str, optimizers: Optimizers, say: Callable[[str, str], None]) -> None:
        self._loss: Final = loss
        self._optimizers: Final = optimizers
        self._say: Final = say
        # Nobody knows of another loss what its gradient would be like; nor is one judged twice.
        self._judged = loss not in BUILT_IN
        self._bias: Tensor | None = None
        self._owner: Watched | None = None
        # Of the newest update: what each loss would give at the bias, and what was there.
        self._expected: Tensor | None = None
        self._found: Tensor | None = None
        self._updates: Final[list[list[float]]] = []

    def look(self, real: Tensor | Sequence[Tensor], fake: Tensor | Sequence[Tensor]) -> None:
        """Take D's outputs on one update's images; nothing waits for their values yet."""
        if self._judged:
            return
        # Of several discriminators the first one: each has a bias of its own.
        one_real, one_fake = _first(real), _first(fake)
        self._expected = None
        bias = next(_biases(one_real.grad_fn), None)
        if bias is None:
            return
        if bias is not self._bias:
            self._bias, self._owner, self._found = bias, self._owner_of(bias), None
            self._updates.clear()
        self._expected = _slopes(one_real, one_fake)

    def stepped(self, one: Watched) -> None:
        """An optimizer took a step with the gradients that are there."""
        if one is self._owner and not self._judged and self._bias is not None and self._bias.grad is not None:
            self._found = self._bias.grad.detach().flatten().double()

    def settle(self) -> None:
        """Judge by what was taken in this step."""
        expected, found = self._expected, self._found
        self._expected = self._found = None
        if expected is None or found is None:
            return
        import torch

        update = torch.cat([found, expected.to(found.device)]).tolist()
        if update[0]:
            self._updates.append(update)
        if len(self._updates) == UPDATES:
            self._judge()
            self._updates.clear()

    def _judge(self) -> None:
        columns = list(zip(*self._updates, strict=True))
        if _unexplained(columns[0], [1.0] * UPDATES) < VARIED or _unexplained(columns[0], [-1.0] * UPDATES) < VARIED:
            return
        rest = {name: _unexplained(columns[0], of) for name, of in zip(CANDIDATES, columns[1:], strict=True)}
        fits = [name for name, share in rest.items() if share < EXPLAINED]
        if self._loss in fits:
            self._judged = True
        elif len(fits) == 1 and rest.get(self._loss, 1.0) > UNEXPLAINED:
            self._judged = True
            self._say(
                "least_squares" if fits == ["lsgan"] else "loss",
                f"D is trained with the loss {fits[0]!r}, by the gradient at its last bias in {UPDATES} updates, but "
                f"adversarial is {self._loss!r}: say adversarial={fits[0]!r}",
            )

    def _owner_of(self, bias: Tensor) -> Watched | None:
        for one in self._optimizers.by_role.get("d", ()):
            if any(bias is parameter for group in one.optimizer.param_groups for parameter in group["params"]):
                return one
        return None


def _first(logits: Tensor | Sequence[Tensor]) -> Tensor:
    several: Any = logits
    first: Tensor = several[0] if isinstance(several, list | tuple) else several
    return first


def _slopes(real: Tensor, fake: Tensor) -> Tensor:
    """By how much each loss of D's grows with a shift of all of its outputs."""
    import torch

    with torch.enable_grad():
        shift = torch.zeros((), dtype=torch.float64, device=real.device, requires_grad=True)
        sides = real.detach().double() + shift, fake.detach().double() + shift
        losses = [BUILT_IN[name].discriminator_loss(*sides, 1.0, 0.0) for name in CANDIDATES]
        return torch.stack([torch.autograd.grad(halves.real + halves.fake, shift)[0] for halves in losses])


def _biases(node: Any) -> Iterator[Tensor]:
    """Weights of one number that are added to these logits, as far as their graph shows at its end."""
    while node is not None and node.name().startswith((*ARRANGING, "Mean")):
        node = node.next_functions[0][0] if node.next_functions else None
    if node is None:
        return
    name = node.name()
    if name.startswith(("Addmm", "Convolution", "Add")):
        for behind, _ in node.next_functions:
            while behind is not None and behind.name().startswith(ARRANGING):
                behind = behind.next_functions[0][0]
            if behind is not None and hasattr(behind, "variable") and behind.variable.numel() == 1:
                yield behind.variable
            elif name.startswith("AddBackward"):
                yield from _biases(behind)


def _unexplained(found: Sequence[float], expected: Sequence[float]) -> float:
    """Which share of the squares of what was found no positive multiple of what was expected explains."""
    squares = sum(e * e for e in expected)
    factor = sum(f * e for f, e in zip(found, expected, strict=True)) / squares if squares else 0.0
    if not factor > 0:
        return 1.0
    rest = sum((f - factor * e) ** 2 for f, e in zip(found, expected, strict=True))
    return rest / sum(f * f for f in found)
