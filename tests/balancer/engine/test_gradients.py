"""Gradients of G's terms: what a law is shown, what is released, and the signals, which change nothing."""

import gc
import math
import weakref
from typing import Any

import pytest
import torch
from support.shapes_runs import shapes_trainer
from support.toy_steps import advance, equal, weights
from torch import nn

from balancer import Balancer, Plugin, StepContext, hookimpl
from balancer.contract.signals import GRADIENT_SIGNALS
from balancer.errors import CompositionError, ConfigError, PluginError
from balancer.testing import toy_trainer


class Keeper(Plugin):
    """Asks for a gradient, and keeps all that it can get hold of."""

    name = "keeper"
    sees = ("gradients",)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.norms: list[float | None] = []

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        assert ctx.gradient_norm is not None and ctx.terms is not None and ctx.fake is not None
        self.ctx, self.function = ctx, ctx.gradient_norm
        self.norms.append(ctx.gradient_norm({"adv": 1.0, "l1": 2.0}))
        self.norms.append(ctx.gradient_norm("adv", at="output"))


def script(plugin: type[Plugin] = Keeper, **options: Any) -> Balancer:
    return Balancer([plugin], supplies={"adv", "l1", "gradients"}, **options)


def tensors(scale: float = 1.0, dtype: torch.dtype = torch.float32) -> tuple[nn.Parameter, Any, dict[str, Any]]:
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=dtype))
    fake = weight * torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=dtype)
    return weight, fake, {"adv": (scale * fake).square().sum(), "l1": fake.abs().mean()}


def kept(balance: Balancer) -> Keeper:
    (plugin,) = balance.composition.plugins
    assert isinstance(plugin, Keeper)
    return plugin


def test_nothing_of_the_graph_outlives_the_moment() -> None:
    weight, fake, terms = tensors()
    balance = script(last_layer=weight)
    balance.start_step()
    balance.before_g_backward(fake=fake, **terms)
    gone = [weakref.ref(value) for value in (fake, *terms.values())]
    del fake, terms
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3
    plugin = kept(balance)
    assert plugin.ctx.terms is None and plugin.ctx.fake is None and plugin.ctx.gradient_norm is None
    with pytest.raises(PluginError, match=r"within before_g_backward only"):
        plugin.function("adv")


def test_norms_at_the_last_layer_and_at_the_images() -> None:
    weight, fake, terms = tensors()
    balance = script(last_layer=weight)
    balance.start_step()
    balance.before_g_backward(fake=fake, **terms)
    at_layer = torch.autograd.grad(terms["adv"] + 2 * terms["l1"], weight, retain_graph=True)[0].norm()
    at_images = torch.autograd.grad(terms["adv"], fake, retain_graph=True)[0].norm()
    assert kept(balance).norms == pytest.approx([float(at_layer), float(at_images)])
    (terms["adv"] + terms["l1"]).backward()  # the graph is the host's still
    assert weight.grad is not None


def test_without_a_last_layer_it_is_at_the_images() -> None:
    _, fake, terms = tensors()
    balance = script()
    balance.start_step()
    balance.before_g_backward(fake=fake, **terms)
    both = torch.autograd.grad(terms["adv"] + 2 * terms["l1"], fake)[0].norm()
    assert kept(balance).norms[0] == pytest.approx(float(both))


def test_a_gradient_that_overflows_in_half_precision_is_none_and_a_norm_does_not_overflow() -> None:
    weight, fake, terms = tensors(scale=100.0, dtype=torch.float16)
    balance = script(last_layer=weight)
    balance.start_step()
    balance.before_g_backward(fake=fake, **terms)
    assert kept(balance).norms[1] is None
    weight, fake, terms = tensors(scale=20.0, dtype=torch.float16)
    terms["adv"] = (20.0 * fake).float().square().sum()
    balance.after_g_step()
    balance.start_step()
    balance.before_g_backward(fake=fake, **terms)
    found = kept(balance).norms[-1]
    assert found is not None and math.isfinite(found) and found**2 > 65504, "its square has no room in half precision"


