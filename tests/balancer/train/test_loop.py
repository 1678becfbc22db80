"""The training loop: the plain GAN step where nothing acts on it, and each knob exactly where it says otherwise."""

import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.built_in import PAIRS_ON_POINTS, TOGETHER
from support.toy_steps import BUSY, advance, equal, weights
from torch import Tensor
from torch.nn import functional as F

from balancer import Plugin, StepContext, hookimpl
from balancer.conformance.remembered import comparable
from balancer.record.signals import read_signals
from balancer.testing import toy_trainer
from balancer.train.points import PointsFamily, PointsSettings


def hand_written(settings: PointsSettings, steps: int, g_updates: int, lambda_adv: float) -> dict[str, Tensor]:
    """The step that anybody would write, on the same networks, data order and random numbers."""
    torch.manual_seed(0)
    model = PointsFamily().build(settings)
    G, D = model.generator.train(), model.discriminator.train()
    opt_g = torch.optim.Adam(G.parameters(), lr=2e-3, betas=(0.5, 0.999), fused=True)
    opt_d = torch.optim.Adam(D.parameters(), lr=2e-3, betas=(0.5, 0.999), fused=True)

    def bce(logits: Tensor, label: float) -> Tensor:
        return (F.softplus(logits) - label * logits).mean()

    orders: dict[int, Any] = {}
    batches = model.train_size // 32
    for step in range(steps):
        epoch, at = divmod(step, batches)
        order = orders.setdefault(epoch, np.random.Generator(np.random.PCG64([0, epoch])).permutation(model.train_size))
        batch = model.batch(order[at * 32 : at * 32 + 32].tolist())
        real, mode = batch["points"], batch["mode"]

        def draw(batch: Mapping[str, Tensor] = batch) -> Tensor:
            noise = torch.randn_like(batch["points"])
            return G(torch.cat([noise, F.one_hot(batch["mode"], settings.modes).float()], dim=1))

        fake = draw()
        real_logits, real_mode = D(real)
        fake_logits, fake_mode = D(fake.detach())
        d_loss = 0.5 * bce(real_logits, 1.0) + 0.5 * bce(fake_logits, 0.0)
        d_loss = d_loss + 0.5 * (F.cross_entropy(real_mode, mode) + F.cross_entropy(fake_mode, mode))
        opt_d.zero_grad()
        d_loss.backward()
        opt_d.step()
        for update in range(g_updates):
            if update:
                fake = draw()
            logits, modes = D(fake)
            g_loss = lambda_adv * bce(logits, 1.0) + F.cross_entropy(modes, mode)
            opt_g.zero_grad()
            g_loss.backward()
            opt_g.step()
    nets = {"G": G, "D": D}
    return {f"{net}.{name}": value for net in nets for name, value in nets[net].state_dict().items()}


@pytest.mark.parametrize(("norm", "g_updates"), [("none", 1), ("batch", 1), ("none", 2)])
def test_without_plugins_it_is_the_hand_written_step(norm: str, g_updates: int) -> None:
    trainer = toy_trainer([], {"model": {"norm": norm, "points": 128}}, g_updates=g_updates, lambda_adv=0.3)
    start = weights(trainer)
    advance(trainer, 10)  # into the third epoch
    by_hand = hand_written(PointsSettings(norm=norm, points=128), 10, g_updates, 0.3)
    ours = weights(trainer)
    assert not equal(start, ours)
    assert equal(ours, by_hand)
    assert trainer.balance.g_updates == 10 * g_updates
    assert trainer.balance.d_updates == 10


