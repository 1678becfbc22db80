"""The training loop: the plain GAN step where nothing acts on it, and each knob exactly where it says otherwise."""

import itertools
import math
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from balancer import Plugin, StepContext, hookimpl
from balancer.contract.compose import compose
from balancer.contract.host import model_host
from balancer.contract.model import HeadSpec
from balancer.errors import TrainingError
from balancer.record import checkpoint
from balancer.record.run_config import TrainSettings
from balancer.record.signals import read_signals
from balancer.testing import toy_trainer
from balancer.train.loop import Trainer, make_accelerator
from balancer.train.points import PointsFamily, PointsSettings
from balancer.train.progress import Progress

BUILT_INS = ("d_lr_ratio", "d_skip", "dynamic_lambda", "freeze_head", "label_smoothing", "lambda_schedule")
# Every plugin has something to do within a few steps of 4 steps an epoch.
BUSY: dict[str, dict[str, Any]] = {
    "model": {"points": 64},
    "d_skip": {"every": 2, "accuracy_above": 0.7},
    "dynamic_lambda": {"warmup_steps": 2, "bands": [[0.6, 0.1], [0.69, 0.3]], "above": 0.5},
    "freeze_head": {"until": 5, "clock": "step"},
    "lambda_schedule": {"steps": [[0, 0.1], [1, 0.2], [2, 0.4]]},
}


def advance(trainer: Trainer, steps: int) -> Trainer:
    for _ in range(steps):
        trainer.step(trainer.next_batch())
    return trainer


def weights(trainer: Trainer) -> dict[str, Tensor]:
    """A copy of everything that the networks hold."""
    nets = {"G": trainer.G, "D": trainer.D}
    return {f"{net}.{name}": value.clone() for net in nets for name, value in nets[net].state_dict().items()}


