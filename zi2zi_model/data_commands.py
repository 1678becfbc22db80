"""`balancer zi2zi data …`: commands on data sets."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from balancer.errors import say
from zi2zi_model.data.packages import MOST_BYTES

data_app = typer.Typer(no_args_is_help=True, help="Build and inspect data sets.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@data_app.command("build")
def build(
    out: Annotated[Path, typer.Option("--out", help="The folder to make.")],
    source: Annotated[Path | None, typer.Option("--source", help="Font that gives the content.")] = None,
    targets: Annotated[
        str, typer.Option("--targets", help="Fonts, or folders of glyph pictures, to learn; separated by commas.")
    ] = "",
    charset: Annotated[str, typer.Option("--charset", help="big5-1, gb2312-1, jis-1, … or a text file.")] = "big5-1",
    pairs: Annotated[Path | None, typer.Option("--pairs", help="Folder of zi2zi pair pictures instead.")] = None,
    obj: Annotated[
        list[Path] | None, typer.Option("--obj", help="A .obj package of zi2zi instead (may be repeated).")
    ] = None,
    val_obj: Annotated[
        list[Path] | None, typer.Option("--val-obj", help="With --obj: a package to hold out (may be repeated).")
    ] = None,
    max_bytes: Annotated[
        int, typer.Option("--max-bytes", help="With --obj: the largest package that is read.", min=1)
    ] = MOST_BYTES,
    size: Annotated[int, typer.Option("--size", help="Side of a picture in pixels.", min=16, max=1024)] = 64,
    align: Annotated[str, typer.Option("--align", help="font: each target at the source's size; none: as it is.")] = (
        "font"
    ),
    held_out: Annotated[float, typer.Option("--held-out", help="Share of characters kept from training.")] = 0.1,
    max_characters: Annotated[int | None, typer.Option("--max-characters", help="At most this many.", min=2)] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a data-set folder from fonts and glyph pictures, or from pairs of zi2zi; train on it with model.data."""
    from zi2zi_model.data.build import build_data

    data = build_data(
        out,
        source=source,
        targets=[path.strip() for path in targets.split(",") if path.strip()],
        charset=charset,
        pairs=pairs,
        packages=obj or (),
        validation=val_obj or (),
        max_bytes=max_bytes,
        size=size,
        align=align,
        held_out=held_out,
        max_characters=max_characters,
    )
    if as_json:
        print_json({"data": str(out), **data.counts})
        return
    for line in data.summary:
        say(line)
    say(f"data set: {out}")
    say(f"look at it: balancer zi2zi data show {shlex.quote(str(out))}")
    say(f"train on it: balancer train --set model.data={shlex.quote(str(out))} --epochs 40")


@data_app.command("show")
def show(
    folder: Annotated[Path, typer.Argument(help="A data-set folder.")],
    out: Annotated[Path | None, typer.Option("--out", help="The contact sheet to write (FOLDER.png).")] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a data set; say what is in it and what is missing; draw a contact sheet."""
    from zi2zi_model.data.report import inspect, report_lines

    figures = inspect(folder, out)
    if as_json:
        print_json(figures)
        return
    for line in report_lines(figures):
        say(line)
    say(f"sheet: {figures['sheet']}")


def print_json(value: Any) -> None:
    """Print a value as JSON, in the language it is in."""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    print("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))
