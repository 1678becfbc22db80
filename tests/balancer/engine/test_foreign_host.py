"""What somebody else's script must offer, and what its numbers do in laws, heads and shares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from balancer import Balancer, HeadSpec, Plugin, StepContext, hookimpl
from balancer.errors import CompositionError, ConfigError


class ReadsL1(Plugin):
    """Reads a term that only the script knows."""

    name = "reads_l1"
    reads = ("l1",)

    @hookimpl
    def after_g_step(self, ctx: StepContext) -> None: ...


@pytest.mark.parametrize(
    ("plugins", "host", "sentence"),
    [
        (["d_skip"], {"obeys": ["lambda_adv"]}, "turns d_update, which this script does not obey: this script would "
         "have to update D only if balance.d_update and list 'd_update' in obeys"),
        (["dynamic_lambda"], {"obeys": ["lambda_adv"], "supplies": ["d_loss"]}, "reads d_adv, which this script does "
         "not supply: this script would have to pass real_logits= and fake_logits= to balance.after_d_step "
         "(or d_adv=)"),
        (["dynamic_lambda"], {"supplies": ["d_adv"]}, "turns lambda_adv, which this script does not obey: this script "
         "would have to multiply the adv term by balance.lambda_adv and list 'lambda_adv' in obeys"),
        (["d_lr_ratio"], {}, "turns lr_d, which this script does not obey: this script would have to pass "
         "optimizers={'d': …} (and 'g' for a ratio) and list 'lr_d' in obeys"),
        (["label_smoothing"], {}, "this script would have to use balance.real_label in D's binary loss and list "
         "'real_label' in obeys"),
        (["freeze_head"], {}, "would have to freeze the heads named in balance.d_frozen and list 'd_frozen' in obeys"),
    ],
)  # fmt: skip
def test_a_plugin_that_needs_more_is_refused_with_what_to_do(
    plugins: list[str], host: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(CompositionError) as refused:
        Balancer(plugins, log_dir=tmp_path / "logs", **host)
    assert f"plugin {plugins[0]} of balancer " in str(refused.value)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "logs").exists()


def test_a_term_of_the_script_s_own_is_a_signal_where_it_says_so() -> None:
    with pytest.raises(CompositionError, match=r"plugin reads_l1 of class \S+ reads l1"):
        Balancer([ReadsL1], supplies={"adv"})
    Balancer([ReadsL1], supplies={"adv", "l1"})


def test_obeying_a_rate_needs_its_optimizer() -> None:
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    with pytest.raises(ConfigError, match="obeys lr_d, but the optimizer is missing: pass optimizers="):
        Balancer(["d_lr_ratio"], obeys={"lr_d"})
    with pytest.raises(ConfigError, match="a ratio to lr_g needs both: pass optimizers="):
        Balancer(["d_lr_ratio"], obeys={"lr_d"}, optimizers={"d": optimizer})


def test_a_promised_signal_that_does_not_come_stops_the_run() -> None:
    balance = Balancer(["dynamic_lambda"], obeys={"lambda_adv"}, supplies={"d_adv"})
    balance.start_step(epoch=0)
    with pytest.raises(ConfigError, match="step 0: plugin dynamic_lambda reads d_adv, which the host said it supplies"):
        balance.after_d_step(d_loss=0.4)


def test_misspelt_names_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"obeys: no such knob 'd_updat': did you mean d_update\?"):
        Balancer(obeys={"d_updat"})
    with pytest.raises(ConfigError, match="base 'real_label' is not among the knobs obeyed"):
        Balancer(base={"real_label": 0.9})
    with pytest.raises(AttributeError, match="must be listed in obeys"):
        _ = Balancer().lambda_adv


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"base": {"lambda_avd": 1.0}}, "base: nothing is known of 'lambda_avd': did you mean lambda_adv?"),
        ({"obeys": {"lambda_advv"}}, "obeys: nothing is known of 'lambda_advv': did you mean lambda_adv?"),
        ({"supplies": {"dadv"}}, "supplies: nothing is known of 'dadv': did you mean d_adv?"),
        ({"supplies": {"d_adv", "d_ac"}}, "supplies: nothing is known of 'd_ac': did you mean d_acc?"),
        ({"obeys": {"lambda_mel"}, "base": {"lambda_mle": 2.0}}, "base: nothing is known of 'lambda_mle': did you "
         "mean lambda_mel?"),
    ],
)  # fmt: skip
def test_names_that_are_nearly_known_ones_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Balancer(**options)
    assert str(refused.value) == sentence


def test_terms_of_the_script_s_own_may_be_called_much_like_known_ones() -> None:
    base = dict.fromkeys(("lambda_adv2", "lambda_advs", "lambda_vae", "lambda_l2", "lambda_feat_2", "lambda_add"), 1.0)
    own = {"feature", "adv2", "l2", "d_adv", "d_category"}
    balance = Balancer(base=base, obeys={"lambda_l1", "lambda_feat_1", "lambda_adv"}, supplies=own)
    assert set(balance.composition.host.signals) == own


def test_a_role_that_does_not_exist_is_said_before_a_rate_without_its_optimizer() -> None:
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    for obeys in ((), ("lr_d",)):
        with pytest.raises(ConfigError, match="optimizers: no role 'D': the roles are d and g; several"):
            Balancer(obeys=obeys, optimizers={"D": optimizer, "G": optimizer})


def test_the_raw_d_loss_will_do_where_the_law_is_told_so() -> None:
    settings = {"dynamic_lambda": {"signal": "d_loss"}}
    balance = Balancer(["dynamic_lambda"], settings=settings, obeys={"lambda_adv"}, supplies={"d_loss"})
    trajectory = []
    for d_loss in (0.005, 0.03, 0.12, 0.25):  # the expected trajectory of the source document
        balance.start_step(epoch=0)
        balance.after_d_step(d_loss=torch.tensor(d_loss))
        trajectory.append(balance.lambda_adv)
    assert trajectory == [0.2, 0.35, 0.5, 0.6]


def test_a_loss_that_is_nan_once_does_not_stay_in_a_law() -> None:
    """As under a gradient scaler, whose script skips such a step and goes on."""
    settings = {"dynamic_lambda": {"warmup_steps": 0, "half_life": 1.0}}
    balance = Balancer(["dynamic_lambda"], settings=settings, obeys={"lambda_adv"}, supplies={"d_adv"})
    trajectory = []
    for d_adv in (0.01, float("nan"), 0.3, 0.3):
        balance.start_step(epoch=0)
        balance.after_d_step(d_adv=torch.tensor(d_adv))
        trajectory.append(balance.lambda_adv)
    assert trajectory == [0.2, 0.2, 0.5, 0.6]  # averages 0.01, 0.01, 0.155, 0.2275


def test_heads_that_the_script_freezes(tmp_path: Path) -> None:
    heads = {"category": HeadSpec(d_terms=("category",), g_terms=("category",))}
    settings = {"freeze_head": {"head": "category"}}
    balance = Balancer(["freeze_head"], settings=settings, obeys={"d_frozen", "lambda_category"}, heads=heads)
    balance.start_step(epoch=0)
    balance.after_d_step()
    assert balance.d_frozen == ("category",)
    assert balance.lambda_category == 0.0
    for epoch in range(1, 11):
        balance.start_step(epoch=epoch)
        balance.after_d_step()
    assert balance.d_frozen == ()
    assert balance.lambda_category == 1.0


def test_shares_are_drawn_with_the_weights_the_script_uses(tmp_path: Path) -> None:
    balance = Balancer(
        base={"lambda_adv": 0.5, "lambda_l1": 10.0}, obeys={"lambda_adv", "lambda_l1"}, supplies={"adv", "l1"}
    )
    balance.start_step(epoch=0)
    balance.after_d_step()
    assert (balance.lambda_adv, balance.lambda_l1) == (0.5, 10.0)
    balance.end_step(adv=2.0, l1=0.3)
    row = balance.last_row
    assert row["loss/g_loss"] == pytest.approx(4.0)
    assert (row["share/adv"], row["share/l1"]) == pytest.approx((0.25, 0.75))
    assert row["signal/adv_effective"] == pytest.approx(1.0)


def test_a_weight_that_nobody_told_gives_no_share_rather_than_a_wrong_one() -> None:
    balance = Balancer(base={"lambda_adv": 0.5}, obeys={"lambda_adv"}, supplies={"adv", "l1"})
    balance.start_step(epoch=0)
    balance.after_d_step()
    balance.end_step(adv=2.0, l1=0.3)  # which the script multiplies by a number of its own
    assert not {"share/adv", "share/l1", "loss/g_loss"} & set(balance.last_row)
    assert balance.last_row["signal/adv_effective"] == 1.0
