"""Commands about plugins: list, show and check. They build nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from balancer.cli.options import ConfigOption, JsonOption, ModelOption, SetOption, composed, plugin_names, print_json

app = typer.Typer(no_args_is_help=True, help="List, show and check plugins.")


@app.command("list")
def list_plugins(as_json: JsonOption = False) -> None:
    """Installed plugins and recipes; nothing is imported."""
    from balancer.contract.registry import PLUGINS, entries, recipes

    found = entries(PLUGINS)
    rows = [{"name": e.name, "distribution": e.distribution, "version": e.version, "module": e.value} for e in found]
    if as_json:
        print_json({"plugins": rows, "recipes": sorted(recipes())})
        return
    for row in rows:
        print(f"{row['name']:<18} {row['distribution']} {row['version']}")
    print(f"\nrecipes (for --config): {', '.join(sorted(recipes()))}")
    print("one plugin in full: balancer plugins show NAME")


@app.command("show")
def show_plugin(
    name: Annotated[str, typer.Argument(help="A plugin's name, or FILE.py:CLASS.")], as_json: JsonOption = False
) -> None:
    """A plugin's card, its settings with defaults and sources, what it reads and writes."""
    from balancer.show.plugin import describe_plugin, print_plugin

    described = describe_plugin(name)
    if as_json:
        print_json(described)
    else:
        print_plugin(described)


@app.command("check")
def check_plugins(
    names: Annotated[
        str | None, typer.Argument(help="Plugins by name or as FILE.py:CLASS, separated by commas.")
    ] = None,
    config: ConfigOption = None,
    model: ModelOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a composition, and say who turns what; builds nothing, exits with 2 where it is refused."""
    from balancer.record.run_config import parse_set
    from balancer.show.composition import describe_composition, print_composition

    described = describe_composition(composed(config, parse_set(settings or []), plugin_names(names), model))
    if as_json:
        print_json(described)
    else:
        print_composition(described)
