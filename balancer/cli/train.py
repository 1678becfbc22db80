"""The command that trains: train."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from balancer.cli.options import ConfigOption, ModelOption, PluginsOption, SetOption, composed, plugin_names
from balancer.engine.ranks import is_first_rank
from balancer.errors import ConfigError, say
from balancer.extras import extras_named

if TYPE_CHECKING:
    from balancer.record.run_config import RunConfig


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
    from_step: Annotated[
        int | None,
        typer.Option("--from-step", help="With --resume: go back to the checkpoint of this step."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what the run would be, and stop.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Train a model with plugins that keep it in balance."""
    from balancer.train.stopping import stop_requests

    with stop_requests(quiet=quiet or not is_first_rank()) as stop:
        stop.early = "ended before the first step; nothing was trained" if is_first_rank() else ""
        flags = {"steps": steps, "epochs": epochs, "seed": seed, "device": device}
        run = _config(plugins, config, model, settings or [], flags, resume, allow_change or [], out, from_step)
        from balancer.train.same_everywhere import ending_together

        with extras_named(type(run.family).__module__), ending_together():
            if dry_run:
                _dry_run(run)
                return
            from balancer.train.run import train as run_training

            outcome = run_training(
                run, out=out, resume=resume, quiet=quiet, allowed=allow_change or (), from_step=from_step, stop=stop
            )
        if is_first_rank():
            folder = shlex.quote(str(outcome.folder))
            if outcome.fault:
                print(f"warning: {outcome.fault}", file=sys.stderr, flush=True)
            if outcome.finished:
                say(f"done: {outcome.steps} steps; see it with: tensorboard --logdir {folder}")
            else:
                by = f" by {stop.name}, with a checkpoint" if stop.number else ""
                say(f"stopped at step {outcome.steps}{by}; go on with: balancer train --resume {folder}")
            sys.stdout.flush()
        if stop.number:
            raise typer.Exit(128 + stop.number)


def _config(
    plugins: str | None,
    config: str | None,
    model: str | None,
    settings: list[str],
    flags: Mapping[str, Any],
    resume: Path | None,
    allow_change: list[str],
    out: Path | None,
    from_step: int | None,
) -> RunConfig:
    """What the options say, validated."""
    from balancer.record.run_config import parse_set

    overrides = parse_set(settings)
    overrides.setdefault("train", {}).update({key: value for key, value in flags.items() if value is not None})
    if flags["steps"] is not None and flags["epochs"] is not None:
        raise ConfigError("--steps and --epochs contradict each other: give one")
    if flags["epochs"] is not None:
        # An epoch count on the command line is meant, whatever a config file says about steps.
        overrides["train"]["steps"] = None
    if resume is not None and (model or out):
        raise ConfigError("--resume takes model and directory from the run: drop --model and --out")
    if resume is None:
        for option, given in (("--allow-change", allow_change), ("--from-step", from_step is not None)):
            if given:
                raise ConfigError(f"{option} goes with --resume")
        return composed(config, overrides, plugin_names(plugins), model)
    from balancer.train.run import config_for_resume

    return config_for_resume(resume, config, overrides, plugin_names(plugins), allow_change)


def _dry_run(run: RunConfig) -> None:
    from balancer.show.composition import print_dry_run
    from balancer.train.dry_run import dry_run as measure

    if is_first_rank():
        say("measuring one step …", file=sys.stderr)
    estimate = measure(run)
    if is_first_rank():
        print_dry_run(run, estimate)
