"""A look at held-out items while a run trains: how well they are drawn, and whether D only knows what it trained on."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from balancer.contract.compose import Composition
from balancer.contract.model import GanModel, GOutput
from balancer.contract.signals import STRUCTURE_ERROR
from balancer.engine.balancer import Balancer
from balancer.train.undisturbed import undisturbed

if TYPE_CHECKING:
    from torch import Tensor, nn

    from balancer.contract.adversarial import Logits
    from balancer.contract.model import Batch


def probes_every(asked: int | None, composition: Composition) -> int:
    """Steps between two looks, 0 for never; if nobody asked, 50 where a plugin reads what they find."""
    if asked is not None:
        return asked
    return 50 if any(STRUCTURE_ERROR in plugin.reads for plugin in composition.plugins) else 0


def look_at_held_out(
    model: GanModel, balance: Balancer, sampler: nn.Module, G: nn.Module, D: nn.Module, device: Any
) -> dict[str, float]:
    """Figures of a fixed held-out batch by name; empty where the model holds nothing out.

    What the model measures is drawn by `sampler`, the average of G's weights where there is one. What D and G do to
    each other is measured on G as it trains:

    - `val/r_v`: mean logit on training reals less that on held-out reals, over that on training reals less that on
      generated images: 0 where D judges held-out images as it does those it trained on, 1 where it takes them for
      generated (Karras et al. 2020, ADA). Left out where D does not tell real from generated.
    - `val/grad_ratio`, `val/grad_cos`: norm of the gradient of G's weighted adversarial term at its images, over that
      of the other terms, and their cosine.

    Networks are in evaluation mode and see what no plugin transforms. Weights, gradients, buffers, modes and random
    state are left as they were.
    """
    with evaluating(sampler, G, D), undisturbed(sampler), undisturbed(G), undisturbed(D):
        held, seen = (
            None if batch is None else {name: value.to(device) for name, value in batch.items()}
            for batch in (model.probe_batch(held_out=True), model.probe_batch(held_out=False))
        )
        if held is None or seen is None:
            return {}
        figures = dict(model.probe(model.generate(sampler, held).images, held))
        real = model.discriminate(D, model.real(held), model.condition(held)).logits
        trained = mean_logit(model.discriminate(D, model.real(seen), model.condition(seen)).logits)
        drawn = model.generate(G, seen)
        told = trained - mean_logit(model.discriminate(D, drawn.images, _condition(model, seen, drawn)).logits)
        if told > 0:
            figures["r_v"] = (trained - mean_logit(real)) / told
        figures |= gradients(model, balance, model.generate(G, held), real, D, held)
    return {f"val/{name}": value for name, value in figures.items() if math.isfinite(value)}


def gradients(
    model: GanModel, balance: Balancer, fake: GOutput, real: Logits, D: nn.Module, batch: Batch
) -> dict[str, float]:
    """`grad_ratio` and `grad_cos` at G's images for a batch."""
    with torch.enable_grad():
        images = fake.images.detach().requires_grad_()
        judged = model.discriminate(D, images, _condition(model, batch, fake))
        terms = model.g_terms(fake._replace(images=images), judged, batch)
        adversarial = balance.weight("adv") * balance.loss.g(judged.logits, real if balance.loss.relative else None)
        others = [balance.weight(term) * value for term, value in terms.items() if value.requires_grad]
        of_adv, of_others = (
            torch.autograd.grad(loss, images, retain_graph=True)[0].flatten() if loss.requires_grad else images[:0]
            for loss in (adversarial, torch.stack(others).sum() if others else torch.zeros(()))
        )
    if not len(of_adv) or not len(of_others):
        return {}
    norms = float(of_adv.norm()), float(of_others.norm())
    if not all(norms):
        return {}
    return {"grad_ratio": norms[0] / norms[1], "grad_cos": float(of_adv @ of_others) / (norms[0] * norms[1])}


def mean_logit(logits: Logits) -> float:
    """Mean of D's logits, of all discriminators alike."""
    parts = [logits] if isinstance(logits, torch.Tensor) else [*logits]
    return float(torch.stack([part.float().mean() for part in parts]).mean())


@contextlib.contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Networks in evaluation mode; each module in its own mode again afterwards."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _condition(model: GanModel, batch: Batch, fake: GOutput) -> Tensor | None:
    return model.condition(batch) if fake.condition is None else fake.condition
