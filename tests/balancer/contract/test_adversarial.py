"""The families of adversarial losses against their papers' formulas, what their logits tell, and lists of logits."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from balancer.contract.adversarial import AdversarialLoss
from balancer.contract.losses import BUILT_IN
from balancer.errors import ConfigError

LEVELLED = [name for name, loss in BUILT_IN.items() if loss.has_levels]


def log_sigmoid(x: Tensor) -> Tensor:
    return torch.log(1 / (1 + torch.exp(-x)))


# (half on real images, half on generated ones) of D's loss, and G's loss, in double precision, from the papers.
PAPERS: dict[str, tuple[Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], Callable[[Tensor, Tensor], Tensor]]] = {
    "bce": (
        lambda r, f: (-torch.log(torch.sigmoid(r)).mean(), -torch.log(1 - torch.sigmoid(f)).mean()),
        lambda r, f: -torch.log(torch.sigmoid(f)).mean(),
    ),
    "lsgan": (
        lambda r, f: (((r - 1) ** 2).mean(), (f**2).mean()),
        lambda r, f: ((f - 1) ** 2).mean(),
    ),
    "hinge": (
        lambda r, f: (-torch.minimum(r - 1, r * 0).mean(), -torch.minimum(-f - 1, f * 0).mean()),
        lambda r, f: -f.mean(),
    ),
    "wasserstein": (lambda r, f: (-r.mean(), f.mean()), lambda r, f: -f.mean()),
    "relativistic": (
        lambda r, f: (-log_sigmoid(r - f).mean(), -log_sigmoid(r - f).mean()),
        lambda r, f: -log_sigmoid(f - r).mean(),
    ),
    "relativistic_average": (
        lambda r, f: (-log_sigmoid(r - f.mean()).mean(), -torch.log(1 - torch.sigmoid(f - r.mean())).mean()),
        lambda r, f: (
            0.5 * (-log_sigmoid(f - r.mean()).mean() - torch.log(1 - torch.sigmoid(r - f.mean())).mean())
        ),
    ),
    "relativistic_hinge": (
        lambda r, f: (
            -torch.minimum(r - f.mean() - 1, r * 0).mean(), -torch.minimum(r.mean() - f - 1, f * 0).mean(),
        ),
        lambda r, f: -0.5 * (
            torch.minimum(f.mean() - r - 1, r * 0).mean() + torch.minimum(f - r.mean() - 1, f * 0).mean()
        ),
    ),
}  # fmt: skip


def logits(seed: int = 0, shape: tuple[int, ...] = (6, 1, 2, 2)) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(shape, generator=draw) + 0.5, 2 * torch.randn(shape, generator=draw) - 0.5


def gradients(loss: Tensor, *of: Tensor) -> list[Tensor]:
    found = torch.autograd.grad(loss, of, allow_unused=True)
    return [torch.zeros_like(x) if part is None else part for x, part in zip(of, found, strict=True)]


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_family_is_the_formula_of_its_paper_and_so_are_its_gradients(name: str) -> None:
    assert PAPERS.keys() == BUILT_IN.keys()
    loss, (d_paper, g_paper) = BUILT_IN[name], PAPERS[name]
    real, fake = (x.requires_grad_() for x in logits())
    real64, fake64 = (x.double().requires_grad_() for x in logits())
    halves, expected = loss.d(real, fake), d_paper(real64, fake64)
    assert [half.item() for half in halves] == pytest.approx([half.item() for half in expected], rel=1e-5)
    for ours, theirs in (
        (0.5 * (halves.real + halves.fake), 0.5 * (expected[0] + expected[1])),
        (loss.g(fake, real), g_paper(real64, fake64)),
    ):
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
        for mine, papers in zip(gradients(ours, real, fake), gradients(theirs, real64, fake64), strict=True):
            torch.testing.assert_close(mine.double(), papers, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", LEVELLED)
def test_levels_are_those_of_a_perfect_d_and_of_one_that_cannot_tell(name: str) -> None:
    loss = BUILT_IN[name]
    same = torch.full((8,), loss.threshold)
    signals = loss.signals(same, same)
    assert signals["d_adv"].item() == pytest.approx(math.log(2), rel=1e-6)
    assert (signals["d_acc_real"], signals["d_acc_fake"], signals["d_acc"]) == (0, 1, 0.5)
    sure = {"lsgan": (1.0, 0.0), "hinge": (2.0, -2.0)}.get(name, (50.0, -50.0))
    signals = loss.signals(torch.full((8,), sure[0]), torch.full((8,), sure[1]))
    assert signals["d_adv"].item() == pytest.approx(0, abs=1e-6)
    assert signals["d_acc"] == 1


@pytest.mark.parametrize("name", ["relativistic", "relativistic_average"])
def test_a_relativistic_d_is_judged_by_what_lies_between_real_and_generated(name: str) -> None:
    signals = BUILT_IN[name].signals(torch.full((8,), -10.425), torch.full((8,), -12.688))
    assert signals["d_adv"].item() == pytest.approx(0.099, abs=5e-4)
    assert signals["d_acc"] == 1, "though both lie far below 0"
    real, fake = torch.tensor([1.0, 5.0]), torch.tensor([3.0, 0.0])
    signals = BUILT_IN[name].signals(real, fake)
    # By pairs 1 < 3 and 5 > 0; by means (1.5, 3) only 1 lies on the wrong side, and 3 does not lie above 3.
    paired = name == "relativistic"
    assert (signals["d_acc_real"], signals["d_acc_fake"]) == ((0.5, 0.5) if paired else (0.5, 1.0))


def test_a_critic_has_a_gap_and_no_levels() -> None:
    signals = BUILT_IN["wasserstein"].signals(torch.tensor([3.0, 1.0]), torch.tensor([-1.0, 0.0]))
    assert {name: value.item() for name, value in signals.items()} == {
        "critic_gap": 2.5,
        "d_logit_real": 2.0,
        "d_logit_fake": -0.5,
    }


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", BUILT_IN)
def test_losses_are_computed_in_single_precision(name: str, dtype: torch.dtype) -> None:
    loss = BUILT_IN[name]
    real, fake = (x.to(dtype) for x in logits(shape=(4096,)))
    halves = loss.d(real, fake)
    assert {halves.real.dtype, halves.fake.dtype, loss.g(fake, real).dtype} == {torch.float32}
    assert float(halves.real) == pytest.approx(float(loss.d(real.double(), fake.double()).real), rel=1e-5)


@pytest.mark.parametrize("name", BUILT_IN)
def test_several_discriminators_count_alike_whatever_their_sizes(name: str) -> None:
    loss = BUILT_IN[name]
    one, two = logits(1, (4, 1, 8, 8)), logits(2, (4, 1, 2, 2))
    real, fake = [one[0], two[0]], (one[1], two[1])
    halves = loss.d(real, fake)
    parts = [loss.d(*one), loss.d(*two)]
    assert halves.real.item() == pytest.approx(sum(float(part.real) for part in parts) / 2, rel=1e-6)
    assert halves.fake.item() == pytest.approx(sum(float(part.fake) for part in parts) / 2, rel=1e-6)
    alone = [float(loss.g(fake, real)) for real, fake in (one, two)]
    assert loss.g(fake, real).item() == pytest.approx(sum(alone) / 2, rel=1e-6)
    signals, each = loss.signals(real, fake), [loss.signals(*one), loss.signals(*two)]
    for signal in ("d_adv", "d_acc") if loss.has_levels else ("critic_gap",):
        values = [float(part[signal]) for part in each]
        assert [float(signals[f"{signal}/{index}"]) for index in (0, 1)] == pytest.approx(values)
        assert float(signals[signal]) == pytest.approx(sum(values) / 2)


def test_labels_move_the_targets_of_losses_that_have_some() -> None:
    real, fake = logits()
    for name, loss in BUILT_IN.items():
        moved = loss.d(real, fake, 0.9, 0.1) != loss.d(real, fake)
        assert moved == loss.labels, name
    soft = BUILT_IN["bce"].d(real, fake, 0.9, 0.1)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    assert soft.real.item() == pytest.approx(bce(real, torch.full_like(real, 0.9)).item(), rel=1e-6)
    assert soft.fake.item() == pytest.approx(bce(fake, torch.full_like(fake, 0.1)).item(), rel=1e-6)


ONE = torch.zeros(4)


@pytest.mark.parametrize(
    ("real", "fake", "said"),
    [
        ([ONE, ONE], [ONE], "real_logits are of 2 and fake_logits of 1 discriminators: pass those of the same ones"),
        ([ONE], [None], r"fake_logits\[0\] is None: pass a tensor of logits"),
        ([[ONE, ONE]], [ONE], r"real_logits\[0\] is a list: pass a tensor of logits, or a list of one tensor"),
        ({"d": ONE}, ONE, "real_logits is a dict"),
        (ONE, "high", "fake_logits is a str"),
        ([], [], "real_logits is an empty list"),
        (ONE, torch.zeros(0, 1), r"fake_logits is empty \(its shape is \(0, 1\)\)"),
    ],
)
def test_what_are_no_logits_is_said_in_one_line(real: object, fake: object, said: str) -> None:
    for ask in (BUILT_IN["bce"].d, BUILT_IN["bce"].signals):
        with pytest.raises(ConfigError, match=said) as error:
            ask(real, fake)  # type: ignore[operator]
        assert "\n" not in str(error.value)


def test_a_loss_of_pairs_needs_as_many_of_each() -> None:
    loss: AdversarialLoss = BUILT_IN["relativistic"]
    with pytest.raises(ConfigError, match=r"shapes \(4, 1\) and \(4,\): pass equally many"):
        loss.d(torch.zeros(4, 1), torch.zeros(4))
    real, fake = torch.zeros(3, 1), torch.zeros(6, 1)
    assert BUILT_IN["relativistic_average"].d(real, fake).real.item() == pytest.approx(math.log(2))
    for name in ("relativistic", "relativistic_average"):
        with pytest.raises(ConfigError, match="compares real with generated images: pass D's logits on real images"):
            BUILT_IN[name].g(fake)