def test_a_term_outside_the_graph_is_said() -> None:
    weight, fake, terms = tensors()
    balance = script(last_layer=weight)
    balance.start_step()
    with pytest.raises(ConfigError, match=r"step 0: adv was passed to before_g_backward outside the graph"):
        balance.before_g_backward(fake=fake, adv=terms["adv"].item(), l1=terms["l1"])


def test_what_a_host_does_not_show_is_refused_with_what_to_pass() -> None:
    ask = (
        "pass fake= and G's terms as tensors in the graph to balance.before_g_backward and list 'gradients' in supplies"
    )
    with pytest.raises(
        CompositionError, match=rf"keeper of .* sees gradients, which this script does not show: .*{ask}"
    ):
        Balancer([Keeper], supplies={"adv"})
    balance = script()
    balance.start_step()
    with pytest.raises(ConfigError, match=r"step 0: plugin keeper sees gradients, .* did not pass to"):
        balance.before_g_backward(adv=1.0)


@pytest.mark.parametrize("train", [{}, {"micro_batches": 2, "g_updates": 2}, {"ema_half_life": 50.0}])
def test_measuring_changes_no_bit_of_the_run(train: dict[str, Any]) -> None:
    runs = [
        toy_trainer(["d_skip"], {"model": {"norm": "batch"}, "d_skip": {"every": 2}}, gradients_every=every, **train)
        for every in (0, 2)
    ]
    states = []
    for trainer in runs:
        torch.manual_seed(3)
        advance(trainer, 5)
        states.append((weights(trainer), torch.get_rng_state(), trainer.balance.last_row))
    assert equal(states[0][0], states[1][0])
    assert torch.equal(states[0][1], states[1][1])
    gradients = {tag for tag in states[1][2] if "_grad_" in tag}
    assert {tag: value for tag, value in states[1][2].items() if tag not in gradients} == states[0][2]
    assert gradients == {
        f"signal/{name}" for name in ("g_grad_adv", "g_grad_rec", "g_grad_cos", "g_grad_norm", "d_grad_norm")
    }


def test_the_signals_are_those_of_the_whole_batch_also_in_parts() -> None:
    rows = [advance(shapes_trainer([], gradients_every=1, micro_batches=parts), 1).balance.last_row for parts in (1, 4)]
    for name in ("g_grad_adv", "g_grad_rec", "g_grad_cos", "g_grad_norm", "d_grad_norm"):
        assert rows[0][f"signal/{name}"] == pytest.approx(rows[1][f"signal/{name}"], rel=1e-3)


def test_the_backward_pass_tells_the_same_as_one_of_their_own() -> None:
    rows = []
    for told in (True, False):
        trainer = shapes_trainer([], gradients_every=1)
        trainer.balance.load_state_dict(trainer.balance.state_dict() | {"gradients": {"told": told}})
        rows.append(advance(trainer, 2).balance.last_row)
    for name in GRADIENT_SIGNALS:
        assert rows[0][f"signal/{name}"] == pytest.approx(rows[1][f"signal/{name}"], rel=1e-4)


@pytest.mark.parametrize("scale", [1.0, 1024.0, 0.25])
@pytest.mark.parametrize("untold", [0.0, 2.0])
def test_a_script_may_scale_its_loss_and_add_what_it_told_nobody(scale: float, untold: float) -> None:
    weight = torch.arange(6.0).requires_grad_()
    balance = Balancer(
        [],
        optimizers={"g": (optimizer := torch.optim.SGD([weight], lr=0.0))},
        base={"lambda_adv": 0.5, "lambda_l1": 3.0},
        supplies={"gradients"},
        gradients_every=1,
    )
    for _ in range(20):  # the pass is compared in steps 0 and 16
        balance.start_step()
        fake = weight * 1.5
        terms = {"adv": fake.square().sum(), "l1": (fake - 1.0).abs().mean()}
        adv, rec = (torch.autograd.grad(terms[t], fake, retain_graph=True)[0] for t in ("adv", "l1"))
        optimizer.zero_grad()
        balance.before_g_backward(fake=fake, **terms)
        (scale * (0.5 * terms["adv"] + 3.0 * terms["l1"] + untold * fake.sum())).backward()
        optimizer.step()
        balance.end_step()
        row = balance.last_row
        assert row["signal/g_grad_adv"] == pytest.approx(float(adv.norm()))
        assert row["signal/g_grad_rec"] == pytest.approx(3 * float(rec.norm()), rel=1e-4)
        assert row["signal/g_grad_cos"] == pytest.approx(float(torch.cosine_similarity(adv, rec, 0)), abs=1e-4)


