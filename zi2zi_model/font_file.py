"""A TrueType font of outlines: written with fontTools, and checked by drawing it again with FreeType."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen

from balancer.errors import ConfigError
from balancer.files import write_atomically
from zi2zi_model.glyphs import BASELINE, Font, Pixels, Placement
from zi2zi_model.outlines import Outline

UNITS: Final = 1000
_CURVE_ERROR: Final = 0.001  # em by which a quadratic curve may leave its cubic one
_MOST_LETTERS: Final = 63  # of a PostScript name; longer family names also break older programs
_MADE: Final = 3_786_912_000  # 2024-01-01 in seconds since 1904: the same glyphs give the same bytes


def write_font(
    path: Path,
    glyphs: Mapping[str, Outline],
    *,
    family: str,
    advance: Mapping[str, float] | None = None,
    units: int = UNITS,
    version: str = "1.000",
    copyright: str = "",
    licence: str = "",
) -> None:
    """Write a TrueType font with one glyph for each character.

    Args:
        path: of the file; it is replaced whole.
        glyphs: outline of each character, in em units. Spaces are added where they are not given.
        family: the font's name; any script.
        advance: width of each character in em, where it is not 1.
        units: font units to the em; those of a font whose outlines are to stay exactly as they are.
        version: such as 1.000.
        copyright: of the glyphs, for the name table.
        licence: likewise.

    Raises:
        ConfigError: a name that fonts cannot have, no glyphs, or a file that cannot be written.
    """
    if not family.strip() or len(family) > _MOST_LETTERS - len("-Regular"):
        raise ConfigError(f"font name {family!r}: give one of 1 to {_MOST_LETTERS - len('-Regular')} letters")
    if not re.fullmatch(r"\d+\.\d+", version):
        raise ConfigError(f"font version {version!r}: is a number such as 1.000")
    if not glyphs:
        raise ConfigError("a font needs at least one glyph")
    ascent = round(BASELINE * units)
    descent = units - ascent
    widths = dict(advance or {})
    drawn = dict(glyphs)
    for space, width in (("\u0020", 0.5), ("\u3000", 1.0)):
        if space not in drawn:
            drawn[space], widths[space] = Outline(), width
    characters = sorted(drawn, key=ord)
    names = {c: _glyph_name(c) for c in characters}
    shapes = {".notdef": _shape(_BOX, units), **{names[c]: _shape(drawn[c], units) for c in characters}}
    widths_of = {".notdef": units, **{names[c]: round(units * widths.get(c, 1.0)) for c in characters}}

    builder = FontBuilder(units, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap({ord(c): name for c, name in names.items()})
    builder.setupGlyf(shapes)
    # Where the left side bearing is not xMin, FreeType shifts the glyph by the difference.
    table = builder.font["glyf"]
    builder.setupHorizontalMetrics(
        {name: (width, getattr(table[name], "xMin", 0)) for name, width in widths_of.items()}
    )
    tops = {name: getattr(table[name], "yMax", 0) for name in widths_of}
    builder.setupHorizontalHeader(ascent=ascent, descent=-descent)
    builder.setupVerticalHeader(ascent=units // 2, descent=-units // 2)
    builder.setupVerticalMetrics({name: (units, ascent - top) for name, top in tops.items()})
    postscript = re.sub(r"[^A-Za-z0-9]", "", family) or "Font" + "".join(f"{ord(c):04X}" for c in family)[:40]
    builder.setupNameTable(
        {
            "copyright": copyright,
            "familyName": family,
            "styleName": "Regular",
            "uniqueFontIdentifier": f"{postscript}-Regular {version}",
            "fullName": family,
            "version": f"Version {version}",
            "psName": f"{postscript}-Regular",
            "licenseDescription": licence,
        },
        mac=False,
    )
    builder.setupOS2(
        version=4,
        sTypoAscender=ascent,
        sTypoDescender=-descent,
        usWinAscent=max(ascent, *tops.values()),
        usWinDescent=max(descent, *(-getattr(table[name], "yMin", 0) for name in widths_of)),
        fsSelection=0x40,
        achVendID="    ",
    )
    builder.font["OS/2"].recalcUnicodeRanges(builder.font)
    builder.font["OS/2"].recalcCodePageRanges(builder.font)
    builder.setupPost()
    builder.updateHead(fontRevision=float(version), created=_MADE, modified=_MADE)
    builder.font.recalcTimestamp = False
    file = BytesIO()
    builder.save(file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, file.getvalue())
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written: {error.strerror or error}") from None


def overlap(one: Pixels, two: Pixels) -> float:
    """Intersection over union of the ink in two pictures of one size, where at least half of a place is covered."""
    first, second = one < 128, two < 128
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def check(path: Path, pictures: Mapping[str, Pixels], placement: Placement) -> dict[str, float]:
    """Draw each character with the font at `path` as its picture (S, S) was placed; their overlap by character.

    Raises:
        DataError: FreeType cannot open the font.
    """
    font = Font(path)
    return {
        character: overlap(picture, font.drawn(character, picture.shape[0], placement))
        for character, picture in pictures.items()
    }


def _shape(outline: Outline, units: int) -> Any:
    pen = TTGlyphPen(None)
    outline.draw(Cu2QuPen(pen, _CURVE_ERROR * units), scale=units)
    return pen.glyph()


def _glyph_name(character: str) -> str:
    code = ord(character)
    return f"uni{code:04X}" if code <= 0xFFFF else f"u{code:X}"


def _box() -> Outline:
    """The glyph of what the font lacks: an empty box."""
    corners = np.array([(0.1, -0.05), (0.1, 0.8), (0.9, 0.8), (0.9, -0.05)])
    inner = (corners[::-1] - (0.5, 0.375)) * (0.9, 0.9) + (0.5, 0.375)
    commands: list[tuple[str, tuple[Any, ...]]] = []
    for contour in (corners, inner):
        first, *others = (tuple(point) for point in contour.tolist())
        commands += [("moveTo", (first,)), *(("lineTo", (point,)) for point in others), ("closePath", ())]
    return Outline(tuple(commands))


_BOX: Final = _box()
