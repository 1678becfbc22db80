"""`balancer zi2zi …`: commands of the reference model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from balancer.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="Commands of the model zi2zi.")


@app.callback()
def _commands() -> None:
    """Commands of the model zi2zi."""


@app.command("compare")
def compare_runs(
    first: Annotated[Path, typer.Argument(help="A run directory, such as the baseline.")],
    second: Annotated[Path, typer.Argument(help="Another one, trained on the same glyphs.")],
    out: Annotated[Path, typer.Option("--out", help="The picture to write.")] = Path("compare.png"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draw the held-out characters with both runs, measure both alike, and say which came closer."""
    from zi2zi_model.compare import compare, table

    picture, result = compare(first, second)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        picture.save(out)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--out {out}: cannot be written: {error}") from None
    if as_json:
        print(json.dumps({**result, "picture": str(out)}, ensure_ascii=False, indent=1))
        return
    for line in table(result):
        print(line)
    print(f"\n{result['verdict']}")
    print(f"picture:  {out}")
    print(f"runs:     {first} and {second}")
    print(f"see both: tensorboard --logdir {first.parent if first.parent == second.parent else first}")
