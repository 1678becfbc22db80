"""Plugins that decide by what one rank or one part saw, break at extremes, or say what is not so; with their checks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from balancer import KnobSpec, Plugin, PluginConfig, SignalSpec, StepContext, hookimpl
from support.faulty_memories import Counting, Fault

# Ranks.


class LocalGate(Plugin):
    """Lets D rest by the logits that its rank saw."""

    name = "local_gate"
    writes = {"d_update": ("gate",)}

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        assert ctx.real_logits is not None
        self.spread = float(ctx.real_logits.detach().std())

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        if hasattr(self, "spread"):
            self.knobs["d_update"].gate(int(self.spread * 1e6) % 2 == 0)


class LocalWeight(Plugin):
    """Weighs by the real images that its rank saw."""

    name = "local_weight"
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        assert ctx.real is not None
        self.knobs["lambda_adv"].mul(1.0 + abs(float(ctx.real.mean())))


class RankRandom(Plugin):
    """Seeds its generator with the rank."""

    name = "rank_random"
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        draw = torch.Generator().manual_seed(ctx.step + 100 * int(os.environ.get("RANK", "0")))
        self.knobs["lambda_adv"].mul(0.5 + float(torch.rand(1, generator=draw)))


class FirstRankAlone(Plugin):
    """Acts on the first rank only, as it does for logging."""

    name = "first_rank_alone"
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        if os.environ.get("RANK", "0") == "0":
            self.knobs["lambda_adv"].mul(0.5)


class LocalMemory(Counting):
    """Remembers what its rank saw; a resume gives all ranks that of the first."""

    name = "local_memory"
    sum = 0.0

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        assert ctx.real is not None
        self.sum += float(ctx.real.mean())

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "sum": self.sum}

    def load_state_dict(self, state: Any, version: int) -> None:
        self.count, self.sum = state["count"], state["sum"]


class DrawsByItems(Plugin):
    """Draws as often as its part of the batch asks for, so that the ranks' generators part."""

    name = "draws_by_items"

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        assert ctx.real is not None
        for _ in range(int(float(ctx.real.abs().mean()) * 1e5) % 7):
            torch.rand(1, generator=self.rng)


# Parts of a batch, steps without D, and extremes.


class CountsParts(Plugin):
    """Takes each part of a batch for a step."""

    name = "counts_parts"
    writes = {"lambda_adv": ("mul",)}

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.calls = 0

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        self.calls += 1

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].mul(1.0 / (1 + self.calls))

    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def load_state_dict(self, state: Any, version: int) -> None:
        self.calls = state["calls"]


class FirstPartOnly(CountsParts):
    """Adds its term to the first part of a batch only."""

    name = "first_part_only"

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> Any:
        first, self.calls = self.calls != ctx.step + 1, ctx.step + 1
        return {"drift": ctx.real_logits.square().mean()} if first else None  # type: ignore[union-attr]

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None: ...


class Sums(Plugin):
    """Its term grows with the number of items."""

    name = "sums"

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> Any:
        return {"drift": 1e-4 * ctx.real_logits.square().sum()}  # type: ignore[union-attr]


class NeedsD(Plugin):
    """Takes for granted that D was updated."""

    name = "needs_d"

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        self.logits: Any = None

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        self.logits = ctx.real_logits.detach().clone()  # type: ignore[union-attr]

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.logits = self.logits.mean()


class Divides(Plugin):
    """Divides by what it reads."""

    name = "divides"
    reads = ("d_adv",)
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        reading = self.signals["d_adv"]
        if reading is not None:
            self.knobs["lambda_adv"].mul(0.25 / reading.value)


class NoGaps(Plugin):
    """Takes for granted that a signal has a value."""

    name = "no_gaps"
    reads = ("d_adv",)
    writes = {"lambda_adv": ("max",)}

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].max(min(1.0, self.signals["d_adv"].value))  # type: ignore[union-attr]


# Switches, and what a config or a class says.


class StillWrites(Plugin):
    """Writes where it is switched off."""

    name = "still_writes"
    writes = {"lambda_adv": ("mul",)}

    class Config(PluginConfig):
        """Settings."""

        enabled: bool = Field(True, description="whether it acts")

    @hookimpl
    def on_run_start(self, run: Any) -> None:
        self.knobs["lambda_adv"].mul(1.0 if self.config.enabled else 0.999)


class Folder(Plugin):
    """Its config holds what TOML gives back as something else."""

    name = "folder"

    class Config(PluginConfig):
        """Settings."""

        marks: dict[int, float] = Field({1: 0.5}, description="by epoch")
        where: Path | str = Field(Path(), description="where")


class Undeclared(Plugin):
    """Turns what it did not declare."""

    name = "undeclared"

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].set(1.0)


class Idle(Plugin):
    """Declares everything and does nothing: remarks, which are failures where they are to be."""

    name = "idle"
    reads = ("d_adv",)
    writes = {"lambda_adv": ("mul", "max")}
    brings_signals = (SignalSpec("idle_signal", "plugin", "never published"),)
    brings_knobs = (KnobSpec("idle_knob", "never read", ("set",), "on_step_start"),)

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> Any:
        return {} if ctx.step < 1000 else {"late": ctx.step}

    @hookimpl
    def g_loss_terms(self, ctx: StepContext) -> None: ...


OF_DECISION: list[Fault] = [
    (LocalGate, "two ranks", "decide on signals"),
    (LocalWeight, "two ranks", "rank 0 says mul lambda_adv"),
    (RankRandom, "two ranks", "rank 0 says mul lambda_adv"),
    (FirstRankAlone, "two ranks", "rank 1 None"),
    (LocalMemory, "two ranks", "different states"),
    (DrawsByItems, "two ranks", "different states"),
    (CountsParts, "micro-batches", "in two parts"),
    (FirstPartOnly, "trains", ""),
    (Sums, "micro-batches", "the term drift"),
    (NeedsD, "trains", "skipped D"),
    (Divides, "extremes", "all it reads is 0"),
    (NoGaps, "extremes", "a signal has no number"),
    (StillWrites, "switched off", "with enabled = false it writes all the same"),
    (Folder, "config", "TOML"),
    (Undeclared, "trains", "without declaring it"),
]
