"""How a script's run ends, and how it goes on from a state: each moment once."""

import gc
import json
from pathlib import Path
from weakref import ref

import pytest
import torch
from support.moments import STEP, Event, hooks, recorder, script

from balancer import Balancer, Plugin, StepContext, hookimpl
from balancer.errors import CheckpointError, PluginError

# Ends.


def test_an_error_in_the_script_reaches_on_run_end_and_the_broken_step_is_not_closed() -> None:
    cls, events = recorder()
    error = RuntimeError("out of memory")
    with pytest.raises(RuntimeError), script(cls) as balance:
        balance.start_step(epoch=0)
        balance.after_d_step(d_adv=0.2)
        raise error
    assert hooks(events) == ["on_run_start", "on_epoch", "on_step_start", "after_d_step", "on_run_end"]
    assert events[-1][2] is error
    assert balance.step == 0


def test_a_run_that_never_began_has_no_end() -> None:
    cls, events = recorder()
    with script(cls):
        pass
    assert events == []


class FailsAtTheEnd(Plugin):
    """Fails while the last step is closed."""

    name = "fails_at_the_end"

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None:
        raise ValueError("too late")


def test_an_error_while_the_last_step_is_closed_reaches_on_run_end_too() -> None:
    cls, events = recorder()
    with pytest.raises(PluginError, match="too late") as caught, script(cls, FailsAtTheEnd) as balance:
        balance.start_step(epoch=0)
    assert hooks(events)[-1] == "on_run_end"
    assert events[-1][2] is caught.value


class GoesBad(Plugin):
    """Its state can be stored before the first step and not after it; it acts at no step's end."""

    name = "goes_bad"

    def __init__(self, config: object) -> None:
        super().__init__(config)
        self.kept: object = None

    @hookimpl
    def after_g_step(self, ctx: StepContext) -> None:
        self.kept = {1, 2}

    def state_dict(self) -> dict[str, object]:
        return {"kept": self.kept}


def test_a_state_that_cannot_be_stored_is_known_after_the_first_step(tmp_path: Path) -> None:
    balance = Balancer([GoesBad], log_dir=tmp_path)
    balance.start_step()
    with pytest.raises(PluginError, match=r"plugin goes_bad of .*kept"):
        balance.end_step()


# Going on.


def interrupted(at: int, *, close_epoch: bool = False) -> tuple[list[Event], Balancer]:
    """Six steps in epochs of three, carried over a state dict after `at` of them; the second run's events."""
    first_cls, _ = recorder()
    first = script(first_cls, "d_skip")
    for step in range(at):
        first.start_step(epoch=step // 3)
        first.after_d_step(d_adv=0.2)
    if close_epoch:
        first.end_epoch()
    state = json.loads(json.dumps(first.state_dict()))
    cls, events = recorder()
    with script(cls, "d_skip") as balance:
        balance.load_state_dict(state)
        for step in range(at, 6):
            balance.start_step(epoch=step // 3)
            balance.after_d_step(d_adv=0.2)
        balance.end_epoch()
    return events, balance


def test_on_epoch_does_not_fire_again_after_a_resume_in_mid_epoch() -> None:
    events, balance = interrupted(4)
    assert hooks(events) == ["on_run_start", *STEP, *STEP, "on_epoch_end", "on_run_end"]
    run = events[0][1]
    assert (run.step, run.epoch, run.d_updates, run.g_updates, run.resumed) == (4, 1, 2, 4, True)
    assert (balance.step, balance.d_updates, balance.g_updates) == (6, 3, 6)


@pytest.mark.parametrize("close_epoch", [True, False])
def test_between_two_epochs_each_gets_its_moments_once(close_epoch: bool) -> None:
    events, _ = interrupted(3, close_epoch=close_epoch)
    ending = [] if close_epoch else ["on_epoch_end"]
    assert hooks(events) == ["on_run_start", *ending, "on_epoch", *STEP, *STEP, *STEP, "on_epoch_end", "on_run_end"]
    assert [e[2] for e in events if e[0] == "on_epoch"] == [1]


def test_a_plugin_switched_off_gives_the_base_back_and_a_new_one_starts_fresh() -> None:
    first = script("dynamic_lambda", settings={"dynamic_lambda": {"warmup_steps": 0}})
    first.start_step(epoch=0)
    first.after_d_step(d_adv=0.01)
    assert first.lambda_adv == 0.2
    state = first.state_dict()
    off = script()
    off.load_state_dict(state)
    off.start_step(epoch=0)
    off.after_d_step(d_adv=0.01)
    assert off.lambda_adv == 0.5
    other = script("lambda_schedule")
    other.load_state_dict(state)
    other.start_step(epoch=0)
    other.after_d_step(d_adv=0.01)
    assert other.lambda_adv == 0.1


def test_a_script_may_go_back_to_a_state_from_the_middle_of_a_step() -> None:
    balance = script()
    balance.start_step(epoch=0)
    balance.after_d_step(d_adv=0.2)
    state = balance.state_dict()
    balance.start_step(epoch=0)
    balance.load_state_dict(state)
    balance.start_step(epoch=0)
    assert balance.step == 1


def test_a_state_of_another_version_is_refused() -> None:
    balance = script()
    state = {**balance.state_dict(), "version": 99}
    with pytest.raises(CheckpointError, match="balancer state has version 99"):
        balance.load_state_dict(state)


def test_a_balancer_that_is_never_ended_keeps_nothing_alive() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    balance = Balancer(optimizers={"d": optimizer})
    balance.start_step()
    gone = [ref(balance), ref(optimizer)]
    del balance, optimizer
    gc.collect()
    assert [one() for one in gone] == [None, None]
