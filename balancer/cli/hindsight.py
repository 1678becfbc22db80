"""Commands that explain a run in hindsight: explain and replay. They change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from balancer.cli.diagnose import AdversarialOption, DLossOption, LogArgument, diagnosed, pairs, refuse_folder
from balancer.cli.options import (
    ConfigOption,
    JsonOption,
    PatternOption,
    PluginsOption,
    SetOption,
    TagOption,
    plugin_names,
    print_json,
)
from balancer.errors import ConfigError


def explain(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    step: Annotated[str, typer.Option("--step", help="A step, or a range A:B of steps, both included.")],
    as_json: JsonOption = False,
) -> None:
    """Say why every knob stood where it stood: who contributed what, on which signals, since when, and what else."""
    from balancer.hindsight.explain import explain as explained
    from balancer.hindsight.explain import parse_steps
    from balancer.show.explanation import print_explanation

    made = explained(run, *parse_steps(step))
    if as_json:
        print_json(made.as_dict())
    else:
        print_explanation(made)


def replay(
    run: LogArgument,
    plugins: PluginsOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write every knob of every step.")] = None,
    as_json: JsonOption = False,
    tags: TagOption = None,
    pattern: PatternOption = None,
    adversarial: AdversarialOption = None,
    d_loss: DLossOption = None,
) -> None:
    """Feed a run's recorded signals to other plugins and settings, and show what their knobs would have done."""
    from balancer.contract.registry import find_config
    from balancer.hindsight.replay_run import BASES
    from balancer.record.config import check_shape, parse_set, read_toml
    from balancer.record.folder import COLUMNS
    from balancer.show.replay import print_replay, write_csv

    names, tables = plugin_names(plugins), parse_set(settings or [])
    if config is not None:
        recipe = read_toml(find_config(config))
        check_shape(recipe)
        names = list(recipe.get("run", {}).get("plugins", [])) if names is None else names
        kept = {name: recipe[name] for name in names if name in recipe}
        kept["train"] = {key: value for key, value in recipe.get("train", {}).items() if key in BASES}
        for name, table in kept.items():
            if table:
                tables[name] = {**table, **tables.get(name, {})}
    if csv is not None:
        refuse_folder(csv)
    if run != "-" and (Path(run) / COLUMNS).is_file():
        from balancer.hindsight.replay_run import replay_run

        if tags or pattern or adversarial or d_loss:
            raise ConfigError("--tag, --pattern, --adversarial and --d-loss are for logs of others: a run says it all")
        made = replay_run(run, names, tables, on_decision=lambda decision: None)
    else:
        from balancer.hindsight.replay_log import replay_log
        from balancer.reading.lasting import lasting
        from balancer.reading.opening import open_source

        if names is None:
            raise ConfigError(f"{run} does not say which plugins to replay: name some with --plugins")
        if run == "-":
            raise ConfigError("replay reads a log twice, which standard input does not allow: give a file")
        judged = diagnosed(run, tags=tags, pattern=pattern, adversarial=adversarial, d_loss=d_loss)
        again = open_source(run, tags=pairs(tags or [], "--tag"), pattern=pattern)
        made = replay_log(judged, lasting(again.rows(), judged.case.source.restarts), names, tables)
    if csv is not None:
        write_csv(made.replay, csv)
    if as_json:
        print_json(made.as_dict())
    else:
        print_replay(made)
