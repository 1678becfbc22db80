"""Signals of gradients, measured now and then: of G's terms at its images, of networks at their optimizers' steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from balancer.contract.compose import Composition
from balancer.contract.signals import GRADIENT_SIGNALS
from balancer.engine.gradients import gradients_of, of_images
from balancer.engine.ranks import distributed_mean, group_device

if TYPE_CHECKING:
    from torch import Tensor

# Measurements of a script of which one is compared with its backward pass.
COMPARED: Final = 16


def how_often(asked: int | None, composition: Composition) -> int:
    """Steps between two measurements, 0 for never; if nobody asked, 16 where a plugin reads them."""
    if asked is not None:
        return asked
    return 16 if any(name in GRADIENT_SIGNALS for plugin in composition.plugins for name in plugin.reads) else 0


class GradientSignals:
    """Measures `g_grad_*` and `d_grad_norm` now and then. It changes nothing of the run.

    All numbers of one moment are averaged over ranks together. Which ranks measured something goes with them, so that
    no rank waits for another.

    Args:
        every: steps between two measurements; 0 is never.
        known: whether the host's backward pass of G is known to be that of the weighted sum of its terms.
    """

    def __init__(self, every: int, known: bool) -> None:
        self.every: Final = every
        self._known: Final = known
        # Whether the host's backward pass of G was that of the weighted sum of its terms when it was last compared.
        self._told = known
        # Of the update under way: squares of the adversarial and of the other terms' gradient at G's images, their
        # product, each summed over micro-batches; and how many these were.
        self._sums: list[Tensor] = []
        self._parts = 0
        # By role: the squares of the gradients that its optimizers last stepped on.
        self._squares: Final[dict[str, dict[int, Tensor]]] = {"d": {}, "g": {}}

    def due(self, step: int) -> bool:
        """Whether this step is measured."""
        return self.every > 0 and step % self.every == 0

    def begin_step(self) -> None:
        """Nothing is measured of this step yet."""
        self._sums, self._parts = [], 0
        for squares in self._squares.values():
            squares.clear()

    def state_dict(self) -> dict[str, Any]:
        """What is known of the host's backward passes, as primitives."""
        return {"told": self._told}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._told = state.get("told", self._told)

    def add_images(self, terms: Mapping[str, Any], fake: Tensor, weight: Callable[[str], float], step: int) -> None:
        """One pass of G, before its backward pass; `weight` is what a term weighs.

        The backward pass to come tells of the other terms: what arrives at one term is its weight times a factor (of a
        scaler, of micro-batches), and what arrives at the images is the whole. In half precision, in which a difference
        would be inexact, they have a pass of their own; so they have where the whole was not the weighted sum when the
        two were compared, as is done at first and in every so many measurements.

        Raises:
            ConfigError: a term is outside the graph.
        """
        import torch

        if "adv" not in terms:
            return
        adv = gradients_of("adv", terms["adv"], [fake], step)[0]
        weights = {term: weight(term) for term in terms if term != "g_loss"}
        of_adv, counted = weights.pop("adv"), [term for term, value in weights.items() if value]
        exact = fake.dtype == torch.float32
        compares = exact and not self._known and step // self.every % COMPARED == 0
        if exact and self._told and not compares:
            self._listen(terms, fake, {"adv": of_adv, **weights}, lambda whole: self._add(adv, whole - of_adv * adv))
            return
        rest = torch.zeros_like(adv)
        if counted:
            weighed = torch.stack([weights[term] * terms[term] for term in counted]).sum()
            rest = gradients_of("the other terms", weighed, [fake], step)[0]
        self._add(adv, rest)
        if compares:
            expected = of_adv * adv + rest
            self._told = False  # unless the pass comes
            self._listen(terms, fake, {"adv": of_adv, **weights}, lambda whole: self._compare(whole, expected))

    def _compare(self, whole: Tensor, expected: Tensor) -> None:
        self._told = bool((whole - expected).norm() < 1e-4 * expected.norm())

    def _listen(
        self, terms: Mapping[str, Any], fake: Tensor, weights: Mapping[str, float], take: Callable[[Tensor], None]
    ) -> None:
        """Hand over the gradient of the weighted sum of terms at the images, when the host's backward pass has it."""
        known = next((term for term, value in weights.items() if value), None)
        if known is None:  # nothing will come
            return
        factors: list[Tensor] = []

        def comes_to_term(gradient: Tensor) -> None:
            factors.append(gradient.detach().float() / weights[known])

        def comes(gradient: Tensor) -> None:
            for hook in hooks:
                hook.remove()
            if factors:
                take(gradient.detach() / factors[0])

        hooks = terms[known].register_hook(comes_to_term), fake.register_hook(comes)  # type: ignore[no-untyped-call]

    def _add(self, adv: Tensor, rest: Tensor) -> None:
        import torch

        with torch.no_grad():
            found = [adv.square().sum(), rest.square().sum(), (adv * rest).sum()]
        self._sums = [one + two for one, two in zip(self._sums, found, strict=True)] if self._sums else found
        self._parts += 1

    def stepped(self, role: str, index: int, optimizer: Any) -> None:
        """An optimizer's step is over: these are the gradients that it took."""
        import torch

        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        dense = [gradient for gradient in gradients if not gradient.is_sparse]
        if dense:
            with torch.no_grad():
                norms = torch.stack([norm.float().to(dense[0].device) for norm in torch._foreach_norm(dense)])
                self._squares[role][index] = norms.square().sum()

    def result(self, role: str) -> dict[str, float]:
        """What was measured of this network's update, averaged over ranks; the next one begins."""
        import torch

        squares = list(self._squares[role].values())
        parameters = torch.stack(squares).sum() if squares else None
        images, parts = (self._sums, self._parts) if role == "g" else ([], 0)
        if role == "g":
            self._sums, self._parts = [], 0
        self._squares[role].clear()
        some = images[0] if images else parameters
        mean = distributed_mean()
        if mean is None and some is None:
            return {}
        device = group_device() if some is None else some.device
        zero = torch.zeros((), device=device)
        vector = torch.stack(
            [
                *(images or [zero] * 3),
                zero + bool(images),
                zero if parameters is None else parameters,
                zero + (parameters is not None),
            ]
        )
        adv, rest, product, seen, norm, stepped = (vector if mean is None else mean(vector)).tolist()
        found = {}
        if seen:
            # Ranks that measured nothing count for nothing.
            found["g_grad_adv"] = of_images(torch.tensor(adv / seen), parts or 1)
            if rest:
                found["g_grad_rec"] = of_images(torch.tensor(rest / seen), parts or 1)
            if adv * rest > 0:
                found["g_grad_cos"] = min(max(product / math.sqrt(adv) / math.sqrt(rest), -1.0), 1.0)
        if stepped:
            found[f"{role}_grad_norm"] = math.sqrt(norm / stepped)
        return {name: value for name, value in found.items() if math.isfinite(value)}
