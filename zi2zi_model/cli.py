"""`balancer zi2zi …`: commands of the reference model."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from balancer.errors import ConfigError

if TYPE_CHECKING:
    from zi2zi_model.data.pairs import GlyphData
    from zi2zi_model.drawing.inference import TrainedRun

app = typer.Typer(no_args_is_help=True, help="Commands of the model zi2zi.")
data_app = typer.Typer(no_args_is_help=True, help="Build and inspect data sets.")
app.add_typer(data_app, name="data")

RunArgument = Annotated[Path, typer.Argument(help="A run directory.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TextOption = Annotated[str | None, typer.Option("--text", help="Characters to draw.")]
CharsetOption = Annotated[
    str | None, typer.Option("--charset", help="Characters to draw: big5-1, gb2312-1, jis-1, … or a text file.")
]
StyleOption = Annotated[str | None, typer.Option("--style", help="A style by name or row (the first if not given).")]
SourceOption = Annotated[
    Path | None, typer.Option("--source", help="The font to redraw, where it is not the run's own.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu or cuda.")]


@app.callback()
def _commands() -> None:
    """Commands of the model zi2zi."""


@data_app.command("build")
def build_data(
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
    ] = 4 * 2**30,
    size: Annotated[int, typer.Option("--size", help="Side of a picture in pixels.", min=16, max=1024)] = 64,
    align: Annotated[str, typer.Option("--align", help="font: each target at the source's size; none: as it is.")] = (
        "font"
    ),
    held_out: Annotated[float, typer.Option("--held-out", help="Share of characters kept from training.")] = 0.1,
    max_characters: Annotated[int | None, typer.Option("--max-characters", help="At most this many.", min=2)] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a data-set folder from fonts and glyph pictures, or from pairs of zi2zi; train on it with model.data."""
    from zi2zi_model.data import dataset
    from zi2zi_model.data.font_data import from_fonts
    from zi2zi_model.data.pair_data import from_packages, from_pairs

    kinds = {"--source and --targets": source is not None or bool(targets), "--pairs": pairs is not None}
    kinds["--obj"] = bool(obj)
    named = [name for name, given in kinds.items() if given]
    if len(named) > 1:
        raise ConfigError(f"{named[0]} and {named[1]}: give one of them")
    if val_obj and not obj:
        raise ConfigError("--val-obj goes with --obj")
    if align not in ("font", "none"):
        raise ConfigError(f"--align {align}: is font or none")
    if not 0 < held_out < 1:
        raise ConfigError(f"--held-out {held_out:g}: a share between 0 and 1, such as 0.1")
    data: GlyphData
    if pairs is not None:
        data = from_pairs(pairs, size=size, held_out=held_out)
    elif obj:
        data = from_packages(obj, val_obj or (), size=size, held_out=held_out, max_bytes=max_bytes)
    else:
        chosen: Literal["font", "none"] = "font" if align == "font" else "none"
        paths = [path.strip() for path in targets.split(",") if path.strip()]
        data = from_fonts(
            source, paths, charset=charset, size=size, align=chosen, held_out=held_out, max_characters=max_characters
        )
    dataset.save(data, out)
    if as_json:
        _print_json({"data": str(out), **data.counts})
        return
    for line in data.summary:
        print(line)
    print(f"data set: {out}")
    print(f"look at it: balancer zi2zi data show {shlex.quote(str(out))}")
    print(f"train on it: balancer train --set model.data={shlex.quote(str(out))} --epochs 40")


