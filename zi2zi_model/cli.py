"""`balancer zi2zi …`: commands of the reference model."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from balancer.errors import say
from zi2zi_model.data_commands import JsonOption, data_app, print_json

app = typer.Typer(no_args_is_help=True, help="Commands of the model zi2zi.")
app.add_typer(data_app, name="data")

RunArgument = Annotated[Path, typer.Argument(help="A run directory.")]
TextOption = Annotated[str | None, typer.Option("--text", help="Characters to draw.")]
CharsetOption = Annotated[
    str | None, typer.Option("--charset", help="Characters to draw: big5-1, gb2312-1, jis-1, … or a text file.")
]
StyleOption = Annotated[str | None, typer.Option("--style", help="A style by name or row (the first if not given).")]
SourceOption = Annotated[
    Path | None, typer.Option("--source", help="The font to redraw, where it is not the run's own.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu or cuda.")]


@app.command("import")
def import_port(
    generator: Annotated[Path, typer.Argument(help="STEP_net_G.pth of a PyTorch port.")],
    discriminator: Annotated[Path | None, typer.Argument(help="STEP_net_D.pth; without it, D starts anew.")] = None,
    *,
    out: Annotated[Path, typer.Option("--out", help="The run directory to make.")],
    step: Annotated[int | None, typer.Option("--step", help="Steps done (from the file's name).", min=0)] = None,
    plugins: Annotated[str | None, typer.Option("--plugins", help="As for balancer train.")] = None,
    config: Annotated[str | None, typer.Option("--config", help="As for balancer train.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="As for balancer train; model.data=DIR names the glyphs.")
    ] = None,
) -> None:
    """Make a run of a port's checkpoint, to go on with: its networks are read off the files, which run no code."""
    from zi2zi_model.network.importing import import_run

    names = None if plugins is None else [name.strip() for name in plugins.split(",") if name.strip()]
    done, remarks = import_run(
        generator,
        discriminator,
        out,
        step=step,
        config=config,
        settings=settings or (),
        plugins=names,
    )
    for remark in remarks:
        say(remark)
    folder = shlex.quote(str(out))
    say(f"imported at step {done}; go on with: balancer train --resume {folder} --steps {done + 1000}")


