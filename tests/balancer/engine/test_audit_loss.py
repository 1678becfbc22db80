"""The audit of D's loss: a wrong `adversarial=` is known by the gradient at D's last bias, a right one is let be."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.wired import Wired
from torch import Tensor, nn
from torch.nn import functional as F

from balancer import Balancer
from balancer.errors import BalancerWarning

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean(),
    "lsgan": lambda r, f: 0.5 * ((r - 1).square().mean() + f.square().mean()),
    "hinge": lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean(),
    "wasserstein": lambda r, f: f.mean() - r.mean(),
    "smoothed": lambda r, f: (F.softplus(-r) + 0.1 * r).mean() + F.softplus(f).mean(),
    "weighted": lambda r, f: F.relu(1 - r).mean() + 0.2 * F.relu(1 + f).mean(),
}


class Pooled(nn.Module):
    """A fully convolutional D whose patches are averaged, with a projection of a condition on top."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(1, 8, 2), nn.LeakyReLU(0.2))
        self.last = nn.Conv1d(8, 1, 1)
        self.embedding = nn.Parameter(torch.randn(8))

    def forward(self, points: Tensor) -> Tensor:
        h = self.body(points.unsqueeze(1))
        out: Tensor = self.last(h).mean(2).squeeze(1) + (h.mean(2) * self.embedding).sum(1)
        return out


def trained(said: str, true: str, steps: int = 60, *, pooled: bool = False, how: str = "") -> list[str]:
    """What is said of a loop whose D is trained with `true`, in some way that scripts have."""
    torch.manual_seed(1)
    D = Pooled() if pooled else nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    G = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    opt_d, opt_g = torch.optim.Adam(D.parameters(), 1e-2), torch.optim.Adam(G.parameters(), 1e-3)
    fixed = torch.randn(16, 2) + 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", BalancerWarning)
        with Balancer(optimizers={"d": opt_d, "g": opt_g}, adversarial=said) as balance:
            for _ in range(steps):
                balance.start_step()
                opt_d.zero_grad()
                for _ in range(2 if how == "two parts" else 1):
                    real = (fixed if how == "one batch" else torch.randn(16, 2) + 2).requires_grad_(how == "penalty")
                    fake = G(torch.zeros(16, 4) if how == "one batch" else torch.randn(16, 4))
                    with torch.autocast("cpu", torch.bfloat16, enabled=how == "bfloat16"):
                        r, f = D(real), D(fake.detach())
                        loss = LOSSES[true](r, f)
                    if how == "penalty":
                        slope = torch.autograd.grad(r.sum(), real, create_graph=True)[0]
                        loss = loss + 5 * slope.square().sum(1).mean()
                    (3.0 * loss).backward()
                    if how == "passed before the step":
                        balance.measure_d(real_logits=r, fake_logits=f)
                if how == "clipped":
                    nn.utils.clip_grad_norm_(D.parameters(), 0.1)
                opt_d.step()
                if how == "zeroed after the step":
                    opt_d.zero_grad(set_to_none=False)
                if how == "passed before the step":
                    balance.after_d_step()
                else:
                    balance.after_d_step(real_logits=r, fake_logits=f)
                balance.before_g_backward(adv=1.0)
                opt_g.zero_grad()
                F.softplus(-D(fake)).mean().backward()
                opt_g.step()
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("said", ["bce", "lsgan", "hinge", "wasserstein", "relativistic_average"])
@pytest.mark.parametrize("true", ["bce", "lsgan", "hinge"])
@pytest.mark.parametrize("pooled", [False, True])
def test_a_loss_that_is_not_the_one_that_was_said_is_named(said: str, true: str, pooled: bool) -> None:
    found = trained(said, true, pooled=pooled)
    if said == true:
        assert found == []
    else:
        (text,) = found
        assert f"D is trained with the loss '{true}'" in text
        assert text.endswith(f"but adversarial is '{said}': say adversarial='{true}'")


@pytest.mark.parametrize("how", ["penalty", "passed before the step", "zeroed after the step", "bfloat16"])
def test_it_is_named_in_loops_of_many_kinds(how: str) -> None:
    assert trained("hinge", "hinge", how=how) == []
    (text,) = trained("bce", "hinge", how=how)
    assert "D is trained with the loss 'hinge'" in text


@pytest.mark.parametrize("how", ["two parts", "clipped", "one batch"])
@pytest.mark.parametrize("loss", ["bce", "hinge", "lsgan"])
def test_a_right_loop_is_left_alone_where_the_gradient_does_not_tell(how: str, loss: str) -> None:
    assert trained(loss, loss, how=how) == []


@pytest.mark.parametrize("how", ["", "one batch"])
@pytest.mark.parametrize(("said", "true"), [("bce", "smoothed"), ("hinge", "weighted"), ("wasserstein", "wasserstein")])
def test_a_loss_of_one_s_own_making_is_none_of_those_known(said: str, true: str, how: str) -> None:
    assert trained(said, true, how=how) == []


@pytest.mark.parametrize("order", ["d_first", "g_first", "n_critic"])
def test_a_least_squares_d_is_known_in_any_order_and_its_outputs_accuse_it_no_second_time(order: str) -> None:
    said = Wired("lsgan_forgotten", order=order, lr=1e-2).run(150)
    assert [text for text in said if "loss 'lsgan'" in text] == said
    assert len(said) == 1


def test_outputs_near_the_labels_are_noticed_where_no_graph_shows_whose_they_are() -> None:
    wired: Any = Wired("lsgan_forgotten", lr=2e-2)
    wired.adv = lambda fake: 0.0 * fake.mean()  # G lets D win
    passed = wired.balance.after_d_step
    wired.balance.after_d_step = lambda **logits: passed(**{name: one.detach() for name, one in logits.items()})
    (said,) = wired.run(300)
    assert "as a least-squares D's do, but adversarial is 'bce': say adversarial='lsgan'" in said
