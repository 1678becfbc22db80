"""Hostile fonts, made of the embedded ones: flipped and cut, with wild figures, circles, CFF outlines, odd maps."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.ttLib import TTCollection, TTFont, newTable
from fontTools.ttLib.tables._c_m_a_p import CmapSubtable
from fontTools.ttLib.tables._g_l_y_f import Glyph, GlyphComponent
from fontTools.ttLib.tables.DefaultTable import DefaultTable
from support.damaged_fonts import damaged_fonts

from faults.hostile.bases import Bases
from faults.hostile.pictures import CHARACTERS, PLACES
from faults.hostile.trial import Case


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """So many, each through one of the commands that read fonts."""
    choice = random.Random(seed)
    bases = Bases(folder)
    made = [*_made(bases.font.read_bytes()), *PLACES.items()]
    otf = as_cff(bases.font.read_bytes())
    made.append(("CFF", otf))
    for number in range(12):
        made.append((f"CFF, bytes flipped {number}", _flipped(otf, choice)))
    made += damaged_fonts(bases.font.read_bytes(), max(0, count - len(made) - 10), seed)
    for number, (what, font) in enumerate(made[:count]):
        yield _case(bases, f"font, {what}", font, number % 6)


def _case(bases: Bases, name: str, font: Any, command: int) -> Case:
    def lay(folder: Path) -> None:
        (folder / "text.txt").write_text(CHARACTERS)
        font(folder / "wild.ttf") if callable(font) else (folder / "wild.ttf").write_bytes(font)

    build = ("zi2zi", "data", "build", "--out", "data", "--held-out", 0.3, "--charset", "text.txt")
    train = ("train", "--quiet", "--device", "cpu", "--plugins", "", "--steps", 1, "--out", "run")
    model = ("--set", "model.held_out=0.3", "--set", "train.batch_size=2", "--set", "model.charset=text.txt")
    args: tuple[object, ...] = {
        0: (*build, "--targets", "wild.ttf", "--source", bases.source),
        1: (*build, "--targets", bases.font, "--source", "wild.ttf"),
        2: (*train, "--set", "model.targets=wild.ttf", *model),
        3: ("zi2zi", "infer", bases.glyphs, "--source", "wild.ttf", "--text", CHARACTERS, "--out", "drawn", "--svg"),
        4: ("zi2zi", "font", bases.glyphs, "--source", "wild.ttf", "--text", CHARACTERS, "--out", "f.ttf"),
        5: (*build, "--targets", "wild.ttf", "--source", "wild.ttf", "--align", "none"),
    }[command]
    return Case(f"{name}, {command}", args, lay)


def as_cff(data: bytes) -> bytes:
    """The font with a few of its glyphs as CFF outlines."""
    font = TTFont(BytesIO(data))
    glyphs, cmap = font.getGlyphSet(), font.getBestCmap()
    names = {".notdef": ".notdef", **{f"u{ord(c):X}": cmap[ord(c)] for c in CHARACTERS if ord(c) in cmap}}
    strings = {}
    for name, old in names.items():
        pen = T2CharStringPen(glyphs[old].width, glyphs)
        glyphs[old].draw(pen)
        strings[name] = pen.getCharString()
    builder = FontBuilder(font["head"].unitsPerEm, isTTF=False)
    builder.setupGlyphOrder([*names])
    builder.setupCharacterMap({int(name[1:], 16): name for name in names if name != ".notdef"})
    builder.setupCFF("Wild", {}, strings, {})
    builder.setupHorizontalMetrics({name: (glyphs[old].width, 0) for name, old in names.items()})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Wild", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    return _saved(builder.font)


def _flipped(data: bytes, choice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(choice.choice((1, 8, 64))):
        changed[choice.randrange(12, len(changed))] ^= 1 << choice.randrange(8)
    return bytes(changed)


def _made(data: bytes) -> Iterator[tuple[str, Any]]:
    """Fonts that fontTools writes and nobody would design."""
    name = TTFont(BytesIO(data)).getBestCmap()[0x6C38]
    for length in (1, 2, 50):
        yield f"a circle of {length} composites", _circle(data, name, length)
    yield "composites doubling 40 times", _doubling(data, name, 40)
    yield "a composite of 50,000 parts", lambda path: path.write_bytes(_composite(data, name, 50_000))
    yield "16,000 contours", lambda path: path.write_bytes(_contours(data, name))
    for format in (12, 13):
        yield f"every code point in format {format}", _groups(data, format, [(0, 0x10FFFF)])
        yield f"every code point 2,000 times in format {format}", _groups(data, format, [(0, 0x10FFFF)] * 2000)
        yield f"four thousand million in format {format}", _groups(data, format, [(0, 2**32 - 1)])
        yield f"a group that ends first in format {format}", _groups(data, format, [(9, 1)])
    yield "a map that says it has 2^32 groups", _groups(data, 12, [(0, 9)], count=2**32 - 1)
    yield "many maps", _groups(data, 12, [(0, 0x10FFFF)], maps=300)
    yield "a glyph of every ideograph", _mapped(data, dict.fromkeys(range(13312, 40960), name))
    yield "only surrogates", _mapped(data, dict.fromkeys(range(55296, 57344), name))
    yield "only controls", _mapped(data, dict.fromkeys(range(32), name))
    font = TTFont(BytesIO(data))
    font["name"].setName("\x1b[2J" * 1000, 1, 3, 1, 0x409)
    yield "steering name", _saved(font)
    for width in (0, 1, 65535):
        font = TTFont(BytesIO(data))
        font["hmtx"].metrics = dict.fromkeys(font["hmtx"].metrics, (width, -32768))
        yield f"advances of {width}, bearings far off", _saved(font)
    for units in (16, 17, 16384):
        font = TTFont(BytesIO(data))
        font["head"].unitsPerEm = units
        yield f"{units} units per em", _saved(font)
    font = TTFont(BytesIO(data))
    for key in ("ascent", "descent", "lineGap"):
        setattr(font["hhea"], key, 32767)
    yield "wild line", _saved(font)
    font = TTFont(BytesIO(data))
    font["fpgm"] = _program(b"\xb0\x00\x1c" * 2000)
    font["prep"] = _program(b"\xb1\xff\xfd\x1c" * 2000)  # jumps back without end
    yield "programs without end", _saved(font)
    for flavour in ("woff", "woff2"):
        font = TTFont(BytesIO(data))
        font.flavor = flavour
        try:
            yield flavour, _saved(font)
        except ImportError:  # woff2 wants a compressor
            continue
    collection = TTCollection()
    collection.fonts = [TTFont(BytesIO(data))] * 2
    file = BytesIO()
    collection.save(file)
    yield "a collection", file.getvalue()
    yield "a collection of many", b"ttcf\0\1\0\0\xff\xff\xff\xff" + b"\0\0\0\x0c" * 1000
    yield "many tables", data[:4] + b"\xff\xff" + data[6:]
    yield "empty", b""
    yield "Type 1", b"%!PS-AdobeFont-1.0: Wild\n" + b"(outside/ran) (w) file " * 100
    yield "BDF", b"STARTFONT 2.1\nFONT x\nSIZE 65535 75 75\nFONTBOUNDINGBOX 65535 65535 0 0\nCHARS 1\n"
    without = TTFont(BytesIO(data))
    for tag in ("glyf", "loca"):
        del without[tag]
    yield "without outlines", _saved(without)


def _saved(font: TTFont) -> bytes:
    file = BytesIO()
    font.save(file)
    return file.getvalue()


def _component(name: str, x: int = 0) -> GlyphComponent:
    part = GlyphComponent()
    part.glyphName, part.x, part.y, part.flags = name, x, 0, 0x2
    return part


def _composite_of(parts: list[GlyphComponent]) -> Glyph:
    glyph = Glyph()
    glyph.numberOfContours = -1
    glyph.components = parts
    glyph.xMin = glyph.yMin = 0
    glyph.xMax = glyph.yMax = 500
    return glyph


def _added(font: TTFont, glyphs: dict[str, Glyph]) -> bytes:
    """The font with these glyphs, their boxes as they are, since nobody can work out those of a circle."""
    font.recalcBBoxes = False
    for name, glyph in glyphs.items():
        if name not in font.getGlyphOrder():
            font.setGlyphOrder([*font.getGlyphOrder(), name])
        font["glyf"].glyphs[name] = glyph
        font["hmtx"].metrics.setdefault(name, (1000, 0))
    font["glyf"].setGlyphOrder(font.getGlyphOrder())
    return _saved(font)


def _circle(data: bytes, name: str, length: int) -> bytes:
    ring = [name, *(f"ring{number}" for number in range(1, length))]
    return _added(
        TTFont(BytesIO(data)),
        {one: _composite_of([_component(ring[(at + 1) % length])]) for at, one in enumerate(ring)},
    )


def _doubling(data: bytes, name: str, times: int) -> bytes:
    font = TTFont(BytesIO(data))
    leaf = next(key for key in font.getGlyphOrder()[1:] if key != name)
    chain = [name, *(f"twice{number}" for number in range(1, times)), leaf]
    return _added(
        font,
        {
            one: _composite_of([_component(chain[at + 1]), _component(chain[at + 1], 1)])
            for at, one in enumerate(chain[:-1])
        },
    )


def _composite(data: bytes, name: str, parts: int) -> bytes:
    font = TTFont(BytesIO(data))
    leaf = next(key for key in font.getGlyphOrder()[1:] if key != name)
    return _added(font, {name: _composite_of([_component(leaf)] * parts)})


def _contours(data: bytes, name: str) -> bytes:
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    for number in range(16_000):  # four points each: a glyph has 65,536 at most
        x, y = number % 100 * 10, number // 100 * 5
        pen.moveTo((x, y))
        for point in ((x + 900, y), (x + 900, y + 400), (x, y + 400)):
            pen.lineTo(point)
        pen.closePath()
    font, glyph = TTFont(BytesIO(data)), pen.glyph()
    glyph.recalcBounds(font["glyf"])
    return _added(font, {name: glyph})


def _groups(data: bytes, format: int, groups: list[tuple[int, int]], count: int = 0, maps: int = 1) -> bytes:
    """The font with maps of these groups of code points, as nobody's compiler would write them."""
    body = b"".join(struct.pack(">III", first, last, 1) for first, last in groups)
    table = struct.pack(">HHIII", format, 0, 16 + len(body), 0, count or len(groups)) + body
    head = struct.pack(">HH", 0, maps)
    records = b"".join(struct.pack(">HHI", 3, 10, 4 + 8 * maps + len(table) * at) for at in range(maps))
    font = TTFont(BytesIO(data))
    font["cmap"] = DefaultTable("cmap")
    font["cmap"].data = head + records + table * maps
    return _saved(font)


def _mapped(data: bytes, mapped: dict[int, str], format: int = 4) -> bytes:
    font = TTFont(BytesIO(data))
    table = CmapSubtable.newSubtable(format)
    table.platformID, table.platEncID, table.language, table.cmap = 3, 10 if format == 12 else 1, 0, mapped
    font["cmap"].tables = [table]
    return _saved(font)


def _program(code: bytes) -> Any:
    from fontTools.ttLib.tables.ttProgram import Program

    table = newTable("fpgm")
    table.program = Program()
    table.program.fromBytecode(code)
    return table
