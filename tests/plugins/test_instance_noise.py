"""instance_noise: what D sees, how σ falls, and what is said where it never does."""

from typing import Any

import pytest
import torch
from balancer_plugins.instance_noise import noise_left
from support.shapes_runs import shapes_trainer
from support.toy_steps import advance

from balancer import Balancer, Plugin, StepContext, hookimpl
from balancer.contract.moments import RunInfo
from balancer.errors import BalancerWarning, ConfigError
from balancer.testing import toy_trainer
from balancer.train.loop import Trainer


class Beside(Plugin):
    """Keeps what D sees after instance_noise."""

    name = "zzz_beside"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.seen: list[tuple[Any, Any]] = []

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        self.seen.append((images.detach().clone(), condition.detach().clone()))
        return images, condition


class Before(Beside):
    """Keeps what D would see without it."""

    name = "aaa_before"


def noises(trainer: Trainer) -> list[Any]:
    """The noise on each of D's inputs, in order: of a step on real images, on G's, and in G's pass."""
    before, after = [plugin for plugin in trainer.balance.composition.plugins if isinstance(plugin, Beside)]
    pairs = list(zip(before.seen, after.seen, strict=True))
    assert all(torch.equal(clean[1], seen[1]) for clean, seen in pairs), "the condition is left alone"
    return [seen[0] - clean[0] for clean, seen in pairs]


def test_noise_falls_linearly_over_half_the_planned_run() -> None:
    trainer = shapes_trainer([Before, "instance_noise", Beside], {"instance_noise": {"sigma": 0.4}}, steps=16)
    rows = []
    for _ in range(10):
        advance(trainer, 1)
        rows.append(trainer.balance.last_row["knob/d_noise"])
    assert rows == pytest.approx([0.4 * max(0.0, 1 - step / 8) for step in range(10)])
    found = noises(trainer)
    assert len(found) == 30
    for kind in range(3):
        assert [float(noise.std()) for noise in found[kind::3]] == pytest.approx(rows, rel=0.07, abs=1e-9)
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[1], found[2])


def test_steps_take_the_place_of_a_share() -> None:
    trainer = toy_trainer(["instance_noise"], {"instance_noise": {"steps": 4}}, steps=1000)
    rows = []
    for _ in range(6):
        advance(trainer, 1)
        rows.append(trainer.balance.last_row["knob/d_noise"])
    assert rows == pytest.approx([0.1, 0.075, 0.05, 0.025, 0.0, 0.0])
    with pytest.raises(ConfigError, match="share and steps each say when no noise is left: give one of them"):
        toy_trainer(["instance_noise"], {"instance_noise": {"steps": 4, "share": 0.3}})


def test_a_long_fall_is_a_thousand_decisions_at_most_and_ends_at_nothing() -> None:
    left = [noise_left(step, 50_000) for step in range(0, 60_000, 7)]
    assert left[0] == 1.0
    assert left == sorted(left, reverse=True)
    assert len(set(left)) <= 1001
    assert noise_left(49_999, 50_000) == 0.001
    assert noise_left(50_000, 50_000) == 0.0


def test_a_resume_with_more_steps_stretches_the_fall() -> None:
    first = advance(toy_trainer(["instance_noise"], steps=8), 2)
    longer = toy_trainer(["instance_noise"], steps=80)
    longer.load_state_dict(first.state_dict())
    advance(longer, 1)
    assert longer.balance.last_row["knob/d_noise"] == pytest.approx(0.1 * (1 - 2 / 40))


def test_noise_that_never_fades_is_warned_about() -> None:
    balance = Balancer(["instance_noise"], obeys={"transform_d_input"})
    with pytest.warns(BalancerWarning, match=r"the noise stays at 0\.1 and D never sees a clean image: pass steps= to"):
        balance.start_step()
    assert balance.board.value("d_noise") == 0.1
    told = Balancer(["instance_noise"], obeys={"transform_d_input"}, steps=10)
    told.start_step()


def test_another_law_may_turn_the_noise() -> None:
    class Quieter(Plugin):
        name = "quieter"
        writes = {"d_noise": ("mul",)}

        @hookimpl
        def on_run_start(self, run: RunInfo) -> None:
            self.knobs["d_noise"].mul(0.5)

    trainer = advance(toy_trainer(["instance_noise", Quieter], {"instance_noise": {"steps": 100}}), 1)
    assert trainer.balance.last_row["knob/d_noise"] == pytest.approx(0.05)


def test_whoever_reads_a_d_that_sees_noise_is_told() -> None:
    settings = {"d_skip": {"accuracy_above": 0.8}}
    plugins = ["instance_noise", "dynamic_lambda", "d_skip", "adaptive_augment"]
    composition = toy_trainer(plugins, settings).balance.composition
    names = [plugin.name for plugin in composition.plugins]
    assert names.index("adaptive_augment") < names.index("instance_noise"), "or noise would be moved and smoothed too"
    said = " ".join(composition.warnings)
    assert "dynamic_lambda reads the d_adv of a D that sees noise" in said
    assert "adaptive_augment reads the d_acc_real of a D that sees noise" in said
    assert "d_skip reads the d_acc of a D that sees noise" in said
    assert toy_trainer(["instance_noise", "d_skip"]).balance.composition.warnings == ()
