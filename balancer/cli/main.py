"""The command line. Nothing here imports torch until a command needs it."""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from balancer.cli import diagnose as diagnosing
from balancer.cli import hindsight
from balancer.cli.options import (
    ConfigOption,
    JsonOption,
    ModelOption,
    PluginsOption,
    SetOption,
    plugin_names,
    print_json,
)
from balancer.contract.registry import COMMANDS, entries, find
from balancer.engine.ranks import is_first_rank
from balancer.errors import BalancerError, ConfigError, PluginError

if TYPE_CHECKING:
    from balancer.contract.plugin import Plugin
    from balancer.record.config import RunConfig


class _ModelCommands(TyperGroup):
    """The sub-application of a model, imported when one of its commands is asked for, not to list its name."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, help=f"Commands of the model {name}.", no_args_is_help=True)

    def _loaded(self) -> TyperGroup:
        loaded = find(COMMANDS, str(self.name), "model command").load("commands of")
        if not isinstance(loaded, typer.Typer):
            raise PluginError(f"commands of model {self.name}: {loaded!r} is not a typer application")
        return typer.main.get_group(loaded)

    # typer brings its own copy of click, whose types have no public names.
    def list_commands(self, ctx: Any) -> list[str]:
        return self._loaded().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return self._loaded().get_command(ctx, cmd_name)


class _Root(TyperGroup):
    """Our own commands, and one group for each model that brings some."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *sorted({entry.name for entry in entries(COMMANDS)})]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is None and any(entry.name == cmd_name for entry in entries(COMMANDS)):
            return _ModelCommands(cmd_name)
        return own


app = typer.Typer(
    cls=_Root,
    name="balancer",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keeps the discriminator and the generator of a GAN in balance while it trains.",
)
plugins_app = typer.Typer(no_args_is_help=True, help="List, show and check plugins.")
app.add_typer(plugins_app, name="plugins")


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        print(metadata.version("balancer"))
        raise typer.Exit()


@app.command()
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
    from balancer.record.config import parse_set

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

        made = config_for_resume(resume, config, overrides, plugin_names(plugins), allow_change or [])
    else:
        made = _config(config, overrides, plugin_names(plugins), model)
    if dry_run:
        _print_dry_run(made)
        return
    from balancer.train.run import train as run_training

    outcome = run_training(made, out=out, resume=resume, quiet=quiet, other_data="data" in (allow_change or []))
    if is_first_rank():
        folder = shlex.quote(str(outcome.folder))
        if outcome.finished:
            print(f"done: {outcome.steps} steps; see it with: tensorboard --logdir {folder}")
        else:
            print(f"stopped at step {outcome.steps}; go on with: balancer train --resume {folder}")


@plugins_app.command("list")
def list_plugins(as_json: JsonOption = False) -> None:
    """Installed plugins and recipes; nothing is imported."""
    from balancer.contract.registry import PLUGINS, recipes

    found = entries(PLUGINS)
    rows = [{"name": e.name, "distribution": e.distribution, "version": e.version, "module": e.value} for e in found]
    if as_json:
        print_json({"plugins": rows, "recipes": sorted(recipes())})
        return
    for row in rows:
        print(f"{row['name']:<18} {row['distribution']} {row['version']}")
    print(f"\nrecipes (for --config): {', '.join(sorted(recipes()))}")
    print("one plugin in full: balancer plugins show NAME")


