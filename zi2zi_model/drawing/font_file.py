"""A TrueType font of outlines: written with fontTools, and checked by drawing it again with FreeType."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen

from balancer.errors import ConfigError
from zi2zi_model.data.charsets import load_charset
from zi2zi_model.data.font import Font
from zi2zi_model.data.glyphs import Pixels
from zi2zi_model.data.placement import BASELINE, Placement
from zi2zi_model.drawing.outlines import Outline

UNITS: Final = 1000
_CURVE_ERROR: Final = 0.001  # em by which a quadratic curve may leave its cubic one
_MOST_LETTERS: Final = 31  # of a family name, in UTF-16: Windows' LOGFONT has no room for more
_MOST_ASCII: Final = 63 - len("-Regular")  # of a PostScript name's family
_MOST_GLYPHS: Final = 65_535
# Bit of a Windows code page, its codec, and the charset of its everyday characters.
_CODE_PAGES: Final = ((17, "shift_jis", "jis-1"), (18, "gb2312", "gb2312-1"), (20, "big5", "big5-1"))
_MOST_BYTES: Final = 30_000  # of a text: the name table places all of them within 65,535
_NEARLY_ALL: Final = 0.95
_MADE: Final = 3_786_912_000  # 2024-01-01 in seconds since 1904: the same glyphs give the same bytes


def font_bytes(
    glyphs: Mapping[str, Outline],
    *,
    family: str,
    advance: Mapping[str, float] | None = None,
    units: int = UNITS,
    version: str = "1.000",
    copyright: str = "",
    licence: str = "",
) -> bytes:
    """A TrueType font with one glyph for each character, as a file.

    Args:
        glyphs: outline of each character, in em units. Spaces are added where they are not given.
        family: the font's name; any script.
        advance: width of each character in em, where it is not 1.
        units: font units to the em; those of a font whose outlines are to stay exactly as they are.
        version: such as 1.000.
        copyright: of the glyphs, for the name table.
        licence: likewise.

    Raises:
        ConfigError: a text too long or not Unicode, no glyphs or too many.
    """
    for what, text in (("copyright", copyright), ("licence", licence)):
        _check_text(what, text)
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
    if len(characters) >= _MOST_GLYPHS:  # `.notdef` is one
        raise ConfigError(f"{len(characters)} characters: a font holds {_MOST_GLYPHS - 1} at most; leave some out")
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
    postscript = _postscript_name(family)
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
        fsSelection=0x40 | 0x80,  # regular; lines are spaced by the typographic metrics
        fsType=0,  # may be embedded
        achVendID="    ",
    )
    builder.font["OS/2"].recalcUnicodeRanges(builder.font)
    builder.font["OS/2"].recalcCodePageRanges(builder.font)
    if pages := code_pages(characters):
        builder.font["OS/2"].setCodePageRanges(pages)
    builder.setupPost()
    builder.updateHead(fontRevision=float(version), created=_MADE, modified=_MADE)
    builder.font.recalcTimestamp = False
    file = BytesIO()
    builder.save(file)
    return file.getvalue()


def validate(path: Path, family: str, version: str = "1.000") -> None:
    """Refuse what a font cannot be called, and a place where none can be, before glyphs are drawn for it.

    Raises:
        ConfigError: which of them, and why.
    """
    letters = len(family.encode("utf-16-le", "replace")) // 2
    if not (family.strip() and family.isprintable() and letters <= _MOST_LETTERS):
        raise ConfigError(f"font name {family!r}: give one of 1 to {_MOST_LETTERS} printable letters")
    if not re.fullmatch(r"\d{1,3}\.\d{1,3}", version, re.ASCII):
        raise ConfigError(f"font version {version!r}: is a number such as 1.000")
    if path.is_dir():
        raise ConfigError(f"--out {path}: is a folder; add the file's name")


def code_pages(characters: Iterable[str]) -> set[int]:
    """OS/2 bits of the East Asian code pages that a font of these characters serves.

    It does where its ideographs are the code page's own, or where it has nearly all of the everyday ones.
    fontTools goes by single characters (央, ㄅ, エ), which a font of other scope may lack or hold by chance.
    """
    ideographs = {c for c in characters if "\u4e00" <= c <= "\u9fff"}
    if not ideographs:
        return set()
    served = set()
    for bit, codec, charset in _CODE_PAGES:
        own = sum(bool(c.encode(codec, "ignore")) for c in ideographs) / len(ideographs)
        everyday = load_charset(charset)
        if own >= _NEARLY_ALL or len(ideographs.intersection(everyday)) >= _NEARLY_ALL * len(everyday):
            served.add(bit)
    return served


def overlap(one: Pixels, two: Pixels) -> float:
    """Intersection over union of the ink in two pictures of one size, where at least half of a place is covered."""
    first, second = one < 128, two < 128
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def overlaps(font: Path | Font, pictures: Mapping[str, Pixels], placement: Placement) -> dict[str, float]:
    """Draw each character with a font (or that at a path) as its picture (S, S) was placed; their overlap by character.

    Raises:
        DataError: FreeType cannot open the font.
    """
    shown = font if isinstance(font, Font) else Font(font)
    return {
        character: overlap(picture, shown.drawn(character, picture.shape[0], placement))
        for character, picture in pictures.items()
    }


def _check_text(what: str, text: str) -> None:
    try:
        size = len(text.encode("utf-16-be"))
    except UnicodeEncodeError:
        raise ConfigError(f"font {what} {text[:40]!r}: is not valid Unicode; write it in UTF-8") from None
    if size > _MOST_BYTES:
        raise ConfigError(f"font {what}: {len(text):,} letters are too many; {_MOST_BYTES // 4:,} always fit")


def _shape(outline: Outline, units: int) -> Any:
    pen = TTGlyphPen(None)
    outline.draw(Cu2QuPen(pen, _CURVE_ERROR * units), scale=units)
    return pen.glyph()


def _postscript_name(family: str) -> str:
    """ASCII letters and digits, other letters by their code; families of different letters share none."""
    name = "".join(c if c.isascii() else f"{ord(c):04X}" for c in family if c.isalnum() or not c.isascii())
    if not name[:1].isalpha():
        name = f"Font{name}"
    if len(name) > _MOST_ASCII or name == "Font":
        name = f"{name[:40]}{hashlib.sha256(family.encode()).hexdigest()[:12]}"
    return name


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
