"""What plugins see in G's part: real images, D's answer to them, its maps; and what seeing costs nobody else."""

from typing import Any

import pytest
import torch
from support.shapes_runs import shapes_trainer
from support.toy_steps import advance, equal, weights
from torch import Tensor

from balancer import Balancer, Plugin, StepContext, hookimpl
from balancer.errors import CompositionError, ConfigError
from balancer.testing import toy_trainer


class Looks(Plugin):
    """Keeps what G's moment shows."""

    name = "looks"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.found: list[dict[str, Any]] = []

    @hookimpl
    def g_loss_terms(self, ctx: StepContext) -> None:
        fields = (
            "real",
            "fake",
            "condition",
            "fake_condition",
            "real_logits",
            "fake_logits",
            "real_features",
            "fake_features",
        )
        self.found.append({name: getattr(ctx, name) for name in fields})


class Sees(Looks):
    name = "sees"
    sees = ("real_logits", "features")


def found(trainer: Any) -> list[dict[str, Any]]:
    (plugin,) = [plugin for plugin in trainer.balance.composition.plugins if isinstance(plugin, Looks)]
    return plugin.found


def test_a_plugin_that_asks_sees_d_on_both() -> None:
    trainer = advance(shapes_trainer([Sees]), 1)
    (shown,) = found(trainer)
    with torch.no_grad():
        again = trainer.model.discriminate(trainer.D, shown["real"], shown["condition"])
    assert torch.equal(shown["real_logits"], again.logits)  # type: ignore[arg-type]
    assert not shown["real_logits"].requires_grad and shown["fake_logits"].requires_grad
    assert [torch.equal(a, b) for a, b in zip(shown["real_features"], again.features, strict=True)] == [True, True]
    assert [maps.shape for maps in shown["fake_features"]] == [maps.shape for maps in shown["real_features"]]
    assert all(isinstance(maps, Tensor) and maps.requires_grad for maps in shown["fake_features"])


@pytest.mark.parametrize("train", [{}, {"micro_batches": 2, "g_updates": 2}])
def test_seeing_changes_no_bit_of_the_run(train: dict[str, Any]) -> None:
    settings = {"model": {"norm": "batch"}}
    runs = [advance(toy_trainer(plugins, settings, **train), 4) for plugins in ([], [Looks], [Sees])]
    assert equal(weights(runs[0]), weights(runs[1]))
    assert equal(weights(runs[0]), weights(runs[2])), "D's running statistics among them"
    assert all(shown["real_logits"] is None and shown["real_features"] is None for shown in found(runs[1]))
    assert all(shown["real"] is not None for shown in found(runs[1]))


def test_a_host_without_them_is_told_what_to_pass() -> None:
    with pytest.raises(
        CompositionError,
        match=r"sees real_logits, which this script does not show: this script would have to pass real_logits=",
    ):
        Balancer([Sees], obeys={"g_loss_terms"})
    balance = Balancer([Sees], obeys={"g_loss_terms"}, supplies={"real_logits", "features"})
    balance.start_step()
    with pytest.raises(
        ConfigError, match=r"step 0: plugin sees sees features, .* did not pass to g_loss_terms: pass real_features="
    ):
        balance.g_loss_terms(real_logits=torch.zeros(2), fake_logits=torch.zeros(2))
    maps = (torch.ones(2, 3),)
    balance.g_loss_terms(real_logits=torch.zeros(2), real_features=maps, fake_features=maps)
    assert found(type("T", (), {"balance": balance}))[0]["real_features"] is maps


@pytest.mark.parametrize("call", ["d_loss_terms", "g_loss_terms"])
def test_beside_gs_images_a_script_shows_a_condition_each(call: str) -> None:
    class Beside(Plugin):
        name = "beside"

        @hookimpl
        def d_loss_terms(self, ctx: StepContext) -> None:
            shown.append(ctx.fake_condition)

        @hookimpl
        def g_loss_terms(self, ctx: StepContext) -> None:
            shown.append(ctx.fake_condition)

    shown: list[Tensor | None] = []
    balance = Balancer([Beside], obeys={"d_loss_terms", "g_loss_terms"})
    balance.start_step()
    real, fakes = torch.zeros(3, 2), torch.zeros(6, 2)
    condition, twice = torch.arange(3.0), torch.arange(6.0)
    report = getattr(balance, call)
    report(real=real, fake=real, condition=condition)
    report(real=real, fake=fakes, condition=condition, fake_condition=twice)
    report(real=real, fake=fakes)
    assert shown[0] is condition and shown[1] is twice and shown[2] is None
    with pytest.raises(
        ConfigError, match=rf"step 0: {call} shows 6 of G's images beside 3 conditions: pass fake_condi"
    ):
        report(real=real, fake=fakes, condition=condition)


def test_a_model_without_maps_is_told_what_to_return() -> None:
    from balancer import ModelSpec
    from balancer.contract.compose import compose
    from balancer.contract.host import model_host

    with pytest.raises(CompositionError, match=r"sees features, which model mine does not show: .*features=True"):
        compose([Sees], host=model_host("mine", ModelSpec(), 1.0))


def test_a_misspelt_sight_is_refused() -> None:
    with pytest.raises(Exception, match=r"sees feature: no such thing to see: did you mean features"):
        toy_trainer([type("Odd", (Plugin,), {"name": "odd", "sees": ("feature",)})])
