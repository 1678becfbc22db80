"""What a host passes as measured: numbers and scalars as they come, everything else in one line."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from balancer import Balancer, Plugin, StepContext, hookimpl
from balancer.errors import ConfigError


def begun() -> Balancer:
    balance = Balancer([])
    balance.start_step()
    return balance


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (2, 2.0),
        (Fraction(1, 2), 0.5),
        (True, 1.0),
        (np.float32(1.5), 1.5),
        (np.array(1.5), 1.5),
        (np.array([[1.5]]), 1.5),
        (torch.tensor(1.5), 1.5),
        (torch.tensor([[1.5]]), 1.5),
        (torch.tensor(1.5, dtype=torch.bfloat16), 1.5),
        (torch.tensor(3), 3.0),
        (torch.nn.Parameter(torch.tensor(1.5)), 1.5),
    ],
)
def test_numbers_and_scalars_of_any_kind_are_taken(value: Any, taken: float) -> None:
    balance = begun()
    balance.after_d_step(d_loss=value)
    balance.before_g_backward(adv=value)
    balance.end_step()
    assert balance.last_row["loss/d_loss"] == balance.last_row["loss/adv"] == taken


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "adv is None: pass a number or a scalar tensor, or leave adv out where it was not measured"),
        (torch.zeros(4, 1), "adv has the shape (4, 1): pass a scalar, such as its mean, adv.mean()"),
        (torch.zeros(0), "adv has the shape (0,): pass a scalar"),
        (np.zeros(3), "adv has the shape (3,): pass a scalar"),
        (torch.tensor(1j), "adv is complex: pass a real number, such as adv.abs()"),
        (np.array("high"), "adv holds 'high': pass a number or a scalar tensor"),
        ("0.5", "adv is a str: pass a number or a scalar tensor"),
        ([0.5], "adv is a list: pass a number or a scalar tensor"),
        ({"l1": 0.5}, "adv is a dict: pass a number or a scalar tensor"),
    ],
)
def test_everything_else_is_named_with_the_step_and_what_to_pass(value: Any, said: str) -> None:
    for call in ("after_d_step", "before_g_backward", "end_step"):
        balance = begun()
        balance.end_step()
        balance.start_step()
        with pytest.raises(ConfigError) as error:
            getattr(balance, call)(adv=value)
        assert str(error.value).startswith(f"step 1: {said}")
        assert "\n" not in str(error.value)


ONE = torch.zeros(4)


@pytest.mark.parametrize(
    ("logits", "said"),
    [
        ({"real_logits": ONE}, "real_logits without fake_logits: D's signals follow from both, so pass both"),
        ({"fake_logits": ONE}, "fake_logits without real_logits: D's signals follow from both, so pass both"),
        ({"real_logits": [ONE, ONE], "fake_logits": [ONE]}, "real_logits are of 2 and fake_logits of 1 discriminators"),
        ({"real_logits": 0.5, "fake_logits": 0.5}, "real_logits is a float: pass a tensor of logits"),
    ],
)
def test_logits_that_tell_nothing_are_no_silence(logits: Mapping[str, Any], said: str) -> None:
    for call in ("measure_d", "after_d_step"):
        with pytest.raises(ConfigError, match=f"step 0: {said}"):
            getattr(begun(), call)(**logits)


# Several discriminators.


def test_each_discriminator_has_signals_that_plugins_may_read() -> None:
    seen = []

    class Second(Plugin):
        name = "second"
        reads = ("d_adv/1", "d_acc/1")

        @hookimpl
        def after_d_step(self, ctx: StepContext) -> None:
            seen.append([reading and reading.value for reading in (self.signals[name] for name in self.reads)])

    balance = Balancer([Second], supplies={"d_adv/1", "d_acc/1"})
    balance.start_step()
    real, fake = [torch.tensor([0.0, 0.0]), torch.tensor([5.0])], [torch.tensor([0.0]), torch.tensor([-5.0, -5.0])]
    balance.after_d_step(real_logits=real, fake_logits=fake)
    balance.end_step()
    sure = float(torch.nn.functional.softplus(torch.tensor(-5.0)))
    assert seen == [[pytest.approx(sure, rel=1e-5), 1.0]]
    row = balance.last_row
    assert row["signal/d_adv/0"] == pytest.approx(np.log(2), rel=1e-6)
    assert row["signal/d_adv"] == pytest.approx((np.log(2) + sure) / 2, rel=1e-5)
    assert (row["signal/d_acc/0"], row["signal/d_acc/1"], row["signal/d_acc"]) == (0.5, 1.0, 0.75)


def test_a_plugin_that_reads_one_which_is_not_there_is_told_what_to_pass() -> None:
    class Third(Plugin):
        name = "third"
        reads = ("d_adv/2",)

    with pytest.raises(Exception, match=r"reads d_adv/2, which this script does not supply: .* as lists, one tensor"):
        Balancer([Third])
    balance = Balancer([Third], supplies={"d_adv/2"})
    balance.start_step()
    with pytest.raises(ConfigError, match=r"reads d_adv/2, which the host said it supplies but did not pass: .*lists"):
        balance.after_d_step(real_logits=[ONE, ONE], fake_logits=[ONE, ONE])
