"""Sample sheets for a page: some of a run's, made small, as data URIs."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from balancer.page.view import Sheet
from balancer.record.files import listed, open_to_read
from balancer.record.folder import SHEETS, sheet_step
from balancer.record.handles import Misplaced

MOST_SHEETS: Final = 10
JUDGED: Final = (3.0, 5.0)  # epochs whose sheets the source document asks to look at
WIDTHS: Final = (720, 480, 320, 240)  # pixels of a sheet, tried in turn
BYTES: Final = 1_000_000  # of all sheets of a run
# A sheet that is larger is counted among those that cannot be shown.
FILE_BYTES: Final = 64 * 2**20
PIXELS: Final = 50_000_000
UNREADABLE: Final = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def page_sheets(run: Path, steps_per_epoch: float | None) -> tuple[list[Sheet], int, int]:
    """Some sheets along the run, small enough for a page; how many there are, and how many could not be read.

    Raises:
        Misplaced: what lies there is no folder of plain files.
    """
    named = _named(run)
    epochs = {step: step / steps_per_epoch if steps_per_epoch else None for step in named}
    judged = [step for step in sorted(named) if _is_judged(epochs[step])]
    chosen = chosen_sheets(sorted(named), judged)
    pictures, unreadable = {}, 0
    for step in chosen:
        try:
            pictures[step] = _picture(run, named[step])
        except Misplaced:
            raise
        except UNREADABLE:
            unreadable += 1
    sheets: list[Sheet] = []
    for width in WIDTHS:
        sheets = [_sheet(step, pictures[step], width, epochs[step], step in judged) for step in pictures]
        if sum(len(sheet.uri) for sheet in sheets) <= BYTES:
            break
    return sheets, len(named), unreadable


def last_sheet(run: Path, width: int) -> Sheet | None:
    """A run's last sheet, at most `width` pixels wide; None where it has none, or none that can be read."""
    try:
        named = _named(run)
    except Misplaced:
        return None
    for step in sorted(named, reverse=True):
        with contextlib.suppress(*UNREADABLE):
            return _sheet(step, _picture(run, named[step]), width, None, False)
    return None


def _named(run: Path) -> dict[int, str]:
    """The sheets in a run by their steps."""
    try:
        return {step: name for name in listed(run, SHEETS) if (step := sheet_step(name)) is not None}
    except Misplaced:
        raise
    except OSError:
        return {}


def _picture(run: Path, name: str) -> Image.Image:
    """A sheet no wider than any that is shown."""
    with open_to_read(run, f"{SHEETS}/{name}") as file:
        if os.fstat(file.fileno()).st_size > FILE_BYTES:
            raise ValueError
        # What Pillow warns of is damaged metadata, and sizes that are refused here.
        with warnings.catch_warnings(action="ignore"), Image.open(file, formats=["PNG"]) as image:
            if image.width * image.height > PIXELS:
                raise ValueError
            picture = image.convert("L" if image.mode in ("1", "L", "I;16") else "RGB")
    # More is kept of none.
    picture.thumbnail((WIDTHS[0], 2 * WIDTHS[0]), Image.Resampling.LANCZOS)
    return picture


def _is_judged(epoch: float | None) -> bool:
    # A sheet drawn at the end of epoch 5 may be a step off where the epoch's length was rounded.
    return epoch is not None and JUDGED[0] - 0.05 <= epoch <= JUDGED[1] + 0.05


def chosen_sheets(steps: Sequence[int], judged: Sequence[int]) -> list[int]:
    """At most ten of these, evenly spread, the first and the last among them; those to be judged in any case."""
    most = MOST_SHEETS * 2 // 3
    kept = set(judged if len(judged) <= most else (judged[round(at)] for at in np.linspace(0, len(judged) - 1, most)))
    others = [step for step in steps if step not in judged]
    room = min(MOST_SHEETS - len(kept), len(others))
    kept |= {others[round(at)] for at in np.linspace(0, len(others) - 1, room)} if room else set()
    return sorted(kept)


def _sheet(step: int, picture: Image.Image, width: int, epoch: float | None, judged: bool) -> Sheet:
    scale = min(1.0, width / picture.width, 2 * width / picture.height)
    small = picture
    if scale < 1:
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        small = picture.resize(size, Image.Resampling.LANCZOS)
    data = io.BytesIO()
    # Glyphs need few greys; what is drawn of them is a third as large so.
    small.quantize(16 if small.mode == "L" else 128).save(data, "PNG", optimize=True)
    uri = "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
    return Sheet(step, epoch, judged, uri, small.width, small.height)
