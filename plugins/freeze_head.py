"""freeze_head: a head of D rests at the beginning of a run, so that D does not learn two things at once."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from balancer import CompositionView, Plugin, PluginConfig, RunInfo, StepContext, hookimpl
from balancer.errors import CompositionError


class FreezeHead(Plugin):
    """Freezes a named head until a clock reaches `until`; its terms weigh 0 for D and for G meanwhile."""

    name = "freeze_head"
    writes = {"d_frozen": ("add",)}

    class Config(PluginConfig):
        """Settings of freeze_head."""

        head: str = Field("category", description="the head (source document, remedy 10)")
        until: int = Field(10, ge=0, description="how long (the source document says 10–20 epochs)")
        clock: Literal["epoch", "step", "d_update"] = Field("epoch", description="what until counts")

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        # For a run that it joins in mid-epoch, where on_epoch does not come.
        if self.config.clock == "epoch":
            self._hold(run.epoch)

    @hookimpl
    def on_epoch(self, run: RunInfo, epoch: int) -> None:
        if self.config.clock == "epoch":
            self._hold(epoch)

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        if self.config.clock != "epoch":
            self._hold(ctx.step if self.config.clock == "step" else ctx.d_updates)

    def _hold(self, count: int) -> None:
        if count < self.config.until:
            self.knobs["d_frozen"].add(self.config.head)
        else:
            self.knobs["d_frozen"].withdraw("add")

    def check(self, composition: CompositionView) -> Iterable[str]:
        heads = composition.host.heads
        if self.config.head not in heads:
            raise CompositionError(
                f"freeze_head.head = {self.config.head!r}: {composition.host.name} has no such head of D; "
                f"known are {', '.join(heads) or 'none'}"
            )
        schedule = composition.configs.get("lambda_schedule")
        if schedule is not None and self.config.clock == "epoch":
            jumps = [epoch for epoch, _ in getattr(schedule, "steps", ()) if epoch == self.config.until]
            if jumps:
                yield f"the head thaws in epoch {self.config.until}, where lambda_schedule jumps too: move one of them"