def test_the_signals_of_a_script() -> None:
    weight, fake, terms = tensors()
    optimizer = torch.optim.SGD([weight], lr=0.1)
    balance = Balancer(
        [],
        optimizers={"g": optimizer},
        base={"lambda_adv": 0.5, "lambda_l1": 3.0},
        supplies={"gradients"},
        gradients_every=2,
    )
    rows = []
    for _ in range(3):
        balance.start_step()
        _, fake, terms = weight, weight * torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), {}
        terms = {"adv": fake.square().sum(), "l1": fake.abs().mean()}
        adv, rec = (torch.autograd.grad(terms[t], fake, retain_graph=True)[0].flatten() for t in ("adv", "l1"))
        optimizer.zero_grad()
        balance.before_g_backward(fake=fake, **terms)
        (0.5 * terms["adv"] + 3.0 * terms["l1"]).backward()
        norm = float(weight.grad.norm())  # type: ignore[union-attr]
        optimizer.step()
        balance.end_step()
        rows.append(balance.last_row)
        if balance.step != 2:
            assert balance.last_row["signal/g_grad_adv"] == pytest.approx(float(adv.norm()))
            assert balance.last_row["signal/g_grad_rec"] == pytest.approx(3 * float(rec.norm()))
            assert balance.last_row["signal/g_grad_cos"] == pytest.approx(float(torch.cosine_similarity(adv, rec, 0)))
            assert balance.last_row["signal/g_grad_norm"] == pytest.approx(norm)
    assert not any("_grad_" in tag for tag in rows[1]), "every second step"


def test_a_law_on_gradients_has_them_measured() -> None:
    reads = type("Reads", (Plugin,), {"name": "reads_gradients", "reads": ("g_grad_cos", "d_grad_norm")})
    with pytest.raises(CompositionError, match=r"reads g_grad_cos, but train.gradients_every is 0: set it"):
        toy_trainer([reads], gradients_every=0)
    with pytest.raises(CompositionError, match=r"reads g_grad_cos, which this script .*gradients_every=16"):
        Balancer([reads])
    told = advance(toy_trainer([reads]), 1).balance.last_row
    assert {"signal/g_grad_cos", "signal/d_grad_norm"} <= set(told)
    assert not any("_grad_" in tag for tag in advance(toy_trainer([]), 1).balance.last_row)


class Weighs(Plugin):
    """Keeps what G's terms weigh."""

    name = "weighs"
    sees = ("gradients",)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.found: list[Any] = []

    @hookimpl
    def before_g_backward(self, ctx: StepContext) -> None:
        self.found.append(ctx.weights)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_law_sees_what_gs_terms_weigh_where_that_is_told(parts: int) -> None:
    plugins = [Weighs, "feature_matching", "freeze_head"]
    head = {"freeze_head": {"head": "shape", "until": 1, "clock": "step"}}
    trainer = advance(shapes_trainer(plugins, head, micro_batches=parts), 2)
    found = next(plugin.found for plugin in trainer.balance.composition.plugins if isinstance(plugin, Weighs))
    weights = {"adv": 1.0, "l1": 10.0, "shape": 1.0, "feature_matching": 10.0}
    assert found == [{**weights, "shape": 0.0}, weights]
    untold = script(Weighs)
    untold.start_step()
    _, fake, terms = tensors()
    untold.before_g_backward(fake=fake, **terms)
    assert [plugin.found for plugin in untold.composition.plugins if isinstance(plugin, Weighs)] == [[None]]


def test_two_laws_of_which_one_sees_gradients_fight_over_a_knob_too() -> None:
    class Louder(Plugin):
        name = "louder"
        sees = ("gradients",)
        writes = {"lambda_adv": ("mul",)}

    with pytest.raises(
        CompositionError, match=r"dynamic_lambda and louder each read signals or gradients and turn lambda"
    ):
        toy_trainer(["dynamic_lambda", Louder])
