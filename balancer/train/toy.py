"""Trainers of small models on the CPU, made in one call: for tests of plugins and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancer.contract.compose import compose
from balancer.contract.host import model_host
from balancer.contract.plugin import Plugin

if TYPE_CHECKING:
    from balancer.contract.model import ModelFamily
    from balancer.engine.audit import AuditMode
    from balancer.train.loop import Trainer


def small_trainer(
    name: str,
    family: ModelFamily,
    model: Any,
    plugins: Sequence[str | type[Plugin]],
    settings: Mapping[str, Mapping[str, Any]],
    folder: Path | None,
    train: Mapping[str, Any],
    audit: AuditMode = "warn",
) -> Trainer:
    """A seeded trainer of a family with these settings and plugins; `train` are settings of `train.*`."""
    from balancer.record.train_settings import TrainSettings
    from balancer.train.accelerator import make_accelerator
    from balancer.train.loop import Trainer
    from balancer.train.random_state import seed_all

    options = TrainSettings(**{"device": "cpu", **train})
    measured = {"gradients": options.gradients_every != 0, "probes": options.probe_every != 0}
    host = model_host(name, family.spec(model), options.lambda_adv, **measured)
    composition = compose(plugins, settings, host=host)
    seed_all(options.seed)
    return Trainer(family.build(model), composition, options, make_accelerator(options, composition), folder, audit)


def same_weights(one: Trainer, two: Trainer) -> bool:
    """Whether two trainers' networks hold the same bits."""
    import torch

    ours, theirs = ([*trainer.G.state_dict().values(), *trainer.D.state_dict().values()] for trainer in (one, two))
    return all(map(torch.equal, ours, theirs))
