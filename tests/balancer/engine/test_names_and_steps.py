"""Names that are taken, values that plugins publish between steps, and what is held where nothing was read yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from balancer import Balancer, KnobSpec, Plugin, RunInfo, SignalSpec, StepContext, hookimpl, read_signals
from balancer.errors import BalancerError, CompositionError, ConfigError, PluginError
from balancer.testing import recorded, toy_trainer

TAKEN = ("step", "epoch", "adv_effective", "lambda_adv", "lambda_mine", "lr_d", "lr_mine", "real_label", "loss_adv",
         "loss_mine", "my_share")  # fmt: skip


def bringing(signal: str) -> type[Plugin]:
    class Brings(Plugin):
        name = "brings"
        brings_signals = (SignalSpec(signal, "plugin", "its own"),)

    return Brings


def adding(term: str, hook: str) -> type[Plugin]:
    def terms(self: Plugin, ctx: StepContext) -> dict[str, torch.Tensor]:
        assert ctx.fake_logits is not None
        return {term: ctx.fake_logits.mean()}

    return type("Adds", (Plugin,), {"name": "adds", hook: hookimpl(terms)})


@pytest.mark.parametrize("name", TAKEN)
def test_a_signal_of_a_plugin_cannot_have_a_name_that_is_taken(name: str) -> None:
    with pytest.raises(CompositionError, match=f"plugin brings brings the signal {name}, but .*: rename it"):
        toy_trainer([bringing(name)])


@pytest.mark.parametrize("name", [*TAKEN, "d_pull"])
def test_a_term_of_g_cannot_have_a_name_that_is_taken(name: str, tmp_path: Path) -> None:
    trainer = toy_trainer([adding(name, "g_loss_terms")], folder=tmp_path)
    with pytest.raises(ConfigError, match=f"step 0: g_loss_terms of plugin adds: .*{name}.*: rename"):
        trainer.step(trainer.next_batch())


@pytest.mark.parametrize("name", TAKEN)
def test_a_script_cannot_pass_a_signal_whose_name_is_taken(name: str) -> None:
    with pytest.raises(ConfigError, match=f"supplies '{name}', but .*: rename it"):
        Balancer([], supplies={name})
    with Balancer([]) as balance:
        balance.start_step()
        with pytest.raises(ConfigError, match=f"step 0: {name} cannot be passed as a signal, since .*: rename it"):
            balance.after_d_step(**{name: 1.0})
        balance.after_d_step()


@pytest.mark.parametrize("name", ["step", "epoch", "d_acc", "adv", "lr_scale", "loss_scale", "adv_effective"])
def test_a_knob_of_a_plugin_cannot_have_a_name_that_is_taken(name: str) -> None:
    class Brings(Plugin):
        name = "brings"
        brings_knobs = (KnobSpec("zeal", "", ("set",), "on_step_end"),)

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.brings_knobs = (KnobSpec(taken, "", ("set",), "on_step_end"),)

    taken = name
    with pytest.raises(CompositionError, match=f"plugin brings brings the knob {name}, but .*: rename it"):
        Balancer([Brings], supplies={"d_adv"})


def test_names_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    """A D term `pull` is the signal d_pull, a G term `pull` the signal pull; both come back as what they are."""
    both = type("Both", (Plugin,), {"name": "both", "brings_terms": {"d": ("pull",), "g": ("pull",)}, **{
        hook: hookimpl(lambda self, ctx: {"pull": ctx.fake_logits.mean()}) for hook in ("d_loss_terms", "g_loss_terms")
    }})  # fmt: skip
    trainer = toy_trainer([both], folder=tmp_path)
    with trainer.balance:
        for _ in range(3):
            trainer.step(trainer.next_batch())
    phases = recorded(tmp_path).phases
    assert (phases["d_pull"], phases["pull"], phases["pull_share"]) == ("d", "g", "g")
    assert {"d_pull", "loss_pull", "pull_share"} <= set(read_signals(tmp_path))


def test_a_model_cannot_call_a_term_by_a_name_that_is_taken() -> None:
    from balancer import ModelSpec
    from balancer.contract.host import model_host

    with pytest.raises(PluginError, match=r"model mine: a term of its loss makes the signal step, but .*: rename it"):
        model_host("mine", ModelSpec(weights={"step": 1.0}), 1.0)


class Publishes(Plugin):
    """Publishes when an epoch is over, between two steps."""

    name = "publishes"
    brings_signals = (SignalSpec("epochs_done", "plugin", "epochs that are over"),)

    @hookimpl
    def on_epoch_end(self, run: RunInfo, epoch: int) -> None:
        self.publish("epochs_done", epoch + 1.0)


def test_what_a_plugin_publishes_between_steps_survives_a_resume(tmp_path: Path) -> None:
    def steps(state: dict[str, Any] | None, until: int) -> dict[str, Any]:
        trainer = toy_trainer([Publishes], folder=tmp_path, batch_size=256)  # two steps an epoch
        if state is not None:
            trainer.load_state_dict(state)
        with trainer.balance:
            while trainer.balance.step < until:
                trainer.step(trainer.next_batch())
                if trainer.balance.step % trainer.steps_per_epoch == 0:
                    trainer.balance.end_epoch()
            return trainer.state_dict()

    steps(steps(None, 2), 4)
    column = read_signals(tmp_path)["epochs_done"].tolist()
    assert column[2] == 1.0
    assert recorded(tmp_path).phases["epochs_done"] == "plugin"


def test_held_is_the_value_now_until_the_knob_is_read() -> None:
    seen = []

    class Looks(Plugin):
        name = "looks"
        writes = {"lambda_adv": ("set",)}

        @hookimpl
        def on_epoch(self, run: RunInfo, epoch: int) -> None:
            self.knobs["lambda_adv"].set(0.5 + epoch)
            seen.append(self.knobs["lambda_adv"].held)

        @hookimpl
        def after_g_step(self, ctx: StepContext) -> None:
            self.knobs["lambda_adv"].set(9.0)
            seen.append(self.knobs["lambda_adv"].held)

    with Balancer([Looks], obeys={"lambda_adv"}) as balance:
        for epoch in range(2):
            balance.start_step(epoch=epoch)
            balance.after_d_step()
            assert balance.lambda_adv == 0.5 + epoch
    assert seen == [0.5, 0.5, 1.5, 1.5]


def test_a_text_in_place_of_a_moment_is_the_end_of_the_step_and_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="read_after = 'at each look' is not a moment"):
        assert KnobSpec("d_noise", "", ("set",), "at each look").read_after == "on_step_end"
    with pytest.warns(DeprecationWarning, match="read_after = 'whenever' is not a moment"):
        assert KnobSpec("d_noise", "", ("set",), takes_effect="whenever", base=2.0).read_after == "on_step_end"
    assert KnobSpec("d_noise", "", ("set",)).read_after == "on_step_end"
    assert KnobSpec("lambda_pull", "", ("set",)).read_after == "before_g_backward"


def test_a_plugin_that_still_names_alternatives_can_be_imported() -> None:
    import balancer

    with pytest.warns(DeprecationWarning, match="laws are asked"):
        assert balancer.Alternative("always", 0.5).value == 0.5


def test_the_former_name_of_the_recorder_warns(tmp_path: Path) -> None:
    with Balancer([], log_dir=tmp_path) as balance, pytest.warns(DeprecationWarning, match="recorder"):
        assert balance.telemetry is balance.recorder is not None


def test_a_composition_that_is_refused_leaves_no_trace(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    with pytest.raises(BalancerError):
        Balancer([bringing("step")], log_dir=folder)
    assert not folder.exists()
