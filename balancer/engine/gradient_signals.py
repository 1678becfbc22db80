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


def how_often(asked: int | None, composition: Composition) -> int:
    """Steps between two measurements, 0 for never; if nobody asked, 16 where a plugin reads them."""
    if asked is not None:
        return asked
    return 16 if any(name in GRADIENT_SIGNALS for plugin in composition.plugins for name in plugin.reads) else 0


class GradientSignals:
    """Measures `g_grad_*` and `d_grad_norm` every `every` steps; 0 is never. It changes nothing of the run.

    All numbers of one moment are averaged over ranks together. Which ranks measured something goes with them, so that
    no rank waits for another.
    """

    def __init__(self, every: int) -> None:
        self.every: Final = every
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

    def add_images(
        self, terms: Mapping[str, Any], fake: Tensor, weight: Callable[[str], float], step: int, share: float | None
    ) -> None:
        """One pass of G, before its backward pass; `weight` is what a term weighs.

        Where it is known what `share` of the weighted sum the backward pass to come begins with, that pass tells of the
        other terms; else they have one of their own, as in half precision, in which a difference would be inexact.

        Raises:
            ConfigError: a term is outside the graph.
        """
        import torch

        if "adv" not in terms:
            return
        adv = gradients_of("adv", terms["adv"], [fake], step)[0]
        if share is not None and fake.dtype == torch.float32:
            of_adv = weight("adv")

            def comes(gradient: Tensor) -> None:
                hook.remove()
                self._add(adv, gradient.detach() / share - of_adv * adv)

            hook = fake.register_hook(comes)  # type: ignore[no-untyped-call]
            return
        others = {term: weight(term) for term in terms if term not in ("adv", "g_loss")}
        weighed = [weight * terms[term] for term, weight in others.items() if weight]
        rest = torch.zeros_like(adv)
        if weighed:
            rest = gradients_of("the other terms", torch.stack(weighed).sum(), [fake], step)[0]
        self._add(adv, rest)

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
