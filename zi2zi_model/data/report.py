"""What is in glyph data: coverage, what is missing, repeated glyphs, ink and boxes; figures, lines, and a sheet."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from zi2zi_model.data import dataset
from zi2zi_model.data.charsets import CHARSETS
from zi2zi_model.data.glyphs import ink_extent
from zi2zi_model.data.pairs import GlyphData
from zi2zi_model.data.picture_files import png, write
from zi2zi_model.data.sheet import COLUMNS, contact_sheet, evenly_spaced

if TYPE_CHECKING:
    from PIL.Image import Image

LISTED: Final = 40
BANDS: Final = 8  # each a row of sources and one for each style


def inspect(folder: Path, out: Path | None = None) -> dict[str, Any]:
    """Verify a data-set folder, and draw its contact sheet to `out` (`FOLDER.png` if not given).

    Returns the figures of `report`, and the sheet's path under `sheet`.

    Raises:
        DataError: there is none, or it was changed or damaged.
        ConfigError: `out` cannot be written.
    """
    data = dataset.load(folder)
    figures = report(data)
    folder = folder.absolute()
    path = out or folder.with_name(f"{folder.name or 'data'}.png")
    write(path, png(sheet(data)))
    return {**figures, "sheet": str(path)}


def report(data: GlyphData) -> dict[str, Any]:
    """Figures of the data by name, as primitives.

    `ink` is the share of a picture that is ink (mean, least and most), `box` the mean width and height of its ink in
    sides of the picture; `coverage` the share of each charset that a style has, of those it has any of; `repeated`
    groups of characters that one style draws alike to the pixel.
    """
    styles = {}
    for index, style in enumerate(data.styles):
        rows = np.flatnonzero(data.target_index[:, index] >= 0)
        pictures = data.target[data.target_index[rows, index]]
        names = [data.characters[row] for row in rows]
        styles[style] = {
            "label": data.labels[index],
            "training": int((~data.held_out[rows]).sum()),
            "held out": int(data.held_out[rows].sum()),
            "coverage": _coverage(names),
            "repeated": _repeated(names, pictures),
            **_ink(pictures),
        }
    return {
        **data.counts,
        "size": data.size,
        "source": {"name": data.typefaces[0].name if data.typefaces else "pairs", **_ink(data.source)},
        "style": styles,
        "missing": {face: dict(reasons) for face, reasons in data.missing.items()},
        "clipped": dict(data.clipped),
        "typefaces": data.record["typefaces"],
    }


def report_lines(figures: dict[str, Any]) -> list[str]:
    """The figures as lines of text."""
    text = [
        f"{figures['characters']:,} characters, {figures['styles']} {_plural('style', figures['styles'])}, "
        f"{figures['training items']:,} training pairs, {figures['held-out items']:,} held out, {figures['size']} px",
        f"source {figures['source']['name']}: {_ink_line(figures['source'])}",
    ]
    for name, style in figures["style"].items():
        text.append(f"style {style['label']} {name}: {style['training']:,} to train on, {style['held out']:,} held out")
        text.append(f"  {_ink_line(style)}")
        if style["coverage"]:
            shares = ", ".join(f"{charset} {share:.1%}" for charset, share in style["coverage"].items())
            text.append(f"  covers {shares}")
        for group in style["repeated"][:LISTED]:
            text.append(f"  drawn alike: {' '.join(group)}")
    for face, reasons in figures["missing"].items():
        for reason, characters in reasons.items():
            more = " …" if len(characters) > LISTED else ""
            text.append(f"{face} lacks {len(characters):,} asked for ({reason}): {characters[:LISTED]}{more}")
    for face, count in figures["clipped"].items():
        text.append(f"{face} reaches over the picture's edge in {count} characters")
    return text


def sheet(data: GlyphData) -> Image:
    """Evenly spaced characters: a row of sources, then a row for each style, and so on down the page."""
    names = ["source", *(str(label) for label in data.labels)]
    blank = np.full((data.size, data.size), 255, np.uint8)
    every = evenly_spaced(np.arange(len(data.characters)), COLUMNS * BANDS)
    pictures, labels = [], []
    for first in range(0, len(every), COLUMNS):
        chosen = every[first : first + COLUMNS]
        pictures.append(list(data.source[chosen]))
        for style in range(len(data.styles)):
            places = data.target_index[chosen, style]
            pictures.append([data.target[place] if place >= 0 else blank for place in places])
        labels += names
    return contact_sheet(pictures, labels)


def _coverage(names: list[str]) -> dict[str, float]:
    held = {name for name in names if len(name) == 1}
    shares = {name: len(held.intersection(members())) / len(members()) for name, members in CHARSETS.items()}
    return {name: share for name, share in shares.items() if share and name != "demo"}


def _repeated(names: list[str], pictures: Any) -> list[list[str]]:
    groups: dict[bytes, list[str]] = defaultdict(list)
    for name, picture in zip(names, pictures, strict=True):
        groups[picture.tobytes()].append(name)
    return [group for group in groups.values() if len(group) > 1]


def _ink(pictures: Any) -> dict[str, Any]:
    shares = 1 - pictures.reshape(len(pictures), -1).mean(1) / 255
    boxes = np.array([ink_extent(picture) for picture in pictures])
    width, height = (boxes[:, 2:] - boxes[:, :2]).mean(0).tolist()
    return {
        "ink": {"mean": float(shares.mean()), "least": float(shares.min()), "most": float(shares.max())},
        "box": {"width": width, "height": height},
    }


def _ink_line(figures: dict[str, Any]) -> str:
    ink, box = figures["ink"], figures["box"]
    return (
        f"ink {ink['mean']:.1%} of the picture ({ink['least']:.1%} to {ink['most']:.1%}), "
        f"mean box {box['width']:.2f} x {box['height']:.2f}"
    )


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