@plugins_app.command("show")
def show_plugin(name: Annotated[str, typer.Argument(help="A plugin's name.")], as_json: JsonOption = False) -> None:
    """A plugin's card, its settings with defaults and sources, what it reads and writes."""
    from pydantic import ValidationError

    from balancer.contract.registry import card, load_plugin
    from balancer.show.composition import shown

    cls, entry = load_plugin(name)
    try:
        plugin: Plugin | type[Plugin] = cls(cls.Config())
    except ValidationError:
        plugin = cls  # a setting without a default: what the class declares is all there is to show
    fields = [
        {
            "name": key,
            "default": "required" if field.is_required() else field.default,
            "type": _type_name(field.annotation),
            "description": field.description,
        }
        for key, field in cls.Config.model_fields.items()
    ]
    text = card(entry)
    writes = {knob: list(ops) for knob, ops in plugin.writes.items()}
    if as_json:
        print_json(
            {
                "name": name,
                "distribution": entry.distribution,
                "version": entry.version,
                "reads": list(plugin.reads),
                "writes": writes,
                "settings": fields,
                "card": text,
            }
        )
        return
    print(f"{name}, from {entry.distribution} {entry.version} ({entry.value})\n")
    print(f"reads:  {', '.join(plugin.reads) or 'no signal'}")
    turned = [f"{knob} ({', '.join(ops)})" for knob, ops in writes.items()]
    print(f"writes: {', '.join(turned) or 'no knob'}\n")
    print("settings:" if fields else "settings: none")
    for row in fields:
        print(f"  {name}.{row['name']} = {shown(row['default'])}  [{row['type']}]\n      {row['description'] or ''}")
    print(f"\n{text or 'It ships no card.'}")


@plugins_app.command("check")
def check_plugins(
    names: Annotated[str | None, typer.Argument(help="Plugins by name, separated by commas.")] = None,
    config: ConfigOption = None,
    model: ModelOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a composition, and say who turns what; builds nothing, exits with 2 where it is refused."""
    from balancer.record.config import parse_set
    from balancer.show.composition import describe_composition, print_composition

    made = _config(config, parse_set(settings or []), plugin_names(names), model)
    described = describe_composition(made)
    if as_json:
        print_json(described)
        return
    print_composition(described)


app.command("diagnose")(diagnosing.diagnose)
app.command("report")(diagnosing.report)
app.command("explain")(hindsight.explain)
app.command("replay")(hindsight.replay)


def _print_dry_run(made: RunConfig) -> None:
    from balancer.show.composition import describe_composition, print_composition
    from balancer.train.dry_run import dry_run

    if is_first_rank():
        print("measuring one step …", file=sys.stderr, flush=True)
    estimate = dry_run(made)
    if not is_first_rank():
        return
    print_composition(describe_composition(made))
    for name, count in estimate["parameters"].items():
        print(f"{name}: {count:,} parameters")
    for name, count in estimate["data"].items():
        print(f"{name}: {count:,}")
    for remark in estimate["remarks"]:
        print(remark)
    print(f"length: {estimate['steps']:,} steps, {estimate['steps per epoch']:,} an epoch")
    memory = estimate["memory bytes"]
    rows = ", ".join(f"{size / 2**20:,.0f} MiB {name}" for name, size in memory.items())
    print(f"memory, estimated: {sum(memory.values()) / 2**20:,.0f} MiB ({rows}), besides data and libraries")
    print(f"time, estimated: {estimate['seconds per step']:.3g} s a step, {_duration(estimate['seconds'])} in all")


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 10_000 else f"{seconds / 3600:,.0f} h"


def _config(
    config: str | None, overrides: dict[str, dict[str, Any]], plugins: Sequence[str] | None, model: str | None
) -> RunConfig:
    from balancer.contract.registry import find_config
    from balancer.record.config import make_config, read_toml

    tables = read_toml(find_config(config)) if config else {}
    return make_config(tables, overrides, plugins=plugins, model=model)


def _type_name(annotation: Any) -> str:
    text = getattr(annotation, "__name__", None) if isinstance(annotation, type) else None
    return text or str(annotation).replace("typing.", "").replace("NoneType", "None")


def main() -> None:
    """Run the command line; an error that a user may see is one line and exit status 2."""
    warnings.formatwarning = lambda message, *where, **more: f"warning: {message}\n"
    try:
        app(standalone_mode=True)
    except BalancerError as error:
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        print(f"balancer: {' '.join(f'{error}{notes}'.split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
