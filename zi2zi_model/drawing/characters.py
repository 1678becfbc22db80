"""Characters drawn with a trained run, into files: pictures and outlines, sheets, and steps between two styles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import torch

from balancer.errors import ConfigError, DataError
from zi2zi_model.data.charsets import characters_in, load_charset
from zi2zi_model.data.glyphs import Pixels, reframe
from zi2zi_model.data.picture_files import png, write
from zi2zi_model.data.picture_names import file_name
from zi2zi_model.data.placement import EM_BOX, Placement
from zi2zi_model.data.sheet import COLUMNS, contact_sheet
from zi2zi_model.drawing.inference import SourceTypeface, TrainedRun, in_batches, trained_run
from zi2zi_model.drawing.outlines import svg as as_svg
from zi2zi_model.drawing.outlines import trace

ROWS: Final = 16  # of a sheet
FRAME_MILLISECONDS: Final = 120
_DARKEST_PAPER: Final = 127  # what font2img.py of max32002/zi2zi-pytorch takes for ink, at most


@dataclass
class Drawn:
    """What was drawn and what was not.

    Attributes:
        step: steps that the run has done.
        written: characters whose files were written.
        skipped: characters whose files were there already.
        lacking: characters that the source typeface does not draw, each with the reason.
        files: sheets and animations.
        remarks: what the user should know of the styles, one sentence each.
    """

    step: int
    written: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    lacking: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Files:
    """Pictures of glyphs in a folder: of which side (that of the frame where it is None), in grey or not, how named."""

    out: Path
    side: int | None
    binary: bool
    decimal_names: bool

    def path(self, character: str, end: str) -> Path:
        """The file of a character, whose name ends so."""
        return self.out / f"{file_name(character, decimal=self.decimal_names)}{end}"

    def shown(self, glyph: Pixels, placement: Placement) -> Pixels:
        """The em box of what G drew, or the frame as it is."""
        picture = glyph if self.side is None else reframe(glyph, placement, EM_BOX, self.side)
        return np.where(picture > _DARKEST_PAPER, 255, 0).astype(np.uint8) if self.binary else picture


def characters_asked(text: str | None, charset: str | None) -> tuple[str, ...]:
    """Characters of a text, of a charset, or both, each once, without those that show nothing.

    Raises:
        ConfigError: neither is given, or they hold none.
        DataError: see `load_charset`.
    """
    asked = dict.fromkeys(characters_in(text or ""))
    if charset is not None:
        asked |= dict.fromkeys(load_charset(charset))
    if not asked:
        raise ConfigError("which characters? give --text 永和 or --charset NAME, or both")
    return tuple(asked)


def drawable(source: SourceTypeface, characters: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Those characters that the source typeface draws, and the others with the reason.

    Raises:
        DataError: it draws none of them.
    """
    lacking = source.typeface.lacking(characters)
    there = [c for c in characters if c not in lacking]
    if not there:
        raise DataError(f"source {source.typeface.name}: draws none of the {len(characters)} characters asked for")
    return there, lacking


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
    binary: bool = False,
    decimal_names: bool = False,
    device: str = "cpu",
) -> Drawn:
    """Draw characters with the run in `folder` into `out/CHARACTER.png`, one by one, each file whole.

    Args:
        text: characters to draw, with those of `charset` (a name in `CHARSETS` or a text file) where that is given.
        style: a style by name or row; the data's first where not given.
        between: two styles, as `A,B`: draw `steps` steps from one to the other instead, into `CHARACTER_STEP.png`,
            a sheet with a row for each step, and a GIF that goes there and back.
        source: the font to redraw, where it is not the run's own.
        size: side of a picture in pixels, which shows the em box, the alignment undone; the run's where not given.
        frame: pictures as G draws them, with the alignment left in.
        svg: outlines too.
        skip_existing: leave characters alone whose files are there.
        sheets: contact sheets of all that is drawn.
        binary: pictures of black and white alone, as the ports' scripts make them.
        decimal_names: files are named by decimal code points, as the ports' are: `27704.png`.
        device: cpu or cuda.

    Raises:
        ConfigError: no characters, an unknown style, options that do not go together, or `out` cannot be written.
        CheckpointError: the run has no good checkpoint.
        DataError: the source draws none of the characters, or is gone or has changed.
    """
    if svg:
        import vtracer  # noqa: F401  # its lack is known before anything is drawn

    characters = characters_asked(text, charset)
    if frame and size is not None:
        raise ConfigError("--frame has the size that G draws at: drop --size")
    if between is not None and (svg or skip_existing or style is not None):
        raise ConfigError("--between goes with neither --style, --svg nor --skip-existing")
    run = trained_run(folder, device)
    styles = [style] if between is None else [end.strip() for end in between.split(",")]
    if between is not None and len(styles) != 2:
        raise ConfigError(f"--between {between}: two styles, such as 0,1")
    rows = [run.row(named) for named in styles]
    typeface = SourceTypeface(run, source)
    there, lacking = drawable(typeface, characters)
    drawn = Drawn(run.step, lacking=lacking, remarks=run.remarks(*rows))
    to = _Files(out, None if frame else size or run.settings.image_size, binary, decimal_names)
    if between is not None:
        _draw_between(run, typeface, there, rows, steps, to, drawn)
        return drawn
    kinds = ("png", "svg") if svg else ("png",)
    wanted: list[str] = []
    for character in there:
        exist = all(to.path(character, f".{kind}").is_file() for kind in kinds)
        (drawn.skipped if skip_existing and exist else wanted).append(character)
    pictures = []
    for picture in _draw_each(run, typeface, wanted, rows[0], to, svg):
        if sheets:
            pictures.append(picture)
    drawn.written = wanted
    lines = [pictures[first : first + COLUMNS] for first in range(0, len(pictures), COLUMNS)]
    for number, first in enumerate(range(0, len(lines), ROWS)):
        path = out / f"sheet_{number:03d}.png"
        write(path, png(contact_sheet(lines[first : first + ROWS])))
        drawn.files.append(path)
    return drawn


