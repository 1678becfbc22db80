"""Updates are what optimizers do: skipped by a scaler, within closures, broken off by an error, through wrappers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from support.orders import Script
from torch import Tensor, nn

from balancer import Balancer
from balancer.errors import ConfigError

RATIO = {"d_lr_ratio": {"ratio": 0.25}}


# A scaler.


class Scaled(Script):
    """Steps through a scaler; `inf` names the networks whose gradients overflow in a round."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        self.inf = ""

    def step(self, role: str) -> None:
        if role == "g" or not self.rests:
            parameters = (self.D if role == "d" else self.G).parameters()
            for parameter in parameters:
                assert parameter.grad is not None
                parameter.grad.mul_(self.scaler.get_scale() if role not in self.inf else torch.inf)
            self.scaler.scale(torch.ones(()))
            self.scaler.step(self.opt[role])

    def round(self, inf: str) -> None:
        self.inf = inf
        self.start()
        self.opt["d"].zero_grad()
        self.d()
        self.opt["g"].zero_grad()
        self.g()
        self.scaler.update()


def fused(parameters: Iterator[Tensor], lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=lr, fused=True)


@pytest.mark.parametrize("make", [torch.optim.Adam, fused])
@pytest.mark.parametrize("plugins", [(), ("d_lr_ratio",)])
def test_a_step_that_a_scaler_leaves_out_is_no_update_and_has_a_row(make: Callable[..., Any], plugins: Any) -> None:
    script = Scaled(plugins, make=make)
    overflows = ["dg", "dg", "", "d", "g", "", "dg", ""]
    for inf in overflows:
        script.round(inf)
        assert script.opt["d"].param_groups[0]["lr"] == 1e-3
    script.end()
    assert script.updates("d") == [int("d" not in inf) for inf in overflows]
    assert script.updates("g") == [int("g" not in inf) for inf in overflows]
    assert set(script.column("lr/d")) == {1e-3 if not plugins else 2.5e-4}


def test_a_window_whose_gradients_overflow_is_one_step_once_its_length_is_known() -> None:
    script = Scaled()
    for inf in ("", "", "dg", ""):
        for last in (False, True):
            script.inf = inf
            script.start()
            if not last:
                for role in "dg":
                    script.opt[role].zero_grad()
            script.play("prm")
        for role in "dg":
            script.step(role)
        script.scaler.update()
    script.end()
    assert script.updates("d") == script.updates("g") == [1, 1, 0, 1]


# Closures.


@pytest.mark.parametrize("g_first", [False, True])
def test_closures_are_reported_from_within(g_first: bool) -> None:
    script = Script(["dynamic_lambda", "d_lr_ratio"], {"dynamic_lambda": {"warmup_steps": 0}})
    rates: list[float] = []

    def of_d() -> float:
        script.opt["d"].zero_grad()
        script.d_pass()
        script.report()
        rates.append(script.opt["d"].param_groups[0]["lr"])
        return 0.0

    def of_g() -> float:
        script.opt["g"].zero_grad()
        script.g_pass(moment=True)
        return 0.0

    for _ in range(5):
        script.start()
        for optimizer, closure in sorted((("d", of_d), ("g", of_g)), reverse=g_first):
            script.opt[optimizer].step(closure)
    script.end()
    assert script.updates("d") == script.updates("g") == [1] * 5
    assert rates == [2.5e-4] * 5
    assert {group["lr"] for opt in script.opt.values() for group in opt.param_groups} == {1e-3}


def test_an_optimizer_that_calls_its_closure_several_times_makes_one_update() -> None:
    D, G = nn.Linear(2, 1), nn.Linear(2, 2)
    opt_d = torch.optim.LBFGS(D.parameters(), lr=0.1, max_iter=4)
    opt_g = torch.optim.SGD(G.parameters(), lr=0.1)
    balance = Balancer(
        ["d_lr_ratio"], optimizers={"d": opt_d, "g": opt_g}, supplies={"d_adv"}, obeys={"lambda_adv", "lr_d"}
    )
    calls: list[float] = []

    def of_d() -> Tensor:
        opt_d.zero_grad()
        real, fake = D(torch.ones(4, 2)), D(torch.zeros(4, 2))
        loss = nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()
        loss.backward()
        balance.after_d_step(real_logits=real, fake_logits=fake)
        calls.append(opt_d.param_groups[0]["lr"])
        return loss

    for _ in range(3):
        before = len(calls)
        balance.start_step()
        opt_d.step(of_d)
        assert len(calls) - before > 1
        opt_g.zero_grad()
        (balance.lambda_adv * D(G(torch.ones(4, 2))).mean()).backward()
        opt_g.step()
        balance.end_step()
        assert (balance.last_row["updates/d"], balance.last_row["updates/g"]) == (1, 1)
        assert opt_d.param_groups[0]["lr"] == 0.1
    balance.end_run()
    assert set(calls) == {0.025}
    assert balance.d_updates == 3


