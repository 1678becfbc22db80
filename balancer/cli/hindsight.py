"""Commands that explain a run in hindsight: explain and replay. They change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from balancer.cli.options import (
    AdversarialOption,
    ConfigOption,
    DLossOption,
    JsonOption,
    LangOption,
    LogArgument,
    PatternOption,
    PluginsOption,
    SetOption,
    TagOption,
    pairs,
    plugin_names,
    print_json,
    refuse_folder,
)
from balancer.cli.progress import progress_of


def explain(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    step: Annotated[str, typer.Option("--step", help="A step, or a range A:B of steps, both included.")],
    as_json: JsonOption = False,
    lang: LangOption = "en",
) -> None:
    """Say why every knob stood where it stood: who contributed what, on which signals, since when, and what else."""
    from balancer.hindsight.explain import explain as explained
    from balancer.hindsight.explain import parse_steps
    from balancer.show.words import check_language

    check_language(lang)  # refused before a long run is read
    explanation = explained(run, *parse_steps(step))
    if as_json:
        from balancer.show.as_json import as_data

        print_json(as_data(explanation, lang))
    else:
        from balancer.show.explanation import print_explanation

        print_explanation(explanation, lang)


def replay(
    run: LogArgument,
    plugins: PluginsOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write every knob of every step.")] = None,
    as_json: JsonOption = False,
    lang: LangOption = "en",
    tags: TagOption = None,
    pattern: PatternOption = None,
    adversarial: AdversarialOption = None,
    d_loss: DLossOption = None,
) -> None:
    """Feed a run's recorded signals to other plugins and settings, and show what their knobs would have done."""
    from balancer.hindsight.replay import replay as replayed
    from balancer.record.run_config import parse_set
    from balancer.show.replay import print_replay, write_csv
    from balancer.show.words import check_language

    check_language(lang)
    if csv is not None:
        refuse_folder(csv)
    reading = {
        "tags": pairs(tags, "--tag") if tags else None,
        "pattern": pattern,
        "adversarial": adversarial,
        "d_loss": d_loss,
    }
    with progress_of(run) as progress:
        names, tables = plugin_names(plugins), parse_set(settings or [])
        replay_of_run = replayed(run, names, tables, config=config, progress=progress, **reading)
    if csv is not None:
        write_csv(replay_of_run.replay, csv)
    if as_json:
        from balancer.show.as_json import as_data

        print_json(as_data(replay_of_run, lang))
    else:
        print_replay(replay_of_run, lang)
