"""A plugin that writes down its moments, and the script that calls them."""

from typing import Any

from balancer import Balancer, Plugin, RunInfo, StepContext, hookimpl
from balancer.contract.host import OPTIONAL_HOOKS

Event = tuple[Any, ...]


def recorder() -> tuple[type[Plugin], list[Event]]:
    """A plugin class that implements every hook, and the list of (hook, arguments) that it fills."""
    events: list[Event] = []

    class Recorder(Plugin):
        name = "recorder"

        @hookimpl
        def on_run_start(self, run: RunInfo) -> None:
            events.append(("on_run_start", run))

        @hookimpl
        def on_epoch(self, run: RunInfo, epoch: int) -> None:
            events.append(("on_epoch", run, epoch))

        @hookimpl
        def on_step_start(self, ctx: StepContext) -> None:
            events.append(("on_step_start", ctx))

        @hookimpl
        def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
            events.append(("transform_d_input", ctx, images, condition))
            return images, condition

        @hookimpl
        def d_loss_terms(self, ctx: StepContext) -> None:
            events.append(("d_loss_terms", ctx))

        @hookimpl
        def before_d_backward(self, ctx: StepContext) -> None:
            events.append(("before_d_backward", ctx))

        @hookimpl
        def after_d_step(self, ctx: StepContext) -> None:
            events.append(("after_d_step", ctx))

        @hookimpl
        def g_loss_terms(self, ctx: StepContext) -> None:
            events.append(("g_loss_terms", ctx))

        @hookimpl
        def before_g_backward(self, ctx: StepContext) -> None:
            events.append(("before_g_backward", ctx))

        @hookimpl
        def after_g_step(self, ctx: StepContext) -> None:
            events.append(("after_g_step", ctx))

        @hookimpl
        def on_step_end(self, ctx: StepContext) -> None:
            events.append(("on_step_end", ctx))

        @hookimpl
        def on_epoch_end(self, run: RunInfo, epoch: int) -> None:
            events.append(("on_epoch_end", run, epoch))

        @hookimpl
        def on_run_end(self, run: RunInfo, error: BaseException | None) -> None:
            events.append(("on_run_end", run, error))

    return Recorder, events


def script(*plugins: Any, **options: Any) -> Balancer:
    return Balancer(
        list(plugins),
        **{
            "obeys": {"lambda_adv", "d_update", *OPTIONAL_HOOKS},
            "supplies": {"d_adv"},
            "base": {"lambda_adv": 0.5},
            **options,
        },
    )


def hooks(events: list[Event]) -> list[str]:
    return [event[0] for event in events]


STEP = ["on_step_start", "after_d_step", "before_g_backward", "after_g_step", "on_step_end"]