def equal(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


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


@pytest.mark.parametrize("pair", list(itertools.combinations(BUILT_INS, 2)), ids="+".join)
def test_the_order_of_plugins_on_the_command_line_never_matters(pair: tuple[str, str]) -> None:
    runs = []
    for order in (pair, pair[::-1]):
        trainer = advance(toy_trainer(order, BUSY, batch_size=16), 12)
        runs.append((weights(trainer), trainer.balance.state_dict()))
    assert equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    plain = weights(advance(toy_trainer([], BUSY, batch_size=16), 12))
    assert not equal(runs[0][0], plain), "neither plugin had anything to do here: the test shows nothing"


class TestSkippedStep:
    SETTINGS: Mapping[str, Any] = {"model": {"norm": "batch"}, "d_skip": {"every": 2}}

    def test_d_is_left_as_it_was_but_measured(self) -> None:
        at: dict[str, Any] = {}

        class Spy(Plugin):
            name = "spy"
            reads = ("d_adv", "d_acc", "d_loss", "d_loss_real", "d_category", "d_logit_fake")

            @hookimpl
            def after_d_step(self, ctx: StepContext) -> None:
                at["D"] = {name: value.clone() for name, value in trainer.D.state_dict().items()}
                at["skipped"] = ctx.d_skipped
                readings = [self.signals[name] for name in self.reads]
                at["fresh"] = [reading is not None and reading.fresh for reading in readings]
                at["d_adv"] = readings[0] and readings[0].value

        trainer = toy_trainer(["d_skip", Spy], self.SETTINGS)
        advance(trainer, 1)
        assert not at["skipped"]
        before = {name: value.clone() for name, value in trainer.D.state_dict().items()}
        optimizer = checkpoint_of(trainer.optimizers["d"])
        first = at["d_adv"]
        advance(trainer, 1)
        assert at["skipped"]
        assert at["fresh"] == [True] * 6
        assert at["d_adv"] != first
        assert any(name.endswith("running_mean") for name in before)
        assert equal(before, at["D"]), "weights and batch norm's statistics"
        assert checkpoint_of(trainer.optimizers["d"]) == optimizer
        assert trainer.balance.d_updates == 1

    def test_the_probe_draws_no_random_numbers_of_the_run(self) -> None:
        class Dice(Plugin):
            """D with noise on its input: a forward pass of D that takes random numbers."""

            name = "dice"

            @hookimpl
            def transform_d_input(
                self, ctx: StepContext, images: Tensor, condition: Tensor | None
            ) -> tuple[Tensor, Tensor | None]:
                states.append(torch.get_rng_state())
                return images + 0.1 * torch.randn_like(images), condition

        states: list[Tensor] = []
        trainer = toy_trainer(["d_skip", Dice], self.SETTINGS)
        advance(trainer, 1)
        states.clear()
        advance(trainer, 1)
        real, fake, in_g = states
        assert not torch.equal(real, fake)
        assert torch.equal(real, in_g), "G's pass goes on where the random state stood before the probe"


def checkpoint_of(optimizer: torch.optim.Optimizer) -> list[tuple[str, Any]]:
    """An optimizer's state as plain values."""
    rows = []
    for index, moments in optimizer.state_dict()["state"].items():
        rows += [(f"{index}.{name}", torch.as_tensor(value).tolist()) for name, value in moments.items()]
    return rows


class TestFrozenHead:
    def test_parameters_rest_bit_by_bit_and_thaw(self) -> None:
        settings = {"freeze_head": {"until": 3, "clock": "step"}}
        trainer = toy_trainer(["freeze_head"], settings)
        assert trainer.D.category is not None
        head = list(trainer.D.category.parameters())
        start = [parameter.detach().clone() for parameter in head]
        body = trainer.D.body[0].weight.detach().clone()
        for step in range(3):
            advance(trainer, 1)
            assert trainer.balance.d_frozen == ("category",), step
            assert all(map(torch.equal, head, start)), step
            assert all(parameter.grad is None for parameter in head)
            assert not any(trainer.optimizers["d"].state.get(parameter) for parameter in head)
        assert not torch.equal(trainer.D.body[0].weight, body)
        advance(trainer, 1)
        assert trainer.balance.d_frozen == ()
        assert not any(map(torch.equal, head, start))
        assert all(trainer.optimizers["d"].state[parameter]["step"] == 1 for parameter in head)

    def test_a_head_frozen_later_rests_although_adam_has_momentum(self) -> None:
        class Later(Plugin):
            name = "later"
            writes = {"d_frozen": ("add",)}

            @hookimpl
            def on_step_start(self, ctx: StepContext) -> None:
                if ctx.step == 3:
                    self.knobs["d_frozen"].add("category")

        trainer = toy_trainer([Later])
        advance(trainer, 3)
        assert trainer.D.category is not None
        head = list(trainer.D.category.parameters())
        moments = [trainer.optimizers["d"].state[parameter]["exp_avg"].clone() for parameter in head]
        assert all(bool(moment.any()) for moment in moments)
        start = [parameter.detach().clone() for parameter in head]
        advance(trainer, 3)
        assert all(map(torch.equal, head, start))
        for parameter, moment in zip(head, moments, strict=True):
            assert torch.equal(trainer.optimizers["d"].state[parameter]["exp_avg"], moment)

    def test_a_group_in_the_way_of_the_binary_loss_rests_too(self) -> None:
        """No term falls away with D's trunk, so its gradients have to be kept from it at every step."""
        settings = PointsSettings(points=64)
        torch.manual_seed(0)
        model = PointsFamily().build(settings)
        model.spec = replace(model.spec, heads={"body": HeadSpec()})
        options = TrainSettings(device="cpu", batch_size=32, lr=2e-3)
        freeze = {"freeze_head": {"head": "body", "until": 3, "clock": "step"}}
        composition = compose(["freeze_head"], freeze, host=model_host("points", model.spec, 1.0))
        trainer = Trainer(model, composition, options, make_accelerator(options, composition), None)
        start = weights(trainer)
        for _ in range(3):
            advance(trainer, 1)
            moved = {name for name, value in weights(trainer).items() if not torch.equal(value, start[name])}
            assert not any(name.startswith("D.body") for name in moved)
            assert {"D.binary.weight", "D.category.weight", "G.0.weight"} <= moved
        advance(trainer, 1)
        thawed = weights(trainer)
        assert not any(torch.equal(thawed[name], start[name]) for name in thawed if name.startswith("D.body"))

    def test_its_terms_weigh_nothing_for_d_and_for_g(self) -> None:
        # The same networks, data and random numbers, without a category term at all.
        without = toy_trainer([])
        without.model.d_terms = lambda real, fake, batch: {}  # type: ignore[method-assign]
        without.model.g_terms = lambda fake, judged, batch: {}  # type: ignore[method-assign]
        advance(without, 3)
        frozen = advance(toy_trainer(["freeze_head"], {"freeze_head": {"until": 3, "clock": "step"}}), 3)
        assert equal(weights(frozen), weights(without))
        row = frozen.balance.last_row
        assert row["loss/d_category"] > 0, "it is measured all the same"
        assert row["loss/d_loss"] == pytest.approx(0.5 * (row["loss/d_loss_real"] + row["loss/d_loss_fake"]))
        assert row["share/category"] == 0.0
        assert row["share/adv"] == 1.0
        advance(frozen, 1)
        row = frozen.balance.last_row
        halves = 0.5 * (row["loss/d_loss_real"] + row["loss/d_loss_fake"])
        assert row["loss/d_loss"] == pytest.approx(halves + row["loss/d_category"])
        assert row["share/category"] > 0


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


class Poison(Plugin):
    """Adds a term that is not finite at one step."""

    name = "poison"
    side, value, at = "d", math.nan, 5

    def term(self, ctx: StepContext, side: str) -> dict[str, Tensor]:
        value = self.value if ctx.step == self.at and side == self.side else 0.0
        return {"poisoned": torch.tensor(value)}

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> dict[str, Tensor]:
        return self.term(ctx, "d")

    @hookimpl
    def g_loss_terms(self, ctx: StepContext) -> dict[str, Tensor]:
        return self.term(ctx, "g")


class PoisonG(Poison):
    side = "g"


class PoisonInfinite(Poison):
    value = math.inf


@pytest.mark.parametrize(
    ("poison", "named"),
    [(Poison, "d_poisoned is nan"), (PoisonG, "poisoned is nan"), (PoisonInfinite, "d_poisoned is inf")],
)
def test_a_loss_that_is_not_finite_stops_before_the_optimizer_step(
    poison: type[Plugin], named: str, tmp_path: Path
) -> None:
    settings = {"dynamic_lambda": {"warmup_steps": 50}}
    trainer = toy_trainer(["dynamic_lambda", "d_lr_ratio", poison], settings, tmp_path / "run", checkpoint_every=2)
    seen: list[dict[str, Tensor]] = []
    trainer.optimizers["d"].register_step_post_hook(lambda *args: seen.append(weights(trainer)))
    trainer.optimizers["g"].register_step_post_hook(lambda *args: seen.append(weights(trainer)))
    with pytest.raises(TrainingError) as stopped:
        trainer.run(20, Progress(20, quiet=True))
    assert equal(weights(trainer), seen[-1]), "no optimizer step was taken on it"
    assert len(seen) == (11 if poison is PoisonG else 10)
    message = str(stopped.value)
    assert message.startswith("step 5: ")
    assert f" {named};" in message
    assert "dynamic_lambda set lambda_adv 0.25" in message
    assert "d_lr_ratio ratio lr_d 0.25" in message
    assert "\n" not in message
    loaded = checkpoint.load_latest(tmp_path / "run" / "checkpoints")
    assert loaded.step == 4
    assert loaded.skipped == []
    columns = read_signals(tmp_path / "run")
    assert columns["step"].tolist() == [0, 1, 2, 3, 4]
    assert all(np.isfinite(values).all() for values in columns.values())
    # From there it goes on once the cause is gone.
    again = toy_trainer(["dynamic_lambda", "d_lr_ratio"], settings)
    again.load_state_dict(loaded.state)
    advance(again, 3)
    assert again.balance.step == 7


class Interrupt(Plugin):
    """Asks for an end while step 4 is under way."""

    name = "interrupt"

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        if ctx.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(("steps", "finished"), [(9, False), (5, True)])
def test_a_signal_ends_the_run_after_the_step_and_a_finished_run_is_finished(
    steps: int, finished: bool, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    trainer = toy_trainer([Interrupt], folder=tmp_path / "run")
    assert trainer.run(steps, Progress(steps, quiet=True)) is finished
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [5]
    assert read_signals(tmp_path / "run")["step"].tolist() == [0, 1, 2, 3, 4]
    assert equal(weights(trainer), weights(advance(toy_trainer([]), 5)))
    assert signal.getsignal(signal.SIGTERM) == before


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
        "train", "--plugins", ",".join(BUILT_INS), "--steps", 3, "--out", run, "--device", "cpu",
        "--set", "model.max_characters=40", "--set", "freeze_head.until=2", "--set", "freeze_head.clock=step",
        "--set", "dynamic_lambda.warmup_steps=1", "--set", "train.log_every=1",
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