def test_g_updates_draw_anew_and_count() -> None:
    drawn: list[Tensor] = []

    class Watch(Plugin):
        name = "watch"

        @hookimpl
        def g_loss_terms(self, ctx: StepContext) -> None:
            assert ctx.fake is not None
            drawn.append(ctx.fake.detach().clone())

        @hookimpl
        def after_g_step(self, ctx: StepContext) -> None:
            drawn.append(torch.tensor(ctx.g_updates))

    advance(toy_trainer([Watch], g_updates=2), 2)
    images, counts = drawn[::2], drawn[1::2]
    assert [int(count) for count in counts] == [1, 2, 3, 4]
    assert all(not torch.equal(one, two) for one, two in itertools.combinations(images, 2))


# Points have no height and width.
@pytest.mark.filterwarnings("ignore:adaptive_augment. D sees tensors of shape")
@pytest.mark.parametrize("pair", PAIRS_ON_POINTS, ids="+".join)
def test_the_order_of_plugins_on_the_command_line_never_matters(pair: tuple[str, str]) -> None:
    runs = []
    for order in (pair, pair[::-1]):
        trainer = advance(toy_trainer(order, BUSY, batch_size=16), 12)
        runs.append((weights(trainer), comparable(trainer.balance.state_dict(), depth=12)))
    assert equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    plain = weights(advance(toy_trainer([], BUSY, batch_size=16), 12))
    assert not equal(runs[0][0], plain), "neither plugin had anything to do here: the test shows nothing"


def test_label_knobs_touch_the_binary_loss_of_d_alone() -> None:
    # A learning rate of D too small to move a float keeps D the same in both runs.
    rows = {}
    for plugins in ((), ("label_smoothing",)):
        trainer = advance(toy_trainer(plugins, lr_d=1e-30), 1)
        rows[plugins] = trainer.balance.last_row, trainer.D.category.weight.grad, trainer.D.binary.bias.grad
    hard, smooth = rows[()][0], rows[("label_smoothing",)][0]
    changed = {tag for tag in hard if hard[tag] != smooth[tag]}
    assert changed == {
        "loss/d_loss", "loss/d_loss_real", "loss/d_loss_fake", "knob/real_label", "knob/fake_label"
    }  # fmt: skip
    # -0.9·log σ(x) - 0.1·log(1 - σ(x)) is the hard loss + 0.1·x, on the mean.
    lift = 0.1 * hard["signal/d_logit_real"]
    assert smooth["loss/d_loss_real"] == pytest.approx(hard["loss/d_loss_real"] + lift, rel=1e-6)
    lift = -0.1 * hard["signal/d_logit_fake"]
    assert smooth["loss/d_loss_fake"] == pytest.approx(hard["loss/d_loss_fake"] + lift, rel=1e-6)
    assert torch.equal(rows[()][1], rows[("label_smoothing",)][1]), "the category head's gradient"
    assert not torch.equal(rows[()][2], rows[("label_smoothing",)][2])


def test_one_sided_labels() -> None:
    trainer = advance(toy_trainer(["label_smoothing"], {"label_smoothing": {"sides": "real"}}), 1)
    assert trainer.balance.last_row["knob/real_label"] == 0.9
    assert trainer.balance.last_row["knob/fake_label"] == 0.0


def test_the_ratio_of_learning_rates_is_there_at_the_step_and_only_there() -> None:
    trainer = toy_trainer(["d_lr_ratio"], {"model": {"points": 64}}, lr=1e-3, lr_d=7e-3, lr_decay=0.5, lr_floor=1e-4)
    used: dict[str, list[float]] = {"d": [], "g": []}
    for role, optimizer in trainer.optimizers.items():
        optimizer.register_step_pre_hook(
            lambda optimizer, args, kwargs, role=role: used[role].append(optimizer.param_groups[0]["lr"])
        )
    between = []
    for _ in range(5):  # two steps an epoch
        advance(trainer, 1)
        between.append([trainer.optimizers[role].param_groups[0]["lr"] for role in ("g", "d")])
    assert between == [[1e-3, 7e-3], [1e-3, 7e-3], [5e-4, 3.5e-3], [5e-4, 3.5e-3], [2.5e-4, 1.75e-3]]
    assert used["g"] == [1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4]
    assert used["d"] == pytest.approx([0.25 * rate for rate in used["g"]], rel=1e-12)
    assert trainer.balance.last_row["lr/d"] == used["d"][-1]
    # Bit by bit what a plain optimizer with that rate does.
    quarter = advance(toy_trainer([], lr=1e-3, lr_d=2.5e-4), 6)
    assert equal(weights(advance(toy_trainer(["d_lr_ratio"], lr=1e-3, lr_d=7e-3), 6)), weights(quarter))


