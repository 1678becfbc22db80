"""Plugins that do what no hook may with images, batches, terms and networks. Each with what must catch it."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook

from balancer import Plugin, SignalSpec, StepContext, hookimpl

# The plugin, the check that must catch it, and words of its sentence.
Fault = tuple[type[Plugin], str, str]


class InPlace(Plugin):
    """Adds noise to the images that it is given."""

    name = "in_place"

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        with torch.no_grad():
            images.add_(0.01 * torch.randn(images.shape, generator=self.rng))
        return images, condition


class InPlaceThroughData(Plugin):
    """Changes the batch where no counter of torch sees it."""

    name = "in_place_through_data"

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        assert ctx.real is not None
        ctx.real.data.mul_(0.5)


class NotDifferentiable(Plugin):
    """Cuts the graph: G learns nothing from D."""

    name = "not_differentiable"

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        return images.detach(), condition


class Rounds(Plugin):
    """Has a gradient, which is 0 everywhere."""

    name = "rounds"

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        return torch.round(images * 4) / 4, condition


class Crops(Plugin):
    """Returns images of another shape."""

    name = "crops"

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        return F.pad(images[..., :-2], (1, 0)), condition


class ForgetsCondition(Plugin):
    """Returns images alone."""

    name = "forgets_condition"

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        return images


class Detached(Plugin):
    """A term for D that trains nothing."""

    name = "detached"

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> Any:
        assert ctx.real_logits is not None
        return {"drift": 0.001 * ctx.real_logits.detach().square().mean()}


class DetachedG(Plugin):
    """A term for G on D's logits, cut off."""

    name = "detached_g"

    @hookimpl
    def g_loss_terms(self, ctx: StepContext) -> Any:
        with torch.no_grad():
            return {"match": ctx.fake_logits.float().square().mean()}  # type: ignore[union-attr]


class OnRealAlone(Plugin):
    """Needs a gradient of its own making, of which none reaches D."""

    name = "on_real_alone"

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> Any:
        scale = torch.ones((), requires_grad=True)
        return {"brightness": (scale * ctx.real).square().mean()}


class NotScalar(Plugin):
    """A term for each item."""

    name = "not_scalar"

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> Any:
        return {"drift": ctx.real_logits.flatten(1).mean(1)}  # type: ignore[union-attr]


class PlainNumber(Plugin):
    """A term that is no tensor."""

    name = "plain_number"

    @hookimpl
    def g_loss_terms(self, ctx: StepContext) -> Any:
        return {"nothing": 0.5}


class HalfPrecision(Plugin):
    """A logarithm of what half precision rounds to 0."""

    name = "half_precision"

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> Any:
        assert ctx.real_logits is not None
        features = F.normalize(ctx.real_logits.flatten(1), dim=1)
        alike = features @ features.T
        return {"variety": -1e-3 * (alike.new_tensor(1.001) - alike).log().mean()}


class ReachesForD(Plugin):
    """Gets hold of D by a hook on all modules, and moves it."""

    name = "reaches_for_d"

    @hookimpl
    def on_run_start(self, run: Any) -> None:
        self.hook = register_module_forward_hook(self.look)

    def look(self, module: torch.nn.Module, given: Any, result: Any) -> None:
        if type(module).__name__ == "Discriminator":
            self.found = module

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        with torch.no_grad():
            for parameter in self.found.parameters():
                parameter.mul_(0.999)

    @hookimpl
    def on_run_end(self, run: Any, error: Any) -> None:
        self.hook.remove()


class OwnBackward(Plugin):
    """Trains by itself, in the middle of D's step."""

    name = "own_backward"

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        assert ctx.real_logits is not None
        ctx.real_logits.mean().backward(retain_graph=True)  # type: ignore[no-untyped-call]


class GradientHook(Plugin):
    """Scales D's gradients behind everybody's back."""

    name = "gradient_hook"

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        assert ctx.real_logits is not None
        ctx.real_logits.register_hook(lambda gradient: 0.5 * gradient)  # type: ignore[no-untyped-call]


class MarksTheBatch(Plugin):
    """Makes the real images of all want a gradient."""

    name = "marks_the_batch"

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        assert ctx.real is not None
        ctx.real.requires_grad_()


class NotANumber(Plugin):
    """Publishes NaN at the end of a step, where nobody looks."""

    name = "not_a_number"
    brings_signals = (SignalSpec("not_a_number_signal", "plugin", "nothing"),)

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        self.publish("not_a_number_signal", float("nan"))


WITH_TENSORS: list[Fault] = [
    (InPlace, "tensors", "changes images in place"),
    (InPlaceThroughData, "tensors", "changes ctx.real in place"),
    (NotDifferentiable, "transform", "not differentiable"),
    (Rounds, "transform", "not differentiable"),
    (Crops, "transform", "keep the shape"),
    (ForgetsCondition, "trains", ""),
    (Detached, "terms", "detached"),
    (DetachedG, "terms", "detached"),
    (OnRealAlone, "terms", "no gradient of it reaches D"),
    (NotScalar, "terms", "reduce it to a scalar"),
    (PlainNumber, "terms", "return a tensor"),
    (HalfPrecision, "trains", ""),
    (ReachesForD, "tensors", "a plugin touches no network"),
    (OwnBackward, "tensors", "the gradient of D."),
    (GradientHook, "tensors", "the gradient hooks of ctx.real_logits"),
    (MarksTheBatch, "tensors", "requires_grad of ctx.real"),
    (NotANumber, "terms", "publishes not_a_number_signal as nan"),
]
