"""For authors of plugins: replay signals through laws without training, a toy run, the checks all plugins pass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancer.contract.compose import compose
from balancer.contract.host import model_host
from balancer.contract.plugin import Plugin
from balancer.hindsight.replay import PluginList, recorded, replay
from balancer.hindsight.trajectory import Replay
from balancer.train.points import PointsFamily, PointsSettings

if TYPE_CHECKING:
    from balancer.train.loop import Trainer

# The toy GAN itself stands in points.py, where an entry point finds it as `--model points`.
__all__ = ["PointsFamily", "PointsSettings", "Replay", "check_plugin", "recorded", "replay", "toy_trainer"]


def toy_trainer(
    plugins: PluginList,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    folder: Path | None = None,
    **train: Any,
) -> Trainer:
    """A trainer of the points model on the CPU, with these plugins; `train` are settings of `train.*`."""
    from balancer.record.config import TrainSettings
    from balancer.train.loop import Trainer, make_accelerator
    from balancer.train.random_state import seed_all

    values = settings or {}
    model = PointsSettings(**values.get("model", {}))
    options = TrainSettings(**{"device": "cpu", "batch_size": 32, "lr": 2e-3, **train})
    host = model_host("points", PointsFamily().spec(model), options.lambda_adv)
    composition = compose(plugins, values, host=host)
    seed_all(options.seed)
    return Trainer(PointsFamily().build(model), composition, options, make_accelerator(options, composition), folder)


def check_plugin(plugin: str | type[Plugin], settings: Mapping[str, Any] | None = None, steps: int = 12) -> None:
    """Run a plugin on the points model and check what every plugin must do.

    It composes; trains; writes nothing undeclared; does the same twice; goes on bit-identically from a
    saved state that holds primitives and tensors only; and leaves no trace where it is switched off.

    Raises:
        AssertionError: says which promise is broken. Errors of the plugin itself are raised as they are.
    """
    import tempfile

    import torch

    from balancer.record import checkpoint

    name = plugin if isinstance(plugin, str) else plugin.name
    values = {name: dict(settings or {})}
    half = steps // 2

    def trained(plugins: PluginList, count: int, state: Mapping[str, Any] | None = None) -> Trainer:
        trainer = toy_trainer(plugins, values)
        if state is not None:
            trainer.load_state_dict(state)
        while trainer.balance.step < count:
            trainer.step(trainer.next_batch())
        return trainer

    def weights(trainer: Trainer) -> list[torch.Tensor]:
        return [*trainer.G.state_dict().values(), *trainer.D.state_dict().values()]

    whole = trained([plugin], steps)
    again = trained([plugin], steps)
    assert all(map(torch.equal, weights(whole), weights(again))), f"{name}: two equal runs differ"
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder), half, trained([plugin], half).state_dict(), keep=1)
        state = checkpoint.load_latest(Path(folder)).state
    resumed = trained([plugin], steps, state)
    assert all(map(torch.equal, weights(whole), weights(resumed))), f"{name}: a resumed run differs from a whole one"
    off = trained([], half, state)
    for knob in off.balance.board.specs:
        left = off.balance.board.contributions(knob)
        assert not left, f"{name}: switched off on resume, it still holds {knob}"
