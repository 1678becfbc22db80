"""For authors of plugins and models: replays without training, a toy run, the checks that all of theirs pass."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancer.conformance.report import Report
from balancer.contract.adversarial import as_list
from balancer.contract.plugin import Plugin
from balancer.extras import extras_named
from balancer.hindsight.replay_rows import PluginList, recorded
from balancer.hindsight.replay_rows import replay_rows as replay
from balancer.hindsight.trajectory import Replay
from balancer.train.points import PointsFamily, PointsSettings
from balancer.train.toy import same_weights, small_trainer

if TYPE_CHECKING:
    from balancer.contract.model import ModelFamily
    from balancer.train.loop import Trainer

# The toy GAN itself stands in points.py, where an entry point finds it as `--model points`.
__all__ = [
    "PointsFamily",
    "PointsSettings",
    "Replay",
    "Report",
    "check_model",
    "check_plugin",
    "recorded",
    "replay",
    "toy_trainer",
]


@extras_named()
def toy_trainer(
    plugins: PluginList,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    folder: Path | None = None,
    **train: Any,
) -> Trainer:
    """A trainer of the points model on the CPU, with these plugins; `train` are settings of `train.*`."""
    values = settings or {}
    model = PointsSettings(**values.get("model", {}))
    return small_trainer(
        "points", PointsFamily(), model, plugins, values, folder, {"batch_size": 32, "lr": 2e-3, **train}
    )


@extras_named()
def check_model(
    family: ModelFamily, settings: Mapping[str, Any] | None = None, steps: int = 4, **train: Any
) -> Trainer:
    """Train a model on the CPU for a few steps and check what every model must do.

    It computes the terms that its spec names, and as many images as that says, shaped as the real ones; its heads are
    parts of D; two equal runs are equal; a resumed one goes on bit for bit; drawing a sheet changes nothing. `settings`
    are those of the model, `train` those of `train.*`. Returns the trained trainer, for further checks.

    Raises:
        AssertionError: says which promise is broken. Errors of the model itself are raised as they are.
    """
    import tempfile

    from balancer.record import checkpoint

    model = family.Settings(**(settings or {}))
    options = {"batch_size": 8, **family.train_defaults(model), **train}

    def trained(count: int, state: Mapping[str, Any] | None = None, sheet: bool = False) -> Trainer:
        trainer = small_trainer(type(family).__name__, family, model, [], {}, None, options)
        if state is not None:
            trainer.load_state_dict(state)
        while trainer.balance.step < count:
            if sheet:
                _draw(trainer)
            trainer.step(trainer.next_batch())
        return trainer

    whole = trained(steps)
    _check_outputs(whole)
    assert same_weights(whole, trained(steps)), "two equal runs differ"
    assert same_weights(whole, trained(steps, sheet=True)), "drawing a sheet changes the run"
    half = steps // 2
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder), half, trained(half).state_dict(), keep=1)
        state = checkpoint.load_latest(Path(folder)).state
    assert same_weights(whole, trained(steps, state)), "a resumed run differs from a whole one"
    return whole


@extras_named()
def check_plugin(
    plugin: str | type[Plugin],
    settings: Mapping[str, Any] | None = None,
    steps: int = 8,
    *,
    beside: PluginList = (),
    skip: Collection[str] = (),
    strict: bool = False,
) -> Report:
    """Check what every plugin must do, as `balancer plugins test` does; the promises are those that it prints.

    `plugin` is a name, `FILE.py:CLASS` or a class; `settings` should make it act within a few steps. `beside` are
    plugins that it needs, such as one whose signal it reads. `skip` names checks to leave out, such as `card`; `strict`
    takes remarks for failures. Returns the report.

    Raises:
        AssertionError: says which promises are broken, one line each.
        PluginError, ConfigError: there is no such plugin, or its settings cannot be used.
    """
    from balancer.conformance.check import check

    report = check(plugin, settings, beside=beside, steps=steps, skip=skip, strict=strict)
    if not report.passed:
        raise AssertionError("\n".join([f"{report.plugin} breaks a promise:", *map(str, report.failures)]))
    return report


def _draw(trainer: Trainer) -> None:
    import torch

    trainer.G.eval()
    with torch.no_grad():
        trainer.model.sheet(trainer.G)
    trainer.G.train()


def _check_outputs(trainer: Trainer) -> None:
    model, batch = trainer.model, trainer.next_batch()
    spec, real = model.spec, model.real(batch)
    fake = model.generate(trainer.G, batch)
    expected = (spec.fakes_per_real * len(real), *real.shape[1:])
    assert fake.images.shape == expected, f"G draws {tuple(fake.images.shape)}, expected {tuple(expected)}"
    condition = model.condition(batch)
    assert condition is not None or not spec.conditional, "the spec says that D sees a condition, and there is none"
    on_real = model.discriminate(trainer.D, real, condition)
    judged = model.discriminate(trainer.D, fake.images, condition if fake.condition is None else fake.condition)
    for logits in (on_real.logits, judged.logits):
        count = len(as_list(logits, "logits"))
        assert count == spec.discriminators, (
            f"logits are of {count} discriminators, the spec says {spec.discriminators}"
        )
    for of, terms, named in (
        ("D", model.d_terms(on_real, judged, batch), spec.d_terms),
        ("G", model.g_terms(fake, judged, batch), spec.weights),
    ):
        assert set(terms) == set(named), f"{of}'s terms are {sorted(terms)}, the spec names {sorted(named)}"
        for name, value in terms.items():
            assert value.ndim == 0, f"{of}'s term {name} has shape {tuple(value.shape)}, not that of a scalar"
    for output in (on_real, judged):
        assert bool(output.features) == spec.features, "the spec and D's outputs disagree about its maps (features)"
    layer = model.last_layer()
    assert layer is None or any(layer is parameter for parameter in trainer.G.parameters()), "last_layer is none of G's"
    own = {id(parameter) for parameter in trainer.D.parameters()}
    for head in spec.heads:
        parts = [id(parameter) for parameter in model.head_parameters(head)]
        assert parts and own.issuperset(parts), f"head {head} is not a part of D"
