"""The command that trains: train."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from balancer.cli.options import ConfigOption, ModelOption, PluginsOption, SetOption, composed, plugin_names
from balancer.engine.ranks import is_first_rank
from balancer.errors import ConfigError, say
from balancer.extras import extras_named


def train(
    plugins: PluginsOption = None,
    config: ConfigOption = None,
    model: ModelOption = None,
    settings: SetOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run directory (runs/MODEL-PLUGINS if not given).")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Length of the run in steps.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Length of the run in epochs.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of everything random.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")] = None,
    resume: Annotated[Path | None, typer.Option("--resume", help="Go on with this run.")] = None,
    allow_change: Annotated[
        list[str] | None,
        typer.Option("--allow-change", help="With --resume: a setting that may differ, by name; data for other data."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what the run would be, and stop.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Train a model with plugins that keep it in balance."""
    from balancer.record.run_config import parse_set

    overrides = parse_set(settings or [])
    flags = {"steps": steps, "epochs": epochs, "seed": seed, "device": device}
    overrides.setdefault("train", {}).update({key: value for key, value in flags.items() if value is not None})
    if steps is not None and epochs is not None:
        raise ConfigError("--steps and --epochs contradict each other: give one")
    if epochs is not None:
        # An epoch count on the command line is meant, whatever a config file says about steps.
        overrides["train"]["steps"] = None
    if resume is not None and (model or out):
        raise ConfigError("--resume takes model and directory from the run: drop --model and --out")
    if allow_change and resume is None:
        raise ConfigError("--allow-change goes with --resume")
    if resume is not None:
        from balancer.train.run import config_for_resume

        run = config_for_resume(resume, config, overrides, plugin_names(plugins), allow_change or [])
    else:
        run = composed(config, overrides, plugin_names(plugins), model)
    with extras_named(type(run.family).__module__):
        if dry_run:
            from balancer.show.composition import print_dry_run
            from balancer.train.dry_run import dry_run as measure

            if is_first_rank():
                say("measuring one step …", file=sys.stderr)
            estimate = measure(run)
            if is_first_rank():
                print_dry_run(run, estimate)
            return
        from balancer.train.run import train as run_training

        outcome = run_training(run, out=out, resume=resume, quiet=quiet, other_data="data" in (allow_change or []))
    if is_first_rank():
        folder = shlex.quote(str(outcome.folder))
        if outcome.finished:
            say(f"done: {outcome.steps} steps; see it with: tensorboard --logdir {folder}")
        else:
            say(f"stopped at step {outcome.steps}; go on with: balancer train --resume {folder}")
