"""Plugins that forget, hand out what they go on changing, or go by a clock or dice of their own; with their checks."""

from __future__ import annotations

import random
import time
from datetime import datetime
from typing import Any, ClassVar

from balancer import Plugin, StepContext, hookimpl

Fault = tuple[type[Plugin], str, str]


class Counting(Plugin):
    """Halves the weight after some D updates that it counts itself, and stores the count: without a fault."""

    name = "counting"
    writes = {"lambda_adv": ("mul",)}

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.count = 0

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.count += not ctx.d_skipped
        self.knobs["lambda_adv"].mul(0.5 if self.count > 5 else 1.0)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: Any, version: int) -> None:
        self.count = state["count"]


class NotStored(Counting):
    """Stores nothing."""

    name = "not_stored"

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Any, version: int) -> None: ...


class Forgotten(Counting):
    """Stores its state and never takes it back."""

    name = "forgotten"

    def load_state_dict(self, state: Any, version: int) -> None: ...


class StoredLate(Counting):
    """What it forgets would matter only much later."""

    name = "stored_late"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.seen: list[int] = []

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        self.seen.append(ctx.step)


class BeginsAgain(Counting):
    """Sets its count to 0 whenever a run starts, a resumed one too."""

    name = "begins_again"

    @hookimpl
    def on_run_start(self, run: Any) -> None:
        self.count = 0


class HandsOutItsOwn(Plugin):
    """The state that it returns goes on changing."""

    name = "hands_out_its_own"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.memory: dict[str, Any] = {"steps": 0}

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        self.memory["steps"] += 1

    def state_dict(self) -> dict[str, Any]:
        return self.memory

    def load_state_dict(self, state: Any, version: int) -> None:
        self.memory = dict(state)


class NoPrimitive(Counting):
    """Its state holds what no checkpoint takes."""

    name = "no_primitive"

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "seen": {1, 2}}


class InTheClass(Plugin):
    """Counts in an attribute of the class, which all runs share."""

    name = "in_the_class"
    total: ClassVar[int] = 0

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        type(self).__mro__[1].total += 1  # type: ignore[attr-defined]


RUNS: dict[str, int] = {"made": 0}


class InTheModule(Plugin):
    """The second run of a process is another one than the first."""

    name = "in_the_module"
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def on_run_start(self, run: Any) -> None:
        RUNS["made"] += 1
        self.knobs["lambda_adv"].mul(1.0 / RUNS["made"])


class WallClock(Plugin):
    """Counts seconds, not steps."""

    name = "wall_clock"
    writes = {"lambda_adv": ("mul",)}

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.began = time.monotonic()

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].mul(0.5 if time.monotonic() - self.began > 1800 else 1.0)


class Calendar(Plugin):
    """Another law on another day."""

    name = "calendar"
    writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].mul(1.0 + datetime.now().hour / 24)


class Entropy(Plugin):
    """A generator of its own, seeded by the system."""

    name = "entropy"
    writes = {"lambda_adv": ("mul",)}

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.dice = random.Random()

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        self.knobs["lambda_adv"].mul(self.dice.uniform(0.5, 1.0))


class KeepsGraphs(Plugin):
    """Remembers logits with all that made them."""

    name = "keeps_graphs"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.last: Any = None

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> None:
        self.last = ctx.real_logits


OF_MEMORY: list[Fault] = [
    (NotStored, "state", "it remembers count"),
    (Forgotten, "state", "it remembers count"),
    (StoredLate, "state", "it remembers seen"),
    (BeginsAgain, "resume", "resumed after"),
    (HandsOutItsOwn, "state", "return copies"),
    (NoPrimitive, "state", "cannot be stored"),
    (InTheClass, "state", "class attribute total"),
    (InTheModule, "equal runs", "lambda_adv is"),
    (WallClock, "equal runs", "reads time.monotonic"),
    (Calendar, "equal runs", "reads datetime.now"),
    (Entropy, "equal runs", "two equal runs differ"),
    (KeepsGraphs, "state", "keeps the graph"),
]
