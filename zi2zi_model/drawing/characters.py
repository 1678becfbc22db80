"""Characters drawn with a trained run, as a user asks for them."""

from __future__ import annotations

from pathlib import Path

from balancer.errors import ConfigError
from zi2zi_model.data.charsets import load_charset
from zi2zi_model.drawing.files import Drawn, draw_between, draw_files
from zi2zi_model.drawing.inference import SourceTypeface, trained_run


def characters_asked(text: str | None, charset: str | None) -> tuple[str, ...]:
    """Characters of a text, of a charset, or both, each once, without white space.

    Raises:
        ConfigError: neither is given, or they hold none.
        DataError: see `load_charset`.
    """
    asked = dict.fromkeys(c for c in text or "" if not c.isspace())
    if charset is not None:
        asked |= dict.fromkeys(load_charset(charset))
    if not asked:
        raise ConfigError("which characters? give --text 永和 or --charset NAME, or both")
    return tuple(asked)


def draw_characters(
    folder: Path,
    out: Path,
    *,
    text: str | None = None,
    charset: str | None = None,
    style: str | None = None,
    between: str | None = None,
    steps: int = 8,
    source: Path | None = None,
    size: int | None = None,
    frame: bool = False,
    svg: bool = False,
    skip_existing: bool = False,
    sheets: bool = True,
    device: str = "cpu",
) -> Drawn:
    """Draw characters with the run in `folder` into files in `out`.

    Args:
        text: characters to draw, with those of `charset` (a name in `CHARSETS` or a text file) where that is given.
        style: a style by name or row; the data's first where not given.
        between: two styles, as `A,B`: draw `steps` steps from one to the other instead.
        source: the font to redraw, where it is not the run's own.
        size: side of a picture in pixels; the run's where not given.
        frame: pictures as G draws them, with the alignment left in.
        svg: outlines too.
        skip_existing: leave characters alone whose files are there.
        sheets: contact sheets of all that is drawn.
        device: cpu or cuda.

    Raises:
        ConfigError: no characters, an unknown style, options that do not go together, or `out` cannot be written.
        CheckpointError: the run has no good checkpoint.
        DataError: the source draws none of the characters, or is gone or has changed.
    """
    characters = characters_asked(text, charset)
    if frame and size is not None:
        raise ConfigError("--frame has the size that G draws at: drop --size")
    if between is not None and (svg or skip_existing or style is not None):
        raise ConfigError("--between goes with neither --style, --svg nor --skip-existing")
    run = trained_run(folder, device)
    side = size or run.settings.image_size
    if between is None:
        row = run.row(style)
        return draw_files(
            run,
            SourceTypeface(run, source),
            characters,
            row,
            out,
            size=side,
            frame=frame,
            svg=svg,
            skip_existing=skip_existing,
            sheets=sheets,
        )
    ends = [end.strip() for end in between.split(",")]
    if len(ends) != 2:
        raise ConfigError(f"--between {between}: two styles, such as 0,1")
    rows = run.row(ends[0]), run.row(ends[1])
    return draw_between(run, SourceTypeface(run, source), characters, rows, steps, out, size=side, frame=frame)
