"""lambda_schedule: lambda_adv by epoch, or an upper bound on it where a law sets it."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from pydantic import Field, field_validator

from balancer import CompositionView, Plugin, PluginConfig, RunInfo, hookimpl


class LambdaSchedule(Plugin):
    """A staircase of lambda_adv over epochs: structure first, then style, then realism."""

    name = "lambda_schedule"
    writes = {"lambda_adv": ("set_or_max",)}

    class Config(PluginConfig):
        """Settings of lambda_schedule."""

        steps: tuple[tuple[int, float], ...] = Field(
            ((0, 0.1), (5, 0.3), (20, 0.5)),
            description="[[from epoch, lambda_adv], …] from epoch 0 on (source document, remedy 2)",
        )

        relative: bool = Field(
            False,
            description="values are factors of the run's own lambda_adv, or of what a law sets, not lambda_adv itself",
        )

        @field_validator("steps")
        @classmethod
        def _rising(cls, steps: tuple[tuple[int, float], ...]) -> tuple[tuple[int, float], ...]:
            epochs = [epoch for epoch, _ in steps]
            if not steps or epochs[0] != 0 or epochs != sorted(set(epochs)):
                raise ValueError("epochs must start at 0 and rise")
            if any(not 0 <= value <= 1e4 for _, value in steps):
                raise ValueError("lambda_adv must lie in [0, 10000]")
            return steps

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.relative:
            self.writes = {"lambda_adv": ("mul",)}

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        self._apply(run.epoch)

    @hookimpl
    def on_epoch(self, run: RunInfo, epoch: int) -> None:
        self._apply(epoch)

    def check(self, composition: CompositionView) -> Iterable[str]:
        law = composition.configs.get("dynamic_lambda")
        if law is not None and not self.config.relative and not getattr(law, "relative", False):
            bounds = ", ".join(f"{value:g} from epoch {epoch}" for epoch, value in self.config.steps)
            yield f"it bounds what dynamic_lambda sets ({bounds}): bands above the bound act as one"
            return
        values = [value for _, value in self.config.steps]
        if not self.config.relative and (base := composition.far_base("lambda_adv", values)) is not None:
            yield (
                f"lambda_adv is {base:g} in {composition.host.name}, and this schedule sets it to "
                f"{min(values):g}–{max(values):g}: set relative = true, and its values multiply that {base:g}"
            )

    def _apply(self, epoch: int) -> None:
        knob, value = self.knobs["lambda_adv"], self.config.steps[self._row(epoch)][1]
        if self.config.relative:
            knob.mul(value)
        else:
            knob.set_or_max(value)

    def _row(self, epoch: int) -> int:
        return bisect.bisect_right([first for first, _ in self.config.steps], epoch) - 1