@app.command("infer")
def infer(
    folder: RunArgument,
    out: Annotated[Path, typer.Option("--out", help="The folder to write into.")],
    text: TextOption = None,
    charset: CharsetOption = None,
    style: StyleOption = None,
    between: Annotated[
        str | None, typer.Option("--between", help="Two styles, as A,B: draw the steps from one to the other.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="With --between: how many.", min=2, max=99)] = 8,
    source: SourceOption = None,
    size: Annotated[
        int | None,
        typer.Option("--size", help="Side of a picture in pixels (the run's if not given).", min=16, max=2048),
    ] = None,
    frame: Annotated[
        bool, typer.Option("--frame", help="Pictures as G draws them, with the alignment left in.")
    ] = False,
    svg: Annotated[bool, typer.Option("--svg", help="Outlines too (needs the extra `export`).")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave characters alone whose files are there.")
    ] = False,
    sheets: Annotated[bool, typer.Option("--sheets/--no-sheets", help="Contact sheets of all that is drawn.")] = True,
    binary: Annotated[bool, typer.Option("--binary", help="Pictures of black and white alone, as the ports'.")] = False,
    decimal_names: Annotated[
        bool, typer.Option("--decimal-names", help="Files named by decimal code points, as the ports': 27704.png.")
    ] = False,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Draw characters with a trained run: a picture for each, named by it."""
    from zi2zi_model.drawing.characters import draw_characters

    drawn = draw_characters(
        folder,
        out,
        text=text,
        charset=charset,
        style=style,
        between=between,
        steps=steps,
        source=source,
        size=size,
        frame=frame,
        svg=svg,
        skip_existing=skip_existing,
        sheets=sheets,
        binary=binary,
        decimal_names=decimal_names,
        device=device,
    )
    _say(drawn.remarks)
    if as_json:
        print_json(
            {
                "out": str(out),
                "step": drawn.step,
                "written": drawn.written,
                "skipped": drawn.skipped,
                "lacking": drawn.lacking,
                "files": [str(path) for path in drawn.files],
            }
        )
        return
    _say_lacking(drawn.lacking)
    skipped = f", {len(drawn.skipped)} were there already" if drawn.skipped else ""
    say(f"{len(drawn.written)} characters drawn into {out}{skipped}")
    for path in drawn.files:
        say(path)


@app.command("font")
def make_font_file(
    folder: RunArgument,
    out: Annotated[Path, typer.Option("--out", help="The TrueType file to write.")],
    name: Annotated[str | None, typer.Option("--name", help="The font's name (of the file if not given).")] = None,
    text: TextOption = None,
    charset: CharsetOption = None,
    style: StyleOption = None,
    source: SourceOption = None,
    keep_own: Annotated[
        bool, typer.Option("--keep-own", help="Take the glyphs that the style's own font or pictures have as they are.")
    ] = False,
    version: Annotated[str, typer.Option("--version", help="Of the font.")] = "1.000",
    copyright: Annotated[str, typer.Option("--copyright", help="For the font's name table.")] = "",
    licence: Annotated[str, typer.Option("--licence", help="For the font's name table.")] = "",
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Draw characters, trace them into a TrueType font, and check it (needs the extra `export`)."""
    from zi2zi_model.drawing.characters import characters_asked
    from zi2zi_model.drawing.export import make_font
    from zi2zi_model.drawing.inference import SourceTypeface, trained_run

    characters = characters_asked(text, charset)
    run = trained_run(folder, device)
    made = make_font(
        run,
        SourceTypeface(run, source),
        characters,
        run.row(style),
        out,
        family=name or out.stem,
        keep_own=keep_own,
        version=version,
        copyright=copyright,
        licence=licence,
    )
    _say(made.remarks)
    if as_json:
        figures = {"overlap": made.overlap, "mean overlap": made.mean_overlap} if made.drawn else {}
        own = {"drawn": made.drawn, "own": made.own, "lacking": made.lacking}
        print_json({"font": str(out), "preview": None if made.preview is None else str(made.preview), **own, **figures})
        return
    _say_lacking(made.lacking)
    kept = f", {len(made.own)} kept as they are" if keep_own else ""
    say(f"{out}: {len(made.drawn)} characters drawn{kept}")
    if made.drawn:
        worst = min(made.overlap, key=made.overlap.__getitem__)
        lowest = f"lowest {made.overlap[worst]:.3f} ({worst})"
        say(f"shown by FreeType, overlap (IoU) with what was drawn: mean {made.mean_overlap:.3f}, {lowest}")
    if made.preview is not None:
        say(f"preview: {made.preview}")


@app.command("evaluate")
def evaluate(
    folder: RunArgument,
    out: Annotated[Path | None, typer.Option("--out", help="The sheet to write (RUN/evaluation.png).")] = None,
    style: Annotated[str | None, typer.Option("--style", help="A style by name or row (all if not given).")] = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Measure a run on held-out characters, and draw them, the worst first."""
    from zi2zi_model.judging.evaluation import evaluate_run, evaluation_lines

    result = evaluate_run(folder, out, style=style, device=device)
    if as_json:
        print_json(result)
        return
    for line in evaluation_lines(result):
        say(line)
    say(f"sheet: {result['sheet']}")


@app.command("compare")
def compare_two(
    first: Annotated[
        Path,
        typer.Argument(help="A run directory, such as the baseline, or a folder of runs that differ in train.seed."),
    ],
    second: Annotated[Path, typer.Argument(help="Another one, trained on the same glyphs with the same seeds.")],
    out: Annotated[Path, typer.Option("--out", help="The picture to write.")] = Path("compare.png"),
    as_json: JsonOption = False,
) -> None:
    """Measure both runs alike on the held-out characters, and draw those; over several seeds say which came closer."""
    from zi2zi_model.judging.compare import compare_runs, comparison_lines

    result = compare_runs(first, second, out)
    if as_json:
        print_json(result)
        return
    for line in comparison_lines(result):
        say(line)
    say(f"\n{result['verdict']}")
    say(f"picture:  {out}")
    say(f"runs:     {first} and {second}")
    say(f"see both: tensorboard --logdir {first.parent if first.parent == second.parent else first}")


def _say(remarks: Sequence[str]) -> None:
    for remark in remarks:
        say(remark, file=sys.stderr)


def _say_lacking(lacking: Mapping[str, str]) -> None:
    for reason in sorted({*lacking.values()}):
        characters = "".join(c for c, why in lacking.items() if why == reason)
        more = " …" if len(characters) > 60 else ""
        say(f"not drawn, {reason}: {characters[:60]}{more} ({len(characters)})", file=sys.stderr)
