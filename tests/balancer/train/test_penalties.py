"""Terms that plugins add to D's and G's loss, and what they let D see: R1, LeCam and instance noise."""

from __future__ import annotations

from typing import Any

import torch

from balancer import KnobSpec, Plugin, StepContext, hookimpl
from balancer.testing import check_plugin, toy_trainer


class R1(Plugin):
    """γ/2 · E‖∇D(real)‖² (Mescheder et al. 2018), through `ctx.discriminate`."""

    name = "r1"
    brings_terms = ("r1",)
    gamma = 10.0

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> dict[str, torch.Tensor]:
        assert ctx.real is not None and ctx.discriminate is not None
        real = ctx.real.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(ctx.discriminate(real, ctx.condition).sum(), real, create_graph=True)
        return {"r1": 0.5 * self.gamma * gradient.square().flatten(1).sum(1).mean()}


class LeCam(Plugin):
    """Pulls D's logits towards each other's moving averages (Tseng et al. 2021), by signals, which ranks share."""

    name = "lecam"
    reads = ("d_logit_real", "d_logit_fake")
    brings_terms = ("lecam",)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.real, self.fake = 0.0, 0.0

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> dict[str, torch.Tensor]:
        assert ctx.real_logits is not None and ctx.fake_logits is not None
        apart = torch.relu(ctx.real_logits - self.fake).square() + torch.relu(self.real - ctx.fake_logits).square()
        return {"lecam": 0.3 * apart.mean()}

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        real, fake = self.signals["d_logit_real"], self.signals["d_logit_fake"]
        if real is not None and fake is not None and not ctx.d_skipped:
            self.real, self.fake = 0.9 * self.real + 0.1 * real.value, 0.9 * self.fake + 0.1 * fake.value

    def state_dict(self) -> dict[str, Any]:
        return {"real": self.real, "fake": self.fake}

    def load_state_dict(self, state: Any, version: int) -> None:
        self.real, self.fake = state["real"], state["fake"]


class Noise(Plugin):
    """Instance noise on all that D sees (Sønderby et al. 2017), with a knob of its own and its own randomness."""

    name = "noise"
    brings_knobs = (KnobSpec("d_noise", "standard deviation of the noise", ("set", "mul"), "on_step_start", base=0.1),)
    writes = {"d_noise": ("set",)}

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        self.knobs["d_noise"].set(0.1 * 0.9**ctx.step)

    @hookimpl
    def transform_d_input(
        self, ctx: StepContext, images: torch.Tensor, condition: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        sigma = self.knobs["d_noise"].value
        return images + sigma * torch.randn(images.shape, generator=self.rng), condition


class Pull(Plugin):
    """A term of G's own, weighted by a knob that the plugin brings."""

    name = "pull"
    brings_terms = ("pull",)
    brings_knobs = (
        KnobSpec("lambda_pull", "weight of the pull to the origin", ("set",), "before_g_backward", base=2.0),
    )

    @hookimpl
    def g_loss_terms(self, ctx: StepContext) -> dict[str, torch.Tensor]:
        assert ctx.fake is not None
        return {"pull": ctx.fake.square().mean()}


def test_each_keeps_every_promise_of_a_plugin() -> None:
    for plugin in (R1, LeCam, Noise, Pull):
        check_plugin(plugin, skip=["card"])


def test_r1_flattens_d_around_real_points() -> None:
    def slope(plugins: list[type[Plugin]]) -> float:
        trainer = toy_trainer(plugins, lr=1e-2)
        for _ in range(60):
            trainer.step(trainer.next_batch())
        real = trainer.model.real(trainer.next_batch()).detach().requires_grad_()
        logits = trainer.model.discriminate(trainer.D, real, None).logits
        (gradient,) = torch.autograd.grad(logits.sum(), real)
        return float(gradient.square().sum(1).mean())

    assert slope([R1]) < 0.5 * slope([])


def test_added_terms_are_counted_and_logged() -> None:
    trainer = toy_trainer([R1, Pull])
    trainer.step(trainer.next_batch())
    row = trainer.balance.last_row
    half = 0.5 * (row["loss/d_loss_real"] + row["loss/d_loss_fake"])
    assert abs(row["loss/d_loss"] - half - row["loss/d_category"] - row["loss/d_r1"]) < 1e-5
    assert abs(row["loss/g_loss"] - row["loss/adv"] - row["loss/category"] - 2.0 * row["loss/pull"]) < 1e-5
    assert row["share/pull"] > 0


def test_noise_is_in_what_d_saw_and_has_its_own_randomness() -> None:
    rows, states = [], []
    for plugins in ([Noise], []):
        trainer = toy_trainer(plugins)
        trainer.step(trainer.next_batch())
        rows.append(trainer.balance.last_row)
        states.append(torch.random.get_rng_state())
    assert rows[0]["knob/d_noise"] == 0.1
    assert rows[0]["signal/d_logit_real"] != rows[1]["signal/d_logit_real"]
    # The global generator, which dropout and G's noise use, does not know that there was more noise.
    assert torch.equal(*states)
