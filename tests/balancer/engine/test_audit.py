"""The audit: wiring bugs that scripts really have are said, and right loops are left alone."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from support.wired import Wired
from torch import nn

from balancer import Balancer, Plugin, StepContext, hookimpl
from balancer.errors import AuditError, BalancerWarning
from balancer.record.decisions import read_notes
from balancer.testing import toy_trainer

# bug -> what is said of it
BUGS = {
    "never": "D's optimizer has not stepped once, though D's turn came in 32 steps",
    "never_g": "G's optimizer has not stepped once, though G's turn came in 32 steps",
    "unread": "this script obeys lambda_adv but has never looked at it: multiply the adv term by balance.lambda_adv",
    "skip_ignored": "D's optimizer stepped although plugins said to skip D: update D only if balance.d_update",
    "rebuilt": "D is updated by another Adam than the optimizer that was passed",
    "sigmoid": "D ends in a sigmoid, but bce wants logits",
    "lsgan_forgotten": "D is trained with the loss 'lsgan', by the gradient at its last bias",
    "hinge_forgotten": "D is trained with the loss 'hinge', by the gradient at its last bias",
    "swapped": "D calls generated images real and real ones generated",
    "d_not_zeroed": "D's update also takes the gradients that G's backward pass left in D",
    "not_detached": "G's update also takes the gradients that D's backward pass left in G",
    "exchanged": "D's outputs come from the weights of the optimizer that was passed for G",
    "shared": "the optimizers of D and G share 4 parameters",
    "eval": "D is in evaluation mode while it is trained",
}


@pytest.mark.parametrize("order", ["d_first", "g_first"])
@pytest.mark.parametrize("bug", BUGS)
def test_a_wiring_bug_is_said_once_with_its_step_and_a_remedy(bug: str, order: str) -> None:
    plugins = ["d_skip"] if bug == "skip_ignored" else []
    steps, lr = (300, 2e-2) if bug in ("hinge_forgotten", "swapped") else (40, 1e-3)
    wired = Wired(bug, order=order, plugins=plugins, lr=lr)
    if bug == "swapped":
        wired.adv = lambda fake: 0.0 * fake.mean()  # type: ignore[method-assign]  # G lets D win
    said = [text for text in wired.run(steps) if BUGS[bug] in text]
    assert len(said) == 1, said
    assert re.match(r"step \d+: ", said[0])
    assert "\n" not in said[0]


@pytest.mark.parametrize("adversarial", ["bce", "lsgan", "hinge"])
@pytest.mark.parametrize(
    ("order", "plugins", "lr"),
    [("d_first", ["dynamic_lambda", "d_skip"], 1e-2), ("g_first", [], 1e-4), ("n_critic", [], 1e-2)],
)
def test_right_loops_are_left_alone(order: str, adversarial: str, plugins: list[str], lr: float) -> None:
    assert Wired(order=order, adversarial=adversarial, plugins=plugins, seed=3, lr=lr).run(80) == []


@pytest.mark.parametrize("made_anew", [True, False])
def test_an_optimizer_whose_network_was_made_anew_is_told_from_a_d_that_rests_for_long(made_anew: bool) -> None:
    wired = Wired()
    for _ in range(3):
        wired.step()
    if made_anew:
        wired.D = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
        wired.opt_d = torch.optim.Adam(wired.D.parameters(), lr=1e-3)
    else:
        wired.bug = "never"
    said = wired.run(340)
    assert ["D's optimizer has not stepped any more" in text for text in said] == [True] * made_anew


def test_our_own_loop_is_left_alone() -> None:
    trainer = toy_trainer(["dynamic_lambda", "d_lr_ratio", "label_smoothing"], micro_batches=2, g_updates=2)
    with trainer.balance:  # a warning is an error in tests
        for _ in range(40):
            trainer.step(trainer.next_batch())


def test_what_is_said_stands_in_the_record(tmp_path: Path) -> None:
    (said,) = Wired("never", log_dir=tmp_path).run(40)
    (note,) = read_notes(tmp_path)
    assert (note.kind, note.step, note.who, f"step 31: {note.text}") == ("audit", 31, "balancer", said)


def test_a_misspelt_signal_is_said_with_the_name_that_was_meant() -> None:
    balance = Balancer(supplies={"d_adv"})
    balance.start_step()
    with pytest.warns(BalancerWarning, match=r"step 0: d_acv was passed, which nobody knows: did you mean d_a\w+\?"):
        balance.after_d_step(d_acv=1.0)
    balance.end_step(l1=0.1, mel=0.2)


def test_an_option_makes_it_an_error_and_another_silences_it() -> None:
    with pytest.raises(AuditError, match=r"step 31: D's optimizer has not stepped once"):
        Wired("never", audit="error").run(40)
    assert Wired("never", audit="off").run(40) == []


def test_what_is_passed_as_probabilities_is_noticed_where_no_graph_shows_it() -> None:
    balance = Balancer(supplies={"d_adv"})
    with pytest.warns(BalancerWarning, match=r"all of D's outputs lie in \[0, 1\] \(real 0.9\d*, generated 0.1\d*\)"):
        for _ in range(12):
            balance.start_step()
            balance.after_d_step(real_logits=torch.full((8,), 0.9), fake_logits=torch.full((8, 1, 2, 2), 0.1))


@pytest.mark.parametrize(("gap", "swapped"), [(-4.0, True), (4.0, False), (-0.1, False)])
def test_a_critic_s_outputs_that_are_swapped_are_noticed_at_any_scale(gap: float, swapped: bool) -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught, Balancer(adversarial="wasserstein") as balance:
        warnings.simplefilter("always", BalancerWarning)
        for _ in range(64):
            balance.start_step()
            fake = torch.randn(16, 1) - 100.0
            balance.after_d_step(real_logits=torch.randn(16, 1) - 100.0 + gap, fake_logits=fake)
    assert [str(one.message).count("are real_logits= and fake_logits=") for one in caught] == [1] * swapped
    assert all("or the labels in D's own loss?" in str(one.message) for one in caught)


def test_logits_of_a_d_at_chance_are_no_probabilities() -> None:
    torch.manual_seed(0)
    balance = Balancer(supplies={"d_adv"})
    for _ in range(100):
        balance.start_step()
        balance.after_d_step(real_logits=0.5 + 0.1 * torch.rand(16), fake_logits=0.4 + 0.1 * torch.rand(16))


def one_step(optimizer: torch.optim.Optimizer, parameter: torch.Tensor) -> None:
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()


def test_a_lone_adversarial_term_under_adam_is_said_and_under_sgd_it_is_not() -> None:
    for kind, warned in ((torch.optim.Adam, True), (torch.optim.SGD, False)):
        weights = [nn.Parameter(torch.ones(1)) for _ in range(2)]
        opt_d, opt_g = (kind([weight], lr=0.1) for weight in weights)
        balance = Balancer(
            ["dynamic_lambda"], optimizers={"d": opt_d, "g": opt_g}, obeys={"lambda_adv"}, supplies={"d_adv"}
        )

        def train(balance: Any = balance, opt_d: Any = opt_d, opt_g: Any = opt_g, weights: Any = weights) -> None:
            for _ in range(8):
                balance.start_step()
                one_step(opt_d, weights[0])
                balance.after_d_step(d_adv=0.3)
                balance.before_g_backward(adv=0.7)
                assert balance.lambda_adv > 0
                one_step(opt_g, weights[1])

        if warned:
            with pytest.warns(BalancerWarning, match="adv is the only term of G's loss that was passed"):
                train()
        else:
            train()


def test_steps_go_on_where_no_optimizer_of_those_passed_ever_steps() -> None:
    weights = [nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizers = {role: torch.optim.SGD([weight], lr=0.1) for role, weight in zip("dg", weights, strict=True)}
    balance = Balancer(optimizers=optimizers, supplies={"d_adv"})
    for weight in weights:
        weight.grad = torch.ones(1)
    with pytest.warns(BalancerWarning) as caught:
        for _ in range(300):
            balance.start_step()
            balance.after_d_step(d_adv=0.3)
    assert balance.step == 44
    first, second = (str(one.message) for one in caught)
    assert "step 0: no optimizer has stepped in 256 calls of start_step" in first
    assert "step 31: D's optimizer has not stepped once" in second


class WarnsOfItself(Plugin):
    """Has something to say of every composition."""

    name = "warns_of_itself"

    def check(self, composition: object) -> list[str]:
        return ["mind the step"]

    @hookimpl
    def on_step_end(self, ctx: StepContext) -> None: ...


def test_a_script_hears_what_its_composition_is_warned_of() -> None:
    with pytest.warns(BalancerWarning, match="warns_of_itself: mind the step") as caught:
        Balancer([WarnsOfItself])
    assert caught[0].filename == __file__


DISAGREE = """
import sys, torch.distributed as dist
from balancer import Balancer, Plugin, hookimpl
class Own(Plugin):
    name = "own"
    writes = {"lambda_adv": ("mul",)}
    @hookimpl
    def after_d_step(self, ctx):
        self.knobs["lambda_adv"].mul(1.0 + (dist.get_rank() if ctx.step == 3 and sys.argv[3] == "own" else 0))
dist.init_process_group("gloo", init_method="file://" + sys.argv[1], rank=int(sys.argv[2]), world_size=2)
balance = Balancer([Own], obeys={"lambda_adv"}, audit="error")
for step in range(8):
    balance.start_step()
    balance.after_d_step(d_adv=0.3)
    balance.lambda_adv
balance.end_run()
dist.destroy_process_group()
"""


@pytest.mark.parametrize("decides", ["own", "alike"])
def test_ranks_that_disagree_are_told_so_rather_than_left_to_hang(decides: str, tmp_path: Path) -> None:
    meeting = str(tmp_path / "meeting")
    ranks = [
        subprocess.Popen([sys.executable, "-c", DISAGREE, meeting, rank, decides], stderr=subprocess.PIPE, text=True)
        for rank in "01"
    ]
    errors = [process.communicate(timeout=240)[1] for process in ranks]
    if decides == "alike":
        assert [process.returncode for process in ranks] == [0, 0], errors
    else:
        for error in errors:
            assert "AuditError: step 3: ranks disagree about what knobs hold (here: lambda_adv " in error
