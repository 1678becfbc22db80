"""A run that begins with networks trained elsewhere counts on from there."""

from __future__ import annotations

from balancer import Balancer, Plugin, RunInfo, StepContext, hookimpl


def test_steps_and_updates_count_from_where_the_networks_were() -> None:
    told = []

    class Counting(Plugin):
        name = "counting"

        @hookimpl
        def on_run_start(self, run: RunInfo) -> None:
            told.append((run.step, run.d_updates, run.g_updates, run.resumed))

        @hookimpl
        def on_step_end(self, ctx: StepContext) -> None:
            told.append((ctx.step, ctx.d_updates, ctx.g_updates, ctx.d_skipped))

    balance = Balancer([Counting, "d_skip"], obeys={"d_update"})
    balance.begin_at(1001)
    for _ in range(2):
        balance.start_step(epoch=3)
        balance.after_d_step()
    balance.end_step()
    # Every second step is one of an even number.
    assert told == [(1001, 1001, 1001, False), (1001, 1001, 1002, True), (1002, 1002, 1003, False)]