@data_app.command("show")
def show_data(
    folder: Annotated[Path, typer.Argument(help="A data-set folder.")],
    out: Annotated[Path | None, typer.Option("--out", help="The contact sheet to write (FOLDER.png).")] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a data set; say what is in it and what is missing; draw a contact sheet."""
    from zi2zi_model.data import dataset
    from zi2zi_model.data import report as data_report
    from zi2zi_model.drawing.files import png, write

    data = dataset.load(folder)
    figures = data_report.report(data)
    path = out or folder.with_name(f"{folder.name}.png")
    import numpy as np

    write(path, png(np.asarray(data_report.sheet(data))))
    if as_json:
        _print_json({**figures, "sheet": str(path)})
        return
    for line in data_report.lines(figures):
        print(line)
    print(f"sheet: {path}")


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
    from balancer.record.config import parse_set
    from zi2zi_model.network.importing import import_run

    names = None if plugins is None else [name.strip() for name in plugins.split(",") if name.strip()]
    done, remarks = import_run(
        generator,
        discriminator,
        out,
        step=step,
        config=config,
        overrides=parse_set(settings or []),
        plugins=names,
    )
    for remark in remarks:
        print(remark)
    folder = shlex.quote(str(out))
    print(f"imported at step {done}; go on with: balancer train --resume {folder} --steps {done + 1000}")


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
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Draw characters with a trained run: a picture for each, named by it."""
    from zi2zi_model.drawing.files import characters_asked, draw_between, draw_files
    from zi2zi_model.drawing.inference import Source, load_run

    characters = characters_asked(text, charset)
    if frame and size is not None:
        raise ConfigError("--frame has the size that G draws at: drop --size")
    if between is not None and (svg or skip_existing or style is not None):
        raise ConfigError("--between goes with neither --style, --svg nor --skip-existing")
    run = load_run(folder, device)
    side = size or run.settings.image_size
    if between is not None:
        ends = [end.strip() for end in between.split(",")]
        if len(ends) != 2:
            raise ConfigError(f"--between {between}: two styles, such as 0,1")
        rows = _row(run, ends[0]), _row(run, ends[1])
        drawn = draw_between(run, Source(run, source), characters, rows, steps, out, size=side, frame=frame)
    else:
        drawn = draw_files(
            run,
            Source(run, source),
            characters,
            _row(run, style),
            out,
            size=side,
            frame=frame,
            svg=svg,
            skip_existing=skip_existing,
            sheets=sheets,
        )
    if as_json:
        _print_json(
            {
                "out": str(out),
                "step": run.step,
                "written": drawn.written,
                "skipped": drawn.skipped,
                "lacking": drawn.lacking,
                "files": [str(path) for path in drawn.files],
            }
        )
        return
    _say_lacking(drawn.lacking)
    skipped = f", {len(drawn.skipped)} were there already" if drawn.skipped else ""
    print(f"{len(drawn.written)} characters drawn into {out}{skipped}")
    for path in drawn.files:
        print(path)


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
    import numpy as np

    from zi2zi_model.drawing.export import make_font
    from zi2zi_model.drawing.files import characters_asked, png, write
    from zi2zi_model.drawing.inference import Source, load_run

    characters = characters_asked(text, charset)
    run = load_run(folder, device)
    made = make_font(
        run,
        Source(run, source),
        characters,
        _row(run, style),
        out,
        family=name or out.stem,
        keep_own=keep_own,
        version=version,
        copyright=copyright,
        licence=licence,
    )
    preview = out.with_suffix(".png")
    write(preview, png(np.asarray(made.preview)))
    if as_json:
        figures = {"overlap": made.overlap, "mean overlap": made.mean_overlap} if made.drawn else {}
        own = {"drawn": made.drawn, "own": made.own, "lacking": made.lacking}
        _print_json({"font": str(out), "preview": str(preview), **own, **figures})
        return
    _say_lacking(made.lacking)
    kept = f", {len(made.own)} kept as they are" if keep_own else ""
    print(f"{out}: {len(made.drawn)} characters drawn{kept}")
    if made.drawn:
        worst = min(made.overlap, key=made.overlap.__getitem__)
        lowest = f"lowest {made.overlap[worst]:.3f} ({worst})"
        print(f"shown by FreeType, overlap (IoU) with what was drawn: mean {made.mean_overlap:.3f}, {lowest}")
    print(f"preview: {preview}")


@app.command("evaluate")
def evaluate_run(
    folder: RunArgument,
    out: Annotated[Path | None, typer.Option("--out", help="The sheet to write (RUN/evaluation.png).")] = None,
    style: Annotated[str | None, typer.Option("--style", help="A style by name or row (all if not given).")] = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Measure a run on held-out characters, and draw them, the worst first."""
    import numpy as np

    from zi2zi_model.drawing.files import png, write
    from zi2zi_model.drawing.inference import load_run
    from zi2zi_model.judging.evaluation import evaluate, lines

    run = load_run(folder, device)
    result, sheet = evaluate(run, None if style is None else run.row(style))
    path = out or folder / "evaluation.png"
    write(path, png(np.asarray(sheet)))
    if as_json:
        _print_json({**result, "sheet": str(path)})
        return
    for line in lines(result):
        print(line)
    print(f"sheet: {path}")


@app.command("compare")
def compare_runs(
    first: Annotated[Path, typer.Argument(help="A run directory, such as the baseline.")],
    second: Annotated[Path, typer.Argument(help="Another one, trained on the same glyphs.")],
    out: Annotated[Path, typer.Option("--out", help="The picture to write.")] = Path("compare.png"),
    as_json: JsonOption = False,
) -> None:
    """Draw the held-out characters with both runs, measure both alike, and say which came closer."""
    from zi2zi_model.judging.compare import compare, table

    picture, result = compare(first, second)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        picture.save(out)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--out {out}: cannot be written: {error}") from None
    if as_json:
        _print_json({**result, "picture": str(out)})
        return
    for line in table(result):
        print(line)
    print(f"\n{result['verdict']}")
    print(f"picture:  {out}")
    print(f"runs:     {first} and {second}")
    print(f"see both: tensorboard --logdir {first.parent if first.parent == second.parent else first}")


def _row(run: TrainedRun, style: str | None) -> int:
    """A style's row, with a word where the run's data had none of it."""
    row = run.row(style)
    if row not in run.rows:
        print(f"row {row} is no style that this run was trained on", file=sys.stderr)
    return row


def _say_lacking(lacking: dict[str, str]) -> None:
    for reason in sorted({*lacking.values()}):
        characters = "".join(c for c, why in lacking.items() if why == reason)
        more = " …" if len(characters) > 60 else ""
        print(f"not drawn, {reason}: {characters[:60]}{more} ({len(characters)})", file=sys.stderr)


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=1))
