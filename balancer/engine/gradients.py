"""Gradients of G's terms, at G's images and at its last layer, as laws ask for them before G's backward pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from balancer.engine.ranks import distributed_mean
from balancer.errors import ConfigError, PluginError, suggestion

if TYPE_CHECKING:
    from torch import Tensor

Place = Literal["last_layer", "output"]
PLACES: Final = ("last_layer", "output")


class TermGradients:
    """The gradients of G's terms over the whole batch, at the moment `before_g_backward` and no longer.

    Of one pass they are computed when somebody asks, and the graph stays for the backward pass to come. Of several
    micro-batches each part is added beforehand, with its graph, of which nothing is kept.

    Args:
        last_layer: the weight of G's last layer, or None: then its place is taken by G's images.
    """

    def __init__(self, last_layer: Tensor | None, step: int) -> None:
        self._last_layer = last_layer
        self._step: Final = step
        # The one pass under way, whose graph is there.
        self._terms: dict[str, Any] = {}
        self._fake: Tensor | None = None
        # By term and place, of each part.
        self._found: Final[dict[tuple[str, Place], list[Tensor]]] = {}
        self._parts = 0

    def show(self, terms: Mapping[str, Any], fake: Tensor) -> None:
        """The one pass of the whole batch; its graph is there until `release`."""
        self._terms, self._fake, self._parts = dict(terms), fake, 1

    def add(self, terms: Mapping[str, Any], fake: Tensor) -> None:
        """One of several parts of the batch, of equal size."""
        self.show(terms, fake)
        for term in terms:
            for place, gradient in self._computed(term).items():
                self._found.setdefault((term, place), []).append(gradient)
        parts = len(next(iter(self._found.values()), []))
        self._terms, self._fake = {}, None
        self._parts = parts

    def release(self) -> None:
        """The moment is over: keep nothing of the graph."""
        self._terms, self._fake, self._last_layer, self._parts = {}, None, None, 0
        self._found.clear()

    def norm(self, term: str | Mapping[str, float], at: Place = "last_layer") -> float | None:
        """The norm of the gradient of a term, or of a weighted sum of terms, over the whole batch and all ranks.

        It is computed in fp32; None where it is not finite, as may happen in half precision.

        Raises:
            PluginError: no such term or place, or the moment is over.
            ConfigError: the host passed the term outside the graph.
        """
        import torch

        if not self._parts:
            raise PluginError(
                "ctx.gradient_norm works within before_g_backward only: keep its result, not the function"
            )
        if at not in PLACES:
            raise PluginError(f"ctx.gradient_norm: at = {at!r}: is 'last_layer' or 'output'")
        place: Place = "output" if self._last_layer is None else at
        weights = {term: 1.0} if isinstance(term, str) else dict(term)
        with torch.no_grad():
            parts = [self._of_part(weights, place, index) for index in range(self._parts)]
            mean = distributed_mean()
            if place == "last_layer":  # one parameter: its gradient is the mean over parts and ranks
                whole = torch.stack(parts).mean(dim=0)
                value = float(torch.linalg.vector_norm(whole if mean is None else mean(whole)))
            else:  # each part's images are a share of the batch
                squares = torch.stack([part.square().sum() for part in parts]).sum()
                value = of_images(squares if mean is None else mean(squares), self._parts)
        return value if math.isfinite(value) else None

    def _of_part(self, weights: Mapping[str, float], place: Place, index: int) -> Tensor:
        gradients = []
        for term, weight in weights.items():
            if (term, place) not in self._found:
                if term not in self._terms:
                    known = sorted({*self._terms, *(name for name, _ in self._found)})
                    raise PluginError(f"ctx.gradient_norm: G has no term {term}: {suggestion(term, known)}")
                for found, gradient in self._computed(term).items():
                    self._found[term, found] = [gradient]
            gradients.append(weight * self._found[term, place][index])
        if not gradients:
            raise PluginError("ctx.gradient_norm: no term was named")
        total = gradients[0]
        for gradient in gradients[1:]:
            total = total + gradient
        return total

    def _computed(self, term: str) -> dict[Place, Tensor]:
        """One term's gradients at both places, in fp32."""
        assert self._fake is not None
        places: list[tuple[Place, Tensor]] = [("output", self._fake)]
        if self._last_layer is not None:
            places.append(("last_layer", self._last_layer))
        found = gradients_of(term, self._terms[term], [tensor for _, tensor in places], self._step)
        return {place: gradient for (place, _), gradient in zip(places, found, strict=True)}


def gradients_of(term: str, value: Any, at: list[Tensor], step: int) -> list[Tensor]:
    """The gradient of one term at each of these tensors, in fp32; zeros where it does not depend on one.

    Raises:
        ConfigError: the term, or what it is to be derived by, is outside the graph.
    """
    import torch

    if not isinstance(value, torch.Tensor) or not value.requires_grad:
        raise ConfigError(
            f"step {step}: {term} was passed to before_g_backward outside the graph, and its gradient is asked for: "
            "pass the tensor itself, before detach() or item()"
        )
    if not at[0].requires_grad:
        raise ConfigError(
            f"step {step}: fake= was passed to before_g_backward outside the graph, and gradients at it are asked for: "
            "pass G's images as they are, before detach()"
        )
    found = torch.autograd.grad(value, at, retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(tensor, dtype=torch.float32) if one is None else one.detach().float()
        for one, tensor in zip(found, at, strict=True)
    ]


def of_images(mean_of_squares: Tensor, parts: int) -> float:
    """A norm at G's images over the whole batch, of which each rank and part has a share and its own mean of a loss.

    Args:
        mean_of_squares: over ranks, each rank's sum of squares over its `parts`.
    """
    import torch

    ranks = 1 if distributed_mean() is None else torch.distributed.get_world_size()
    return math.sqrt(float(mean_of_squares) / ranks) / parts
