"""From a validated config to a trained run directory, and back from a run directory to where it stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancer.contract.plugin_files import references
from balancer.contract.registry import find_config
from balancer.engine.ranks import is_first_rank
from balancer.errors import ConfigError
from balancer.record.claim import locked, new_run
from balancer.record.config_changes import kept_settings, refuse_changes, refuse_edits
from balancer.record.config_files import edited, read_config, write_config
from balancer.record.folder import CHECKPOINTS, default_names
from balancer.record.run_config import RunConfig, check_shape, flat, make_config, read_toml
from balancer.record.settings_tables import as_table
from balancer.record.train_settings import TrainSettings
from balancer.train.same_everywhere import require_same_run, require_same_start

if TYPE_CHECKING:
    from balancer.train.loop import Trainer
    from balancer.train.stopping import StopRequests


@dataclass(frozen=True)
class Onward:
    """How a run goes on: with what may differ, by name, and from which step's checkpoint, if not the newest."""

    allowed: Sequence[str] = ()
    from_step: int | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended: whether it reached its length, where it stands, and what seems wrong with it."""

    folder: Path
    steps: int
    finished: bool
    fault: str = ""


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
    # A setting that is newer than the run's config was at its default then.
    then = {**old, "train": {**as_table(TrainSettings.model_validate({}), "the loop", "train"), **old["train"]}}
    refuse_changes(then, config.resolved(), allowed)
    return config


def train(
    config: RunConfig,
    *,
    out: Path | None,
    resume: Path | None,
    quiet: bool,
    allowed: Sequence[str] = (),
    from_step: int | None = None,
    stop: StopRequests | None = None,
) -> Outcome:
    """Train, in a new run directory or in the one that is resumed, which may go on with what is `allowed` to differ.

    A resume goes on from the newest good checkpoint, or from the one of `from_step`; `stop` is who catches signals.

    Raises:
        ConfigError: no length, or the directory exists already or cannot be made.
        DataError, CheckpointError, TrainingError: see the model and `balancer.train.loop.Trainer.run`.
        RanksDiffer: ranks have not the same settings, plugins, packages, data or start.
    """
    if config.train.steps is None and config.train.epochs is None:
        raise ConfigError("how long? give --steps N or --epochs N")
    names = [plugin.name for plugin in config.composition.plugins]
    with contextlib.ExitStack() as held:
        said: Sequence[str] = ()
        # The first rank alone writes there.
        folder = resume or out or next(default_names(config.model_name, names))
        if is_first_rank() and resume is not None:
            held.enter_context(locked(resume))
        elif is_first_rank():
            folder, said = held.enter_context(new_run(out, config.model_name, names))
        onward = None if resume is None else Onward(allowed, from_step)
        return _train_in(folder, config, said, onward, quiet=quiet, stop=stop)


def _train_in(
    folder: Path,
    config: RunConfig,
    said: Sequence[str],
    onward: Onward | None,
    *,
    quiet: bool,
    stop: StopRequests | None,
) -> Outcome:
    from balancer.train.progress import Progress

    trainer = build(config, folder)
    total = length(config, trainer.steps_per_epoch)
    begun: Sequence[str] = ()
    done, notes = 0, [*said, *config.composition.warnings]
    damage: list[str] = []
    if onward is not None:
        done, skipped = restore(trainer, folder, config, total, onward)
        damage = [*skipped, *edited(folder)]
    else:
        begun = trainer.model.begin()
    require_same_start(done, trainer.G, trainer.D)
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
    for note in damage if trainer.accelerator.is_main_process else ():
        progress.say(f"warning: {note}", always=True)
    if trainer.balance.recorder is not None and not done:
        trainer.balance.recorder.hparams(flat(config.resolved()))
    finished = trainer.run(total, progress, stop)
    # A rank that leaves while another still talks to it would abort that one.
    trainer.accelerator.wait_for_everyone()
    trainer.trackers.finish()
    trainer.accelerator.end_training()
    return Outcome(folder, trainer.balance.step, finished, trainer.divergence.at_the_end)


def build(config: RunConfig, folder: Path | None) -> Trainer:
    """Model, data and trainer, seeded; writes nothing but the run directory's logs.

    Raises:
        DataError: the model's data cannot be used.
        ConfigError: ranks do not share a batch evenly, or the device is not there.
        RanksDiffer: ranks have not the same settings, plugins, packages or data.
    """
    import torch

    from balancer.train.accelerator import make_accelerator
    from balancer.train.loop import Trainer
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
    require_same_run(config, model)
    ranks = accelerator.num_processes
    size = min(settings.batch_size, model.train_size)
    if size % ranks:
        raise ConfigError(f"train.batch_size: {size} items do not divide evenly among {ranks} ranks")
    if size // ranks % settings.micro_batches:
        parts = settings.micro_batches
        raise ConfigError(f"train.micro_batches: {size // ranks} items do not divide evenly into {parts} micro-batches")
    # Weights are the same on every rank; dropout is not.
    seed_all(settings.seed + accelerator.process_index)
    trainer = Trainer(model, config.composition, settings, accelerator, folder)
    trainer.settings = kept_settings(config)
    return trainer


def restore(trainer: Trainer, folder: Path, config: RunConfig, total: int, onward: Onward) -> tuple[int, list[str]]:
    """Load the newest good checkpoint, or that of a step, after which all is cut; steps done, and what to say.

    Raises:
        CheckpointError: there is no good one, or it does not fit the model.
        ConfigError: nothing is left to do, or its config was edited since; the run is left as it is.
    """
    from balancer.record import checkpoint, checkpoint_form

    root = folder / CHECKPOINTS
    loaded = checkpoint.load_latest(root, at=onward.from_step)
    if loaded.step >= total:
        raise ConfigError(f"--resume {folder}: it has done {loaded.step} steps already; ask for more with --steps")
    with checkpoint.reading(loaded.path):
        checkpoint_form.require_form(loaded.state, loaded.step)
        refuse_edits(folder, loaded.step, loaded.state.get("settings"), config.resolved(), onward.allowed)
        trainer.load_state_dict(loaded.state, other_data="data" in onward.allowed)
    if onward.from_step is None:
        return loaded.step, [*loaded.skipped, *([f"going on from step {loaded.step}"] if loaded.skipped else [])]
    later = [step for step in checkpoint.steps(root) if step > loaded.step]
    if trainer.accelerator.is_main_process:
        checkpoint.cut(root, loaded.step)
    gone = f", and the checkpoints of steps {', '.join(map(str, later))}" if later else ""
    return loaded.step, [f"going on from step {loaded.step}: the logs after it are cut{gone}"]


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
