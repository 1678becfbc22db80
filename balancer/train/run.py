"""From a validated config to a trained run directory, and back from a run directory to where it stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancer.contract.plugin_files import references
from balancer.contract.registry import find_config
from balancer.engine.ranks import is_first_rank
from balancer.errors import ConfigError
from balancer.record.config_changes import refuse_changes
from balancer.record.config_files import read_config, write_config
from balancer.record.folder import CHECKPOINTS, default_folder, refuse_used
from balancer.record.run_config import RunConfig, check_shape, flat, make_config, read_toml

if TYPE_CHECKING:
    from balancer.train.loop import Trainer


@dataclass(frozen=True)
class Outcome:
    """How a run ended: whether it reached its length, and where it stands."""

    folder: Path
    steps: int
    finished: bool


def config_for_resume(
    folder: Path,
    config_name: str | None,
    overrides: Mapping[str, Mapping[str, Any]],
    plugins: Sequence[str] | None,
    allowed: Sequence[str],
) -> RunConfig:
    """The config with which a run goes on: its own, with changes only where they are allowed by name.

    A further config, such as a recipe, is put over the run's own before `overrides`.

    Raises:
        ConfigError: no run there, or a change that is not allowed.
    """
    old = read_config(folder, "--resume ")
    if config_name is not None:
        further = read_toml(find_config(config_name))
        check_shape(further)
        run = further.pop("run", {})
        plugins = run.get("plugins") if plugins is None else plugins
        overrides = {name: {**further.get(name, {}), **overrides.get(name, {})} for name in {*further, *overrides}}
    # Settings of a plugin that is left out go with it.
    chosen = old["run"]["plugins"] if plugins is None else plugins
    kept = {name for name, _ in references(chosen, old["run"].get("files", {}))}
    tables = {name: table for name, table in old.items() if name in ("run", "train", "model") or name in kept}
    config = make_config(tables, overrides, plugins=plugins)
    refuse_changes(old, config.resolved(), allowed)
    return config


def train(
    config: RunConfig, *, out: Path | None, resume: Path | None, quiet: bool, other_data: bool = False
) -> Outcome:
    """Train, in a new run directory or in the one that is resumed, which `other_data` lets go on with other data.

    Raises:
        ConfigError: no length, or the directory exists already or cannot be made.
        DataError, CheckpointError, TrainingError: see the model and `balancer.train.loop.Trainer.run`.
    """
    from balancer.train.progress import Progress

    if config.train.steps is None and config.train.epochs is None:
        raise ConfigError("how long? give --steps N or --epochs N")
    folder = resume or out or default_folder(config.model_name, [plugin.name for plugin in config.composition.plugins])
    if resume is None and is_first_rank():
        refuse_used(folder)
    trainer = build(config, folder)
    total = length(config, trainer.steps_per_epoch)
    begun: Sequence[str] = ()
    done, notes = 0, list(config.composition.warnings)
    if resume is not None:
        done, skipped = restore(trainer, folder, total, other_data=other_data)
        notes += skipped
    else:
        begun = trainer.model.begin()
    trainer.trackers.start(config.model_name, {**flat(config.resolved()), "run.folder": str(folder)})
    if trainer.accelerator.is_main_process:
        write_config(config.toml(sizes(trainer)), folder, done)
    trainer.accelerator.wait_for_everyone()
    progress = Progress(
        total,
        done,
        adversarial=trainer.balance.loss,
        quiet=quiet or not trainer.accelerator.is_main_process,
    )
    for remark in (*trainer.model.remarks(), *begun):
        progress.say(remark)
    for note in notes:
        progress.say(f"warning: {note}")
    if trainer.balance.recorder is not None and not done:
        trainer.balance.recorder.hparams(flat(config.resolved()))
    finished = trainer.run(total, progress)
    # A rank that leaves while another still talks to it would abort that one.
    trainer.accelerator.wait_for_everyone()
    trainer.trackers.finish()
    trainer.accelerator.end_training()
    return Outcome(folder, trainer.balance.step, finished)


def build(config: RunConfig, folder: Path | None) -> Trainer:
    """Model, data and trainer, seeded; writes nothing but the run directory's logs.

    Raises:
        DataError: the model's data cannot be used.
        ConfigError: ranks do not share a batch evenly, or the device is not there.
    """
    import torch

    from balancer.train.loop import Trainer, make_accelerator
    from balancer.train.random_state import seed_all
    from balancer.train.trackers import check_trackers

    settings = config.train
    check_trackers(settings.trackers or ())
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train.device = cuda, but torch sees no CUDA device here: use --device cpu")
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    seed_all(settings.seed)
    model = config.family.build(config.model)
    accelerator = make_accelerator(settings, config.composition, folder)
    ranks = accelerator.num_processes
    size = min(settings.batch_size, model.train_size)
    if size % ranks:
        raise ConfigError(f"train.batch_size: {size} items do not divide evenly among {ranks} ranks")
    if size // ranks % settings.micro_batches:
        parts = settings.micro_batches
        raise ConfigError(f"train.micro_batches: {size // ranks} items do not divide evenly into {parts} micro-batches")
    # Weights are the same on every rank; dropout is not.
    seed_all(settings.seed + accelerator.process_index)
    return Trainer(model, config.composition, settings, accelerator, folder)


def restore(trainer: Trainer, folder: Path, total: int, *, other_data: bool = False) -> tuple[int, list[str]]:
    """Load the newest good checkpoint; the steps it has done, and what had to be passed over.

    Raises:
        CheckpointError: there is no good one, or it does not fit the model.
        ConfigError: nothing is left to do; the run is left as it is.
    """
    from balancer.record import checkpoint, checkpoint_form

    loaded = checkpoint.load_latest(folder / CHECKPOINTS)
    if loaded.step >= total:
        raise ConfigError(f"--resume {folder}: it has done {loaded.step} steps already; ask for more with --steps")
    with checkpoint.reading(loaded.path):
        checkpoint_form.require_form(loaded.state, loaded.step)
        trainer.load_state_dict(loaded.state, other_data=other_data)
    onward = [f"going on from step {loaded.step}"] if loaded.skipped else []
    return loaded.step, [*loaded.skipped, *onward]


def length(config: RunConfig, steps_per_epoch: int) -> int:
    """The run's length in steps; a count of steps goes before one of epochs."""
    steps = config.train.length(steps_per_epoch)
    assert steps is not None
    return steps


def sizes(trainer: Trainer) -> dict[str, int]:
    """What was built, as `[run.sizes]` keeps it: parameters of each network, and training items."""
    networks = {"generator_parameters": trainer.G, "discriminator_parameters": trainer.D}
    counts = {name: sum(part.numel() for part in network.parameters()) for name, network in networks.items()}
    return {**counts, "training_items": trainer.model.train_size}
