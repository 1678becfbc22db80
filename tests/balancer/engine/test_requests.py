"""Requests: our loop grants them, a script sees them, and one that nobody looks at is said."""

import logging
from pathlib import Path

import pytest

from balancer import Balancer, Plugin, RunInfo, StepContext, hookimpl
from balancer.errors import PluginError
from balancer.record.decisions import read_notes
from balancer.testing import toy_trainer
from balancer.train.progress import Progress


class Asks(Plugin):
    """Asks for one thing at each of three steps."""

    name = "asks"
    requests = ("end", "checkpoint", "sheet")

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        if ctx.step == 1:
            self.request("checkpoint", "a good\none")
        if ctx.step == 2:
            self.request("sheet", "worth a look")
        if ctx.step == 4:
            self.request("end", "nothing moves any more")


def test_our_loop_grants_them_after_the_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = toy_trainer([Asks], folder=tmp_path)
    drawn: list[int] = []
    trainer.draw_sheet = drawn.append  # type: ignore[method-assign]
    saved: list[int] = []
    save = trainer.save
    trainer.save = lambda: (saved.append(trainer.balance.step), save())  # type: ignore[method-assign,func-returns-value,assignment]
    assert trainer.run(20, Progress(20)) is False
    assert (saved, drawn, trainer.balance.step) == ([2, 5], [3], 5)
    assert "plugin asks ends the run after step 5: nothing moves any more" in capsys.readouterr().err
    notes = [(note.step, note.kind, note.who, note.text) for note in read_notes(tmp_path)]
    assert notes == [
        (1, "request", "asks", "checkpoint: a good one"),
        (2, "request", "asks", "sheet: worth a look"),
        (4, "request", "asks", "end: nothing moves any more"),
    ]
    resumed = toy_trainer([Asks], folder=tmp_path)
    resumed.load_state_dict(trainer.state_dict())
    assert resumed.run(7, Progress(7, quiet=True)) is True


def test_a_script_sees_them_and_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    seen = []
    with Balancer([Asks]) as balance:
        for _ in range(9):
            balance.start_step()
            balance.end_step()
            seen += [(request.kind, request.plugin, request.step, request.reason) for request in balance.requests]
            if balance.end_requested:
                break
    assert seen == [
        ("checkpoint", "asks", 1, "a good one"),
        ("sheet", "asks", 2, "worth a look"),
        ("end", "asks", 4, "nothing moves any more"),
    ]
    assert not caplog.records


def test_what_a_script_does_not_look_at_is_said_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level(logging.WARNING, "balancer"), Balancer([Asks], log_dir=tmp_path) as balance:
        for _ in range(9):
            balance.start_step()
    said = [record.getMessage() for record in caplog.records]
    assert [line.split(" (")[0] for line in said] == [
        "plugin asks requested a checkpoint in step 1",
        "plugin asks requested a sheet in step 2",
        "plugin asks requested an end in step 4",
    ]
    assert said[2].endswith(
        "which this script does not grant: `if balance.end_requested: break` after balance.end_step()"
    )
    assert {note.who for note in read_notes(tmp_path)} == {"asks", "balancer"}


def test_a_request_made_as_the_step_closes_is_there_in_the_next_one() -> None:
    class Late(Plugin):
        name = "late"
        requests = ("end",)

        @hookimpl
        def on_step_end(self, ctx: StepContext) -> None:
            self.request("end", "at last")

    balance = Balancer([Late])
    balance.start_step()
    assert not balance.end_requested
    balance.start_step()
    assert balance.end_requested and [request.step for request in balance.requests] == [0]


def test_requests_are_declared_and_made_in_hooks() -> None:
    undeclared = type(
        "Odd", (Plugin,), {"name": "odd", "on_step_start": hookimpl(lambda self, ctx: self.request("end", "why"))}
    )
    with pytest.raises(PluginError, match="plugin odd requested 'end' without declaring it: add it to requests"):
        Balancer([undeclared]).start_step()
    with pytest.raises(PluginError, match="requests stop: no such request"):
        Balancer([type("Odd", (Plugin,), {"name": "odd", "requests": ("stop",)})])
    balance = Balancer([Asks])
    with pytest.raises(PluginError, match="requested end outside a hook: request in hooks only"):
        balance.composition.plugins[0].request("end", "now")


class Told(Plugin):
    """Keeps what it is told of the run."""

    name = "told"

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        self.run = run


def test_the_batch_and_the_planned_length_are_told_also_on_a_longer_resume(tmp_path: Path) -> None:
    def told(balance: Balancer) -> tuple[int | None, int | None]:
        (plugin,) = balance.composition.plugins
        assert isinstance(plugin, Told)
        return plugin.run.batch_size, plugin.run.steps

    trainer = toy_trainer([Told], folder=tmp_path, batch_size=16, steps=3)
    trainer.run(3, Progress(3, quiet=True))
    assert told(trainer.balance) == (16, 3)
    longer = toy_trainer([Told], folder=tmp_path, batch_size=16, steps=9)
    longer.load_state_dict(trainer.state_dict())
    longer.run(9, Progress(9, quiet=True))
    assert told(longer.balance) == (16, 9)
    script = Balancer([Told], batch_size=64, steps=1000)
    script.start_step()
    assert told(script) == (64, 1000)
