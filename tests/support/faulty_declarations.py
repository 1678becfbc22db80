"""Plugins that do not do what they declare, or do what they do not declare; each with the check that must tell it."""

from __future__ import annotations

from typing import Any

import torch

from balancer import Plugin, StepContext, hookimpl
from support.faulty_processes import Fault


class TermNotDeclared(Plugin):
    """Returns a term that nobody was told of."""

    name = "term_not_declared"

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> Any:
        return {"drift": 1e-3 * ctx.real_logits.square().mean()}  # type: ignore[union-attr]


class TermNeverReturned(Plugin):
    """Declares two terms and returns one."""

    name = "term_never_returned"
    brings_terms = ("drift", "spread")

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> Any:
        return {"drift": 1e-3 * ctx.real_logits.square().mean()}  # type: ignore[union-attr]


class SeesNothing(Plugin):
    """Has D's answers, its maps and G's gradients made for it, and looks at none of them."""

    name = "sees_nothing"
    sees = ("real_logits", "features", "gradients")

    @hookimpl
    def g_loss_terms(self, ctx: StepContext) -> None:
        assert ctx.fake_logits is not None

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None: ...


class NeverRequests(Plugin):
    """Declares a request that it never makes."""

    name = "never_requests"
    requests = ("end",)

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None: ...


class RequestNotDeclared(Plugin):
    """Requests what it did not declare."""

    name = "request_not_declared"

    @hookimpl
    def after_g_step(self, ctx: StepContext) -> None:
        self.request("end", "it is enough")


class RequestsByRank(Plugin):
    """Asks for an end by what its rank saw."""

    name = "requests_by_rank"
    requests = ("end",)

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        assert ctx.real is not None
        if int(float(ctx.real.abs().mean()) * 1e6) % 2:
            self.request("end", "its images are odd")


class DecidesByRankDraws(Plugin):
    """Turns a knob by the generator that differs between ranks."""

    name = "decides_by_rank_draws"
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].mul(0.5 + float(torch.rand(1, generator=self.rank_rng)))


class ResumesElsewhere(Plugin):
    """Begins its rank's draws anew wherever it is restored."""

    name = "resumes_elsewhere"

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        return images + 0.01 * torch.randn(images.shape, generator=self.rank_rng), condition

    def rank_rng_state(self) -> torch.Tensor | None:
        return None


class ChangesMaps(Plugin):
    """Changes D's maps in place."""

    name = "changes_maps"
    sees = ("features",)

    @hookimpl
    def g_loss_terms(self, ctx: StepContext) -> None:
        assert ctx.real_features is not None and ctx.fake_features is not None
        ctx.real_features[0].data.mul_(0.5)


class ChangesTerms(Plugin):
    """Changes one of G's terms in place, before its backward pass."""

    name = "changes_terms"
    sees = ("gradients",)

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        assert ctx.terms is not None
        ctx.terms["adv"].data.mul_(2.0)


class BackwardOfTerms(Plugin):
    """Takes a term's gradient by a backward pass of its own, which reaches G."""

    name = "backward_of_terms"
    sees = ("gradients",)

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        assert ctx.terms is not None
        ctx.terms["adv"].backward(retain_graph=True)  # type: ignore[no-untyped-call]


class KeepsItsContext(Plugin):
    """Measures gradients when the moment is over."""

    name = "keeps_its_context"
    sees = ("gradients",)
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        assert ctx.gradient_norm is not None
        self.norm = ctx.gradient_norm

    @hookimpl
    def after_g_step(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].mul(1.0 / (1.0 + (self.norm("adv") or 0.0)))


class Declared(Plugin):
    """Sees, brings, requests and draws what it declares, and nothing else: no fault."""

    name = "declared"
    sees = ("real_logits", "features", "gradients")
    requests = ("checkpoint",)
    brings_terms = ("match",)
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        return images + 0.01 * torch.randn(images.shape, generator=self.rank_rng), condition

    @hookimpl
    def g_loss_terms(self, ctx: StepContext) -> Any:
        assert ctx.real_features is not None and ctx.fake_features is not None and ctx.real_logits is not None
        both = zip(ctx.real_features, ctx.fake_features, strict=True)
        apart = [(one.mean(0) - two.mean(0)).square().mean() for one, two in both]
        return {"match": 0.1 * torch.stack(apart).mean() * float(ctx.real_logits.isfinite().all())}  # type: ignore[union-attr]

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        assert ctx.gradient_norm is not None
        norm = ctx.gradient_norm("adv")
        self.knobs["lambda_adv"].mul(1.0 if norm is None else 1.0 / (1.0 + norm))

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        if ctx.step == 1:
            self.request("checkpoint", "the second step is over")


OF_DECLARATION: list[Fault] = [
    (TermNotDeclared, "terms", "returns the term drift without declaring it"),
    (TermNeverReturned, "exercised", "it brings the term spread"),
    (SeesNothing, "exercised", "it sees real_logits"),
    (SeesNothing, "exercised", "it sees features"),
    (SeesNothing, "exercised", "it sees gradients"),
    (NeverRequests, "exercised", "it requests end"),
    (RequestNotDeclared, "trains", "without declaring it"),
    (RequestsByRank, "two ranks", "says request end"),
    (DecidesByRankDraws, "two ranks", "says mul lambda_adv"),
    (ResumesElsewhere, "resume", "goes another way"),
    (ChangesMaps, "tensors", "changes ctx.real_features[0] in place"),
    (ChangesTerms, "tensors", "changes ctx.terms['adv'] in place"),
    (BackwardOfTerms, "tensors", "the gradient of "),
    (KeepsItsContext, "trains", "works within before_g_backward only"),
]
