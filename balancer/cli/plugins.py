"""Commands about plugins: list, show, check, test and new."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from balancer.cli.options import ConfigOption, JsonOption, ModelOption, SetOption, composed, plugin_names, print_json
from balancer.errors import ConfigError, printable, say

app = typer.Typer(no_args_is_help=True, help="List, show, check, test and begin plugins.")


@app.command("list")
def list_plugins(as_json: JsonOption = False) -> None:
    """Installed plugins: sentence, what was measured, hooks, homepage of each, and recipes; nothing is imported."""
    from balancer.contract.registry import recipes
    from balancer.kit.listing import listed

    found, broken = listed()
    if as_json:
        rows = {"plugins": [one.as_dict() for one in found], "recipes": sorted(recipes())}
        print_json({**rows, "broken": [asdict(one) for one in broken]})
        return
    for one in found:
        remark = f" ({one.remark})" if one.remark else ""
        home = f"  {one.homepage}" if one.homepage else ""
        say(f"{printable(one.name):<18} {one.distribution} {one.version}{remark}{home}")
        if one.sentence:
            say(f"    {one.sentence}")
        if one.evidence:
            say(f"    evidence: {one.evidence}")
        say(f"    at {'—' if one.hooks is None else ', '.join(one.hooks) or 'no hook'}")
    for lost in broken:
        say(f"{'?':<18} {lost.distribution} {lost.version} ({lost.why})")
    say(f"\nrecipes (for --config): {', '.join(map(printable, sorted(recipes())))}")
    say("one plugin in full: balancer plugins show NAME")


@app.command("show")
def show_plugin(
    name: Annotated[str, typer.Argument(help="A plugin's name, or FILE.py:CLASS.")], as_json: JsonOption = False
) -> None:
    """A plugin's card, its settings with defaults and sources, what it reads, writes, brings and sees."""
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


@app.command("test")
def test_plugin(
    name: Annotated[str, typer.Argument(help="A plugin's name, or FILE.py:CLASS.")],
    settings: SetOption = None,
    beside: Annotated[
        list[str] | None,
        typer.Option("--with", help="A plugin that it needs beside it, such as one whose signal it reads."),
    ] = None,
    skip: Annotated[list[str] | None, typer.Option("--skip", help="A check to leave out, such as card.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Take remarks for failures.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Try a plugin in every way that a run may use it, on toy models; exits with 1 where a check fails."""
    import os
    import sys

    # Ranks are forked from this process, which a CUDA device in use would not bear; the toys need none.
    if "torch" not in sys.modules:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from balancer.conformance.check import check
    from balancer.record.run_config import parse_set

    tables = parse_set(settings or [])
    report = check(name, _own(tables, name), beside=beside or [], skip=skip or [], strict=strict)
    if as_json:
        print_json(report.as_dict())
    else:
        for one in report.checks:
            say(one)
        failed = len(report.failures)
        count = len(report.checks)
        say(
            f"{report.plugin}: {failed} of {count} checks failed"
            if failed
            else f"{report.plugin}: {count} checks passed"
        )
    if not report.passed:
        raise typer.Exit(1)


@app.command("new")
def begin_plugin(
    name: Annotated[str, typer.Argument(help="The plugin's name, in small letters.")],
    out: Annotated[Path | None, typer.Option("--out", help="The folder to make (balancer-NAME if not given).")] = None,
) -> None:
    """Begin a distribution for a plugin: law, class, card, tests and CI, which pass at once."""
    from balancer.kit.new_plugin import new_plugin

    folder = new_plugin(name, out)
    place = shlex.quote(str(folder))
    say(f"{folder}: install it with pip install -e {place}, then run balancer plugins test {name}")


def _own(tables: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """The settings of the plugin that is tried; there are no others."""
    from balancer.contract.plugin_files import is_plugin_file, load_plugin_file

    own = load_plugin_file(name)[0].name if is_plugin_file(name) and tables else name
    for table in tables:
        if table != own:
            raise ConfigError(f"--set {table}.…: only settings of {own} are tried")
    return tables.get(own, {})
