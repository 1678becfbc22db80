"""What a host gets wrong: names, promises, calls out of turn."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.moments import script

from balancer import read_signals
from balancer.errors import ConfigError


def test_a_misspelt_weight_is_an_attribute_error() -> None:
    balance = script()
    for name in ("lambda_ad", "lambda_l1", "d_updates_"):
        assert not hasattr(balance, name)
        with pytest.raises(AttributeError, match=name):
            getattr(balance, name)


def test_a_signal_that_the_host_promised_and_did_not_pass_is_an_error() -> None:
    balance = script("dynamic_lambda", supplies={"d_adv", "d_loss"})
    balance.start_step(epoch=0)
    with pytest.raises(ConfigError) as caught:
        balance.after_d_step(d_loss=0.2)
    assert str(caught.value) == (
        "step 0: plugin dynamic_lambda reads d_adv, which the host said it supplies but did not pass: "
        "pass real_logits= and fake_logits= to balance.after_d_step (or d_adv=)"
    )


def test_a_value_of_an_earlier_step_does_not_keep_the_promise_but_a_skipped_step_may_have_none() -> None:
    balance = script("dynamic_lambda", "d_skip")
    balance.start_step(epoch=0)
    balance.after_d_step(d_adv=0.2)
    balance.start_step(epoch=0)
    assert not balance.d_update
    balance.after_d_step()
    balance.start_step(epoch=0)
    with pytest.raises(ConfigError, match="step 2: plugin dynamic_lambda reads d_adv"):
        balance.after_d_step()


def test_calls_outside_a_step_are_refused_and_leave_no_step_behind(tmp_path: Path) -> None:
    balance = script(log_dir=tmp_path)
    calls: list[Callable[[], object]] = [
        lambda: balance.after_d_step(d_adv=0.2),
        lambda: balance.before_g_backward(adv=1.0),
    ]
    for call in calls:
        with pytest.raises(
            ConfigError, match=r"step 0: \w+ came outside a step: call balance\.start_step\(\) at the top"
        ):
            call()
    balance.start_step(epoch=0)
    balance.end_run()
    assert read_signals(tmp_path)["step"].tolist() == [0]


def test_a_look_at_a_weight_before_the_moment_in_which_plugins_act_is_refused() -> None:
    balance = script()
    balance.start_step(epoch=0)
    balance.after_d_step(d_adv=0.2)
    assert balance.lambda_adv == 0.5
    with pytest.raises(ConfigError, match="before_g_backward comes before the first look at a weight") as refused:
        balance.before_g_backward(adv=1.0)
    assert str(refused.value).endswith("move the call up, and pass terms that are not weighted yet")


def test_a_plugin_that_acts_on_epochs_needs_a_host_that_tells_them() -> None:
    with pytest.raises(ConfigError, match=r"plugin lambda_schedule acts on epochs: pass epoch= to balance\.start_step"):
        script("lambda_schedule").start_step()
    script("dynamic_lambda").start_step()