# A step that raises an error.


def wrapped(optimizer: torch.optim.Optimizer, how: str) -> Any:
    """An optimizer as it is, in accelerate's wrapper, or in one by hand."""
    if how == "accelerate":
        from accelerate import Accelerator

        return Accelerator(cpu=True).prepare_optimizer(optimizer)
    if how == "by hand":
        return type("Scheduled", (), {"optimizer": optimizer, "step": lambda self, *a: optimizer.step(*a)})()
    return optimizer


@pytest.mark.parametrize("how", ["plain", "accelerate", "by hand"])
@pytest.mark.parametrize("scheduled", ["before", "after", "never"])
def test_a_step_that_raises_gives_the_rate_back_at_once_and_is_no_update(how: str, scheduled: str) -> None:
    parameter, other = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    opt_d, opt_g = torch.optim.Adam([parameter], lr=1e-3), torch.optim.Adam([other], lr=1e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(opt_d, 0.5) if scheduled == "before" else None
    given = wrapped(opt_d, how)
    balance = Balancer(["d_lr_ratio"], optimizers={"d": given, "g": opt_g}, obeys={"lr_d"})
    if scheduled == "after":
        scheduler = torch.optim.lr_scheduler.ExponentialLR(opt_d, 0.5)
    within: list[float] = []

    def closure(bad: bool) -> Tensor:
        within.append(opt_d.param_groups[0]["lr"])
        if bad:
            raise RuntimeError("out of memory")
        parameter.grad = torch.ones(2)
        return torch.zeros(())

    rate, rows = 1e-3, []
    for bad in (True, False, True, False):
        balance.start_step()
        if bad:
            with pytest.raises(RuntimeError, match="out of memory"):
                given.step(lambda: closure(True))
        else:
            given.step(lambda: closure(False))
        assert opt_d.param_groups[0]["lr"] == rate
        balance.after_d_step()
        balance.end_step()
        balance.start_step()
        rows.append(balance.last_row["updates/d"])
        if scheduler is not None and not bad:
            scheduler.step()
            rate *= 0.5
            assert opt_d.param_groups[0]["lr"] == rate
    balance.end_run()
    assert rows == [0, 1, 0, 1]
    assert balance.d_updates == 2
    assert within == [2.5e-4] * 4  # a quarter of G's


# Two of them on one optimizer.


def test_a_second_balancer_takes_the_place_of_the_first(caplog: pytest.LogCaptureFixture) -> None:
    script = Script(["d_lr_ratio"])
    first = script.balance
    script.play("s pdr qg")
    rates: list[float] = []
    script.balance = script.made()
    script.opt["d"].register_step_pre_hook(lambda opt, *_: rates.append(opt.param_groups[0]["lr"]))
    assert "the new one takes its place" in caplog.text
    with pytest.raises(ConfigError, match="another Balancer has taken over"):
        first.start_step()
    script.play("s pdr qg")
    script.balance.end_run()
    assert rates == [2.5e-4], "the factor is on once"
    assert (first.d_updates, script.balance.d_updates) == (1, 1)
    script.made().end_run()
    assert script.opt["d"].param_groups[0]["lr"] == 1e-3


def test_a_step_without_gradients_is_no_update_and_breaks_no_rule() -> None:
    script = Script(["d_skip"], {"d_skip": {"every": 2}})
    for _ in range(4):
        script.start()
        script.rests = False  # the script goes on as ever ...
        script.d_pass()
        if not script.balance.d_update:  # ... but throws D's gradients away
            script.opt["d"].zero_grad()
        script.step("d")
        script.report()
        script.g()
    script.end()
    assert script.updates("d") == [1, 0, 1, 0]