def _draw_each(
    run: TrainedRun,
    source: SourceTypeface,
    characters: Sequence[str],
    row: int,
    to: _Files,
    svg: bool,
) -> Iterator[Pixels]:
    """Write each character in the style of a row, and yield its picture."""
    placement = run.placement(row) or source.placement
    for character, glyph in in_batches(run, source, characters, run.vector(row)):
        picture = to.shown(glyph, placement)
        write(to.path(character, ".png"), png(picture))
        if svg:
            write(to.path(character, ".svg"), as_svg(trace(glyph, placement)).encode())
        yield picture


def _draw_between(
    run: TrainedRun,
    source: SourceTypeface,
    characters: list[str],
    rows: Sequence[int],
    steps: int,
    to: _Files,
    drawn: Drawn,
) -> None:
    """Write characters in styles on the way from one row of the embedding to another, their vectors mixed linearly."""
    one, two = (run.placement(row) or source.placement for row in rows)
    frames = []
    for step, share in enumerate(torch.linspace(0, 1, steps).tolist()):
        vector = torch.lerp(run.vector(rows[0]), run.vector(rows[1]), share)
        ends = zip((one.scale, *one.offset), (two.scale, *two.offset), strict=True)
        placement = Placement(*(a + share * (b - a) for a, b in ends))
        pictures = [to.shown(glyph, placement) for _, glyph in in_batches(run, source, characters, vector)]
        for character, picture in zip(characters, pictures, strict=True):
            write(to.path(character, f"_{step:02d}.png"), png(picture))
        frames.append(pictures[:COLUMNS])
    write(to.out / "between.png", png(contact_sheet(frames, [f"{step / (steps - 1):.2f}" for step in range(steps)])))
    moving = [contact_sheet([frame], zoom=2) for frame in frames]
    file = BytesIO()
    there_and_back = [*moving[1:], *moving[-2:0:-1]]
    moving[0].save(file, "GIF", save_all=True, append_images=there_and_back, duration=FRAME_MILLISECONDS, loop=0)
    write(to.out / "between.gif", file.getvalue())
    drawn.written = characters
    drawn.files += [to.out / "between.png", to.out / "between.gif"]
