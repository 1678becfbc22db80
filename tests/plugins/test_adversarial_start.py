"""adversarial_start: its law, its phases, what ends each of them, and that no resume forgets where it stood."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from balancer_plugins.adversarial_start import Plateau, rise
from hypothesis import given, settings
from hypothesis import strategies as st
from support.toy_steps import equal, weights

from balancer import Balancer, MovingAverage, Plugin, hookimpl
from balancer.contract.moments import RunInfo
from balancer.errors import CompositionError, ConfigError
from balancer.testing import Replay, replay, toy_trainer
from balancer.train.loop import Trainer

ROWS: list[Mapping[str, float]] = [{"d_adv": 0.5, "d_acc": 0.5}] * 12


def start(*others: str, rows: list[Mapping[str, float]] | None = None, **config: Any) -> Replay:
    values = {"adversarial_start": config, "dynamic_lambda": {"warmup_steps": 0, "bands": [[0.6, 0.4]]}}
    return replay(["adversarial_start", *others], rows or ROWS, settings=values, lambda_adv=2.0)


def test_g_alone_then_d_then_both() -> None:
    run = start(step=3, d_warmup=2, ramp=3)
    assert run["d_update"] == [False] * 3 + [True] * 9
    assert run["lambda_adv"] == [0.0] * 5 + [0.5, 1.0, 1.5] + [2.0] * 4, "of the base of 2"


def test_by_itself_it_is_a_switch() -> None:
    run = start(step=4)
    assert run["d_update"] == [False] * 4 + [True] * 8
    assert run["lambda_adv"] == [0.0] * 4 + [2.0] * 8


def test_the_default_is_a_step() -> None:
    rows: list[Mapping[str, float]] = [{"step": step, "d_adv": 0.5} for step in (0, 9999, 10000)]
    assert start(rows=rows)["d_update"] == [False, False, True]


def test_the_warm_up_counts_updates_of_d_and_another_gate_prolongs_it() -> None:
    run = start("d_skip", step=3, d_warmup=2)
    assert run["d_update"] == [False] * 4 + [True, False] * 4
    assert run["lambda_adv"] == [0.0] * 7 + [2.0] * 5, "D had its updates at steps 4 and 6"


def test_a_law_goes_on_times_the_ramp() -> None:
    assert start("dynamic_lambda", step=1, ramp=1)["lambda_adv"] == [0.0, 0.2] + [0.4] * 10


@pytest.mark.parametrize("shape", ["linear", "cosine"])
@pytest.mark.parametrize("steps", [0, 1, 7, 5000])
def test_a_ramp_rises_from_above_0_to_1_in_its_steps(shape: str, steps: int) -> None:
    factors = [rise(done, steps, shape) for done in range(steps + 2)]
    assert factors == sorted(factors)
    assert factors[0] > 0
    assert factors[-2:] == [1.0, 1.0]
    assert len(set(factors)) == min(steps + 1, 1000) or shape == "cosine"
    assert steps != 7 or factors[3] == pytest.approx(0.5)


def test_a_plateau_starts_once_and_stays_found() -> None:
    falls = [8.0, 4.0, 2.0, 1.0, 0.995, 0.995, 0.995, 0.5, 0.25, 0.1]
    rows: list[Mapping[str, float]] = [{"category": value} for value in falls]
    run = start(rows=rows, plateau="category", patience=3, half_life=0)
    assert run["d_update"] == [False] * 7 + [True] * 3, "1 was no longer bettered by a hundredth at steps 4, 5 and 6"


def test_values_that_are_no_numbers_are_no_measurements_of_a_plateau() -> None:
    law = Plateau(patience=2, improvement=0.01)
    assert [law.update(x) for x in (1.0, float("nan"), float("inf"), 1.0, 1.0)] == [False, False, False, False, True]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.integers(1, 10), st.floats(0, 10))
@settings(max_examples=60, deadline=None)
def test_no_plateau_comes_before_its_patience_or_while_the_loss_falls(
    values: list[float], patience: int, half_life: float
) -> None:
    law = Plateau(patience, 0.0, MovingAverage(half_life))
    assert not any(law.update(value) for value in values[:patience])
    falling = Plateau(patience, 0.0)
    assert not any(falling.update(value) for value in sorted(set(values), reverse=True))


def test_a_share_is_of_the_planned_length() -> None:
    options: dict[str, Any] = {"settings": {"adversarial_start": {"share": 0.25}}, "obeys": OBEYS}
    with pytest.raises(ConfigError, match=r"share needs the run's planned length, which this loop does not tell: pass"):
        Balancer(["adversarial_start"], **options).start_step()
    balance = Balancer(["adversarial_start"], steps=10, **options)
    due = []
    for _ in range(5):
        balance.start_step()
        due.append(balance.d_update)
    assert due == [False] * 3 + [True] * 2


def test_two_starts_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"adversarial_start: step and plateau each say when to start: give one"):
        start(step=3, plateau="category")


def test_a_plateau_goes_beside_a_loop_on_the_same_knob_and_two_loops_do_not() -> None:
    class Louder(Plugin):
        name = "louder"
        reads = ("d_adv",)
        writes = {"lambda_adv": ("mul",)}

        @hookimpl
        def on_run_start(self, run: RunInfo) -> None:
            self.knobs["lambda_adv"].mul(2.0)

    options = {"obeys": OBEYS, "supplies": {"d_adv", "l1"}, "settings": {"adversarial_start": {"plateau": "l1"}}}
    assert Balancer(["adversarial_start", "dynamic_lambda"], **options).composition.warnings == ()
    with pytest.raises(CompositionError, match="two closed loops on one knob"):
        Balancer([Louder, "dynamic_lambda"], obeys=OBEYS, supplies={"d_adv"})


OBEYS = {"lambda_adv", "d_update"}
# Phases begin at steps 3 (found after 2), 5 and 8.
BUSY: dict[str, Any] = {"plateau": "category", "patience": 2, "improvement": 0.9, "d_warmup": 2, "ramp": 2}


def trained(state: Mapping[str, Any] | None = None) -> tuple[Trainer, list[float], list[Any]]:
    """A run of 9 steps, or the rest of one, its weights of the adversarial term, and its state before each step."""
    trainer = toy_trainer(["adversarial_start"], {"adversarial_start": BUSY, "model": {"points": 64}})
    if state is not None:
        trainer.load_state_dict(state)
    factors, states = [], []
    while trainer.balance.step < 9:
        states.append(copy.deepcopy(trainer.state_dict()))
        trainer.step(trainer.next_batch())
        factors.append(trainer.balance.last_row["knob/lambda_adv"])
    return trainer, factors, states


def test_a_run_that_stops_at_any_step_goes_on_bit_for_bit() -> None:
    whole, factors, states = trained()
    assert factors == [0.0] * 5 + [0.334, 0.667, 1.0, 1.0]
    for stop in range(1, 9):
        resumed, rest, _ = trained(states[stop])
        assert rest == factors[stop:], stop
        assert equal(weights(whole), weights(resumed)), stop


def test_d_that_rests_until_the_start_is_no_fault_of_the_script(recwarn: pytest.WarningsRecorder) -> None:
    torch.manual_seed(0)
    G, D = torch.nn.Linear(2, 1), torch.nn.Linear(1, 1)
    opt_g, opt_d = (torch.optim.Adam(net.parameters(), lr=1e-3) for net in (G, D))
    config = {"adversarial_start": {"step": 90, "d_warmup": 5, "ramp": 5}}
    balance = Balancer(
        ["adversarial_start"], settings=config, optimizers={"d": opt_d, "g": opt_g}, obeys=OBEYS, supplies={"d_adv"}
    )
    softplus = torch.nn.functional.softplus
    with torch.no_grad():
        D.weight.fill_(1.0)
        D.bias.fill_(-2.0)
    for _ in range(110):
        balance.start_step()
        # D's first outputs happen to be negative on real and positive on generated points, all of them.
        real, fake = torch.rand(8, 1), G(torch.randn(8, 2)) + 8
        with torch.set_grad_enabled(balance.d_update):
            on_real, on_fake = D(real), D(fake.detach())
        if balance.d_update:
            opt_d.zero_grad()
            (softplus(-on_real) + softplus(on_fake)).mean().backward()
            opt_d.step()
        balance.after_d_step(real_logits=on_real, fake_logits=on_fake)
        adv, rec = softplus(-D(fake)).mean(), fake.square().mean()
        balance.before_g_backward(adv=adv, rec=rec)
        opt_g.zero_grad()
        (balance.lambda_adv * adv + rec).backward()
        opt_g.step()
    balance.end_run()
    assert balance.d_updates == 20
    assert [str(one.message) for one in recwarn] == []
