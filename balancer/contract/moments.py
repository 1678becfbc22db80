"""The moments of a GAN step at which plugins act, as pluggy hook specifications, and what a moment carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pluggy

if TYPE_CHECKING:
    from torch import Tensor

    from balancer.contract.adversarial import Halves, Logits

PROJECT: Final = "balancer"

hookspec: Final = pluggy.HookspecMarker(PROJECT)
hookimpl: Final = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Where a run stands; counters are those of steps and updates already done.

    `batch_size` is the number of items in a step, over all ranks; `steps` how many the run is planned to have, those
    before a resume included. They are None where the host did not say.
    """

    seed: int
    epoch: int
    step: int
    d_updates: int
    g_updates: int
    resumed: bool
    steps_per_epoch: int | None
    batch_size: int | None = None
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class StepContext:
    """One step as a plugin may see it.

    Tensors are there at the moments that say so, else None, on the run's device and still in the graph: `real` (B, …),
    `fake` (B · fakes per real, …) and `condition` (B, …) or None are D's inputs before `transform_d_input`, in the
    model's own range of values; `real_logits` and `fake_logits` are those of D's own loss, items first: lists
    where there are several discriminators. `fake_condition` is what D sees with `fake`.
    `discriminate(images, condition)` runs D once more and returns its logits; what it is to see as D's own input comes
    through `transform_d_input(images, condition)` first. `d_halves(real_logits, fake_logits)` is D's adversarial loss
    on further logits, as its halves, with the labels in use. All three are there in D's part.

    A plugin that says in `sees` that it must gets more: D's intermediate maps `real_features` and `fake_features`, in
    G's part too D's answer to real images, and before G's backward pass its `terms` by name, their `weights` as they
    stand (None where a script does not tell all of them), its images `fake`, and `gradient_norm(term, at)`,
    see `balancer.engine.gradients.TermGradients.norm`.

    Tensors are those of this rank's part of the batch, or of one micro-batch of it, and are gone after the moment.

    `step` and `epoch` count from 0; `epoch` is -1 where nobody counts them. Updates are those done already.
    """

    step: int
    epoch: int
    d_updates: int
    g_updates: int
    d_skipped: bool
    real: Tensor | None = None
    fake: Tensor | None = None
    condition: Tensor | None = None
    fake_condition: Tensor | None = None
    real_logits: Logits | None = None
    fake_logits: Logits | None = None
    discriminate: Callable[[Tensor, Tensor | None], Logits] | None = None
    transform_d_input: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor | None]] | None = None
    d_halves: Callable[[Logits, Logits], Halves] | None = None
    real_features: Sequence[Tensor] | None = None
    fake_features: Sequence[Tensor] | None = None
    terms: Mapping[str, Tensor] | None = None
    weights: Mapping[str, float] | None = None
    gradient_norm: Callable[..., float | None] | None = None


# What a moment shows besides numbers.
SHOWN: Final = tuple(
    name for name in StepContext.__slots__ if name not in ("step", "epoch", "d_updates", "g_updates", "d_skipped")
)


def release(ctx: StepContext) -> None:
    """The moment is over: a plugin that kept its context keeps no graph alive by it."""
    for name in SHOWN:
        object.__setattr__(ctx, name, None)


class Moments:
    """Every hook; a plugin implements those it needs, marked with `@hookimpl`."""

    @hookspec
    def on_run_start(self, run: RunInfo) -> None:
        """Everything is built and, on resume, restored; no step has been taken since."""

    @hookspec
    def on_epoch(self, run: RunInfo, epoch: int) -> None:
        """Before the first step of an epoch (0-based); not again after a mid-epoch resume."""

    @hookspec
    def on_step_start(self, ctx: StepContext) -> None:
        """The batch is on the device, G has not run; D's knobs are read right after this."""

    @hookspec
    def transform_d_input(  # type: ignore[empty-body]
        self, ctx: StepContext, images: Tensor, condition: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """D is about to see images, real or fake, in D's or in G's pass; returns both, transformed alike.

        The transformation must be differentiable. Several plugins form a chain in composition order.
        """

    @hookspec
    def d_loss_terms(self, ctx: StepContext) -> dict[str, Tensor] | None:
        """D's outputs exist; returns further named scalar terms that are added to D's loss."""

    @hookspec
    def before_d_backward(self, ctx: StepContext) -> None:
        """D's terms exist; last moment for `lr_d`."""

    @hookspec
    def after_d_step(self, ctx: StepContext) -> None:
        """D was updated, or was skipped (`ctx.d_skipped`); D's signals of this step are measured either way."""

    @hookspec
    def g_loss_terms(self, ctx: StepContext) -> dict[str, Tensor] | None:
        """G's terms exist; returns further named scalar terms that are added to G's loss."""

    @hookspec
    def before_g_backward(self, ctx: StepContext) -> None:
        """Last moment for G's knobs: `lambda_adv` is read right after this."""

    @hookspec
    def after_g_step(self, ctx: StepContext) -> None:
        """G was updated."""

    @hookspec
    def on_step_end(self, ctx: StepContext) -> None:
        """Before anything of this step is logged or saved."""

    @hookspec
    def on_epoch_end(self, run: RunInfo, epoch: int) -> None:
        """After the last step of an epoch."""

    @hookspec
    def on_run_end(self, run: RunInfo, error: BaseException | None) -> None:
        """Always the last call, also after an error."""


HOOK_NAMES: Final = tuple(name for name in vars(Moments) if not name.startswith("_"))
# A step has two parts, D's and G's, which a host may take in either order.
D_MOMENTS: Final = ("transform_d_input", "d_loss_terms", "before_d_backward", "after_d_step")


def plugin_manager() -> pluggy.PluginManager:
    """A pluggy manager that knows the moments and nothing else."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Moments)
    return manager


def has_hook(plugin: object, hook: str) -> bool:
    """Whether a plugin's class has this hook; attributes that it makes up when asked are none."""
    return hook_options(getattr(type(plugin), hook, None)) is not None


def hook_options(function: Any) -> dict[str, Any] | None:
    """What `@hookimpl` noted on a function, or None if it is not marked."""
    options = getattr(function, f"{PROJECT}_impl", None)
    return options if isinstance(options, dict) else None
