"""Glyphs drawn by a run, into files: pictures and outlines named by character, sheets, and steps between two styles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import torch

from balancer.errors import DataError
from zi2zi_model.data.glyphs import Pixels, reframe
from zi2zi_model.data.picture_files import png, write
from zi2zi_model.data.pictures import file_name
from zi2zi_model.data.placement import EM_BOX, Placement
from zi2zi_model.data.sheet import COLUMNS, contact_sheet
from zi2zi_model.drawing.inference import SourceTypeface, TrainedRun, in_batches

ROWS: Final = 16  # of a sheet
FRAME_MILLISECONDS: Final = 120


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


def draw_files(
    run: TrainedRun,
    source: SourceTypeface,
    characters: Sequence[str],
    row: int,
    out: Path,
    *,
    size: int,
    frame: bool,
    svg: bool,
    skip_existing: bool,
    sheets: bool,
) -> Drawn:
    """Draw characters in a style (a row of the embedding) into `out/CHARACTER.png`, and `.svg` where asked for.

    A picture shows the em box, the style's alignment undone, at `size` pixels; or the frame as G drew it. Files are
    written one by one, each whole.

    Raises:
        ConfigError: the folder cannot be written.
        DataError: the source draws none of them.
    """
    there, lacking = drawable(source, characters)
    drawn = Drawn(run.step, lacking=lacking, remarks=run.remarks(row))
    kinds = ["png", "svg"] if svg else ["png"]
    wanted: list[str] = []
    for character in there:
        exist = all((out / f"{file_name(character)}.{kind}").is_file() for kind in kinds)
        (drawn.skipped if skip_existing and exist else wanted).append(character)
    placement = run.placement(row) or source.placement
    shown: list[Pixels] = []
    for character, glyph in in_batches(run, source, wanted, run.vector(row)):
        picture = glyph if frame else reframe(glyph, placement, EM_BOX, size)
        write(out / f"{file_name(character)}.png", png(picture))
        if svg:
            from zi2zi_model.drawing.outlines import svg as as_svg
            from zi2zi_model.drawing.outlines import trace

            write(out / f"{file_name(character)}.svg", as_svg(trace(glyph, placement)).encode())
        drawn.written.append(character)
        if sheets:
            shown.append(picture)
    for number, page in enumerate(pages(shown)):
        path = out / f"sheet_{number:03d}.png"
        write(path, png(page))
        drawn.files.append(path)
    return drawn


def draw_between(
    run: TrainedRun,
    source: SourceTypeface,
    characters: Sequence[str],
    rows: tuple[int, int],
    steps: int,
    out: Path,
    *,
    size: int,
    frame: bool,
) -> Drawn:
    """Draw characters in `steps` styles from one row of the embedding to another, their vectors mixed linearly.

    Writes `out/CHARACTER_STEP.png`, a sheet with a row for each step, and a GIF that goes there and back.

    Raises:
        ConfigError, DataError: see `draw_files`.
    """
    there, lacking = drawable(source, characters)
    drawn = Drawn(run.step, written=there, lacking=lacking, remarks=run.remarks(*rows))
    frames = []
    for step, share in enumerate(torch.linspace(0, 1, steps).tolist()):
        vector = torch.lerp(run.vector(rows[0]), run.vector(rows[1]), share)
        placement = between(
            run.placement(rows[0]) or source.placement, run.placement(rows[1]) or source.placement, share
        )
        glyphs = [
            glyph if frame else reframe(glyph, placement, EM_BOX, size)
            for _, glyph in in_batches(run, source, there, vector)
        ]
        for character, picture in zip(there, glyphs, strict=True):
            write(out / f"{file_name(character)}_{step:02d}.png", png(picture))
        frames.append(glyphs)
    sheet = contact_sheet([frame[:COLUMNS] for frame in frames], [f"{s / (steps - 1):.2f}" for s in range(steps)])
    write(out / "between.png", png(np.asarray(sheet)))
    moving = [contact_sheet([frame[:COLUMNS]], zoom=2) for frame in frames]
    file = BytesIO()
    there_and_back = [*moving, *moving[-2:0:-1]]
    there_and_back[0].save(
        file, "GIF", save_all=True, append_images=there_and_back[1:], duration=FRAME_MILLISECONDS, loop=0
    )
    write(out / "between.gif", file.getvalue())
    drawn.files += [out / "between.png", out / "between.gif"]
    return drawn


def between(one: Placement, two: Placement, share: float) -> Placement:
    """A placement a share of the way from one to another."""
    parts = ((a + share * (b - a)) for a, b in zip((one.scale, *one.offset), (two.scale, *two.offset), strict=True))
    return Placement(*parts)


def pages(pictures: Sequence[Pixels]) -> Iterable[Pixels]:
    """Contact sheets of pictures, in order."""
    for first in range(0, len(pictures), COLUMNS * ROWS):
        page = pictures[first : first + COLUMNS * ROWS]
        rows = [page[start : start + COLUMNS] for start in range(0, len(page), COLUMNS)]
        yield np.asarray(contact_sheet(rows))