def test_the_decay_stops_at_the_floor_and_never_lifts_a_lower_base() -> None:
    trainer = toy_trainer([], {"model": {"points": 32}}, lr=1e-3, lr_d=5e-5, lr_decay=0.5, lr_floor=2e-4)
    rates = []
    for _ in range(5):
        advance(trainer, 1)
        rates.append((trainer.balance.last_row["lr/g"], trainer.balance.last_row["lr/d"]))
    assert rates == [(1e-3, 5e-5), (5e-4, 5e-5), (2.5e-4, 5e-5), (2e-4, 5e-5), (2e-4, 5e-5)]


@pytest.mark.parametrize("adversarial", ["bce", "lsgan", "hinge"])
def test_every_adversarial_loss_trains(adversarial: str) -> None:
    trainer = toy_trainer([], {"model": {"adversarial": adversarial}}, batch_size=64)

    def distance() -> float:
        """Mean distance of generated points from the centre of their own mode, on the ring of radius 1."""
        trainer.G.eval()
        batch = trainer.model.batch(range(256))
        angle = 2 * math.pi * batch["mode"] / 4
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            points = trainer.model.generate(trainer.G, batch).images
        trainer.G.train()
        return float((points - torch.stack([angle.cos(), angle.sin()], dim=1)).norm(dim=1).mean())

    before = distance()
    advance(trainer, 300)
    after = distance()
    assert before > 0.9
    assert after < 0.2
    rates = trainer.balance.last_row
    assert 0 < rates["signal/d_adv"] < 1.2
    if adversarial == "hinge":
        assert "knob/real_label" not in rates


def test_zi2zi_goes_through_the_loop_with_all_plugins(tmp_path: Path, cli: Callable[..., Any]) -> None:
    run = tmp_path / "run"
    result = cli(
        "train", "--plugins", ",".join(TOGETHER), "--steps", 3, "--out", run, "--device", "cpu",
        "--set", "model.max_characters=40", "--set", "freeze_head.until=2", "--set", "freeze_head.clock=step",
        "--set", "dynamic_lambda.warmup_steps=1", "--set", "train.log_every=1", "--set", "adversarial_start.step=0",
        "--set", "gap_aware_lr.lowest=1", "--set", "gap_aware_lr.highest=1",
    )  # fmt: skip
    assert result.status == 0, result.err
    columns = read_signals(run)
    assert columns["step"].tolist() == [0, 1, 2]
    assert columns["d_frozen"].tolist() == [1, 1, 0]
    assert columns["d_update"].tolist() == [1, 0, 1]
    assert columns["real_label"].tolist() == [0.9] * 3
    assert columns["lambda_adv"].tolist() == [0.1] * 3  # the schedule bounds the law
    assert columns["lr_d"] == pytest.approx(0.25 * columns["lr_g"])
    assert columns["category_share"].tolist()[:2] == [0, 0]
    assert columns["category_share"][2] > 0
    for name in ("loss_l1", "loss_const", "loss_adv", "loss_category", "d_loss", "d_adv", "adv_effective"):
        assert np.isfinite(columns[name]).all(), name
    (sheet,) = (run / "sheets").glob("*.png")
    assert sheet.name == "step_00000003.png"
    with Image.open(sheet) as picture:
        pixels = np.asarray(picture.convert("L"))
    assert min(pixels.shape) > 3 * 64
    assert pixels.std() > 10, "an empty sheet"
