"""Fonts with something wrong in them, made of a whole one by a fixed choice."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from io import BytesIO

from fontTools.ttLib import TTFont

TABLES = ("head", "hhea", "maxp", "hmtx", "cmap", "glyf", "loca")


def damaged_fonts(font: bytes, count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Flipped bytes, cut tables, wild units, advances and coordinates, a map of every code point, circular glyphs."""
    yield from _wild(font)
    choice = random.Random(seed)
    places = _tables(font)
    for number in range(count):
        tag = choice.choice([tag for tag in TABLES if tag in places])
        start, size = places[tag]
        changed = bytearray(font)
        if number % 4 == 3:
            at = start + choice.randrange(size)
            yield f"cut in {tag}", bytes(changed[:at])
            continue
        for _ in range(choice.choice((1, 4, 64))):
            changed[start + choice.randrange(size)] = choice.choice((0, 1, 0x7F, 0x80, 0xFF))
        yield f"{number}: bytes of {tag}", bytes(changed)


def _wild(font: bytes) -> Iterator[tuple[str, bytes]]:
    places = _tables(font)
    for units in (0, 1, 16, 65535):
        changed = bytearray(font)
        struct.pack_into(">H", changed, places["head"][0] + 18, units)
        yield f"{units} units per em", bytes(changed)
    for width in (0, 65535):
        made = _opened(font)
        for name in made["hmtx"].metrics:
            made["hmtx"].metrics[name] = width, 0
        yield f"advances of {width}", _saved(made)
    for reach in (31000, -31000):  # further away, the step to the next point has no room
        made = _opened(font)
        glyph = made["glyf"][made.getBestCmap()[0x6C38]]
        glyph.coordinates[0] = reach, reach
        yield f"a point at {reach}", _saved(made)
    made = _opened(font)
    for part in made["cmap"].tables:
        if part.format == 12:
            part.cmap = dict.fromkeys(range(0x110000), ".notdef")
    yield "every code point", _saved(made)


def _opened(font: bytes) -> TTFont:
    return TTFont(BytesIO(font))


def _saved(font: TTFont) -> bytes:
    file = BytesIO()
    font.save(file)
    return file.getvalue()


def _tables(font: bytes) -> dict[str, tuple[int, int]]:
    count = struct.unpack_from(">H", font, 4)[0]
    rows = (struct.unpack_from(">4sIII", font, 12 + 16 * row) for row in range(count))
    return {tag.decode(): (start, size) for tag, _, start, size in rows}
