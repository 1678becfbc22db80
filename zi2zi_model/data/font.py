"""A font file: which characters it really draws, how large, and their pictures."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

from balancer import read_input
from balancer.errors import DataError
from zi2zi_model.data.glyphs import INK, Pixels, Typeface
from zi2zi_model.data.placement import InkBox, Placement

MOST_FONT_BYTES: Final = 256 * 2**20
_LAYOUT: Final = ImageFont.Layout.BASIC  # the same picture with and without the Raqm library
_MEASURE: Final = 256  # pixels per em
_GLANCE: Final = 16  # pixels per em of a first look at a glyph
_AT_ONCE: Final = 64  # such looks
_KEPT: Final = 512  # drawings kept, at 256 pixels per em, so that a small charset is drawn once
_MOST_EMS: Final = 8  # a glyph that reaches further from its origin cannot be drawn: no script has such
_PROBES: Final = 256  # ideographs of every font that are searched for a repeated drawing
_TOFU_REPEATS: Final = 4  # unified variants share a drawing in twos and threes
_IDEOGRAPHS: Final = range(0x4E00, 0xA000)
# What fontTools notes of a damaged table is no line of ours; whoever listens to its logger still hears it.
logging.getLogger("fontTools").addHandler(logging.NullHandler())


class _Drawing(NamedTuple):
    """A glyph's ink box, and a digest that equal drawings share."""

    box: InkBox
    digest: bytes


@contextmanager
def font_work(path: str, character: str) -> Iterator[None]:
    """Let whatever FreeType, Pillow or fontTools raise about a damaged glyph be one line that names it.

    Raises:
        DataError: names the font and the character.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        where = f"font {path}: the glyph of {character} (U+{ord(character):04X})"
        raise DataError(f"{where} is damaged ({why}); leave it out, or take another font") from error


class Font(Typeface):
    """A TrueType or OpenType font file, or one face of a collection (`file.ttc:3`, counted from 0).

    Args:
        path: of the file.
        data: what the file will hold, where it is not written yet.

    Attributes:
        name: the file's name without directories, with the face's number if it was given.
        units_per_em: font units to the em.

    Raises:
        DataError: no such file, unreadable, not a font, no such face, or no Unicode character map.
    """

    def __init__(self, path: str | Path, data: bytes | None = None) -> None:
        self.name = Path(path).name
        self.path = str(path)
        try:
            face = None if data is not None or os.path.lexists(path) else re.fullmatch(r"(.+):(\d+)", str(path))
            file, self._index = (face[1], int(face[2])) if face else (str(path), 0)
            self._data = read_input(Path(file), MOST_FONT_BYTES) if data is None else data
        except OSError as error:
            raise DataError(f"font {path}: cannot be read: {error.strerror}") from error
        faces = int.from_bytes(self._data[8:12], "big") if self._data[:4] == b"ttcf" else 1
        if self._index >= faces:
            raise DataError(f"font {file}: has no face {self._index}; its faces are 0 to {faces - 1}")
        try:
            with self.outlines() as font:
                characters: dict[int, str] | None = font.getBestCmap()
                tables = {tag: font.reader[tag] for tag in font.reader.tables}  # fails where the file is cut short
            self.units_per_em = int.from_bytes(tables["head"][18:20], "big")
            if not 16 <= self.units_per_em <= 16384:
                raise ValueError(f"{self.units_per_em} units per em")
        except Exception as error:  # fontTools lets whatever its table parsers meet in a damaged file escape
            raise DataError(f"font {file}: damaged, or not TrueType or OpenType ({error or 'cut short'})") from error
        self._sizes: dict[int, ImageFont.FreeTypeFont] = {}
        try:
            self.at(_MEASURE)
        except Exception as error:
            raise DataError(f"font {file}: FreeType cannot open it ({error})") from error
        if not characters:
            raise DataError(f"font {file}: has no Unicode character map, so its characters cannot be found")
        self._codes = frozenset(characters)
        self._drawings: dict[str, _Drawing | None] = {}
        self._inks: dict[str, tuple[Image.Image, tuple[int, int]]] = {}
        self._looks: dict[str, bytes | None] = {}
        self._tofu, self._like_tofu = self._find_tofu()

    def lacking(self, characters: Iterable[str]) -> dict[str, str]:
        """Those of the characters that the font does not draw, each with the reason.

        The character map lacks it, it is drawn without ink or cannot be drawn at all, or it is tofu: it looks like
        `.notdef`, or like many others of the font's ideographs or of these characters.
        """
        characters = tuple(dict.fromkeys(characters))
        doubtful = self._doubtful((c for c in characters if ord(c) in self._codes), self._like_tofu)
        tofu = self._tofu | _repeated(doubtful.values())
        reasons = {}
        for character in characters:
            if ord(character) not in self._codes:
                reasons[character] = "not in the font"
            elif character in doubtful:
                drawing = doubtful[character]
                if drawing is None:
                    reasons[character] = "blank"
                elif drawing.digest in tofu:
                    reasons[character] = "tofu"
        return reasons

    def identity(self) -> str:
        """SHA-256 of the file, and of the face's number where it is not the first."""
        face = f":{self._index}".encode() if self._index else b""
        return hashlib.sha256(self._data + face).hexdigest()

    def outlines(self) -> TTFont:
        """The font as fontTools reads it; glyphs of TrueType outlines are named by their numbers."""
        font = TTFont(BytesIO(self._data), fontNumber=self._index, lazy=True)
        if "glyf" in font:
            # Names that a font does not hold would be made of all of its character maps, however many it has.
            font.setGlyphOrder([f"glyph{number:05d}" for number in range(font["maxp"].numGlyphs)])
        return font

    def ink_box(self, character: str) -> InkBox:
        """Ink box of a character, exact to about 1/256 em.

        Raises:
            DataError: the font does not draw the character.
        """
        drawing = self._drawing(character)
        if drawing is None or drawing.digest in self._tofu:
            raise DataError(f"font {self.name}: does not draw {character} (U+{ord(character):04X})")
        return drawing.box

    def drawn(self, character: str, size: int, placement: Placement) -> Pixels:
        """The picture (size, size) of a character.

        It is drawn at 256 pixels per em or more and reduced, so that neither hinting nor whole pixels move or
        reshape strokes, and a placement holds to a small part of a pixel.
        """
        # Where glyphs are specks in their em, a picture of the em would be without bounds.
        pixels = max(_MEASURE, min(math.ceil(2 * size * placement.scale), 8 * size))
        side = pixels / placement.scale
        left, top = -placement.x * side, -placement.y * side
        x, y = math.floor(left), math.floor(top)
        picture = Image.new("L", (math.ceil(side) + 1, math.ceil(side) + 1), 255)
        if pixels == _MEASURE and character in self._inks:
            ink, (right, down) = self._inks[character]
            picture.paste(0, (right - x, down - y), ink)
        else:
            with font_work(self.path, character):
                ImageDraw.Draw(picture).text((-x, -y), character, fill=0, font=self.at(pixels), anchor="ls")
        frame = (left - x, top - y, left - x + side, top - y + side)
        return np.asarray(picture.resize((size, size), Image.Resampling.HAMMING, box=frame))

    def advance(self, character: str) -> float:
        """Advance width of a character in em."""
        with font_work(self.path, character):
            return float(self.at(_MEASURE).getlength(character)) / _MEASURE

    def at(self, pixels: int) -> ImageFont.FreeTypeFont:
        """The font at a number of pixels per em."""
        if pixels not in self._sizes:
            file = BytesIO(self._data)  # given a path to a damaged file, Pillow opens an installed font of that name
            self._sizes[pixels] = ImageFont.truetype(file, pixels, self._index, layout_engine=_LAYOUT)
        return self._sizes[pixels]

    def _find_tofu(self) -> tuple[frozenset[bytes], frozenset[bytes | None]]:
        """Digests of `.notdef` and of any drawing repeated in an even sample of the ideographs; then how they look."""
        ideographs = sorted(self._codes.intersection(_IDEOGRAPHS))
        sample = self._doubtful((chr(code) for code in ideographs[:: 1 + len(ideographs) // _PROBES]), frozenset())
        tofu = _repeated(sample.values())
        looks = self._look(c for c, drawing in sample.items() if drawing and drawing.digest in tofu).values()
        unmapped = next((code for code in range(0x10FFFF, 0, -1) if code not in self._codes), None)
        notdef = None if unmapped is None else self._draw(chr(unmapped))  # a font may map every code point
        if unmapped is None or notdef is None:
            return tofu, frozenset(looks)
        return tofu | {notdef.digest}, frozenset([*looks, *self._look(chr(unmapped)).values()])

    def _doubtful(self, characters: Iterable[str], like: frozenset[bytes | None]) -> dict[str, _Drawing | None]:
        """Drawings of those of the characters that may be blank or tofu: that look so, `like` some tofu or all alike.

        A look is at a small size: what is drawn alike looks alike there, and what shows ink there shows it when larger.
        """
        looks = self._look(characters)
        suspects = like | {None} | {look for look, count in Counter(looks.values()).items() if count >= _TOFU_REPEATS}
        return {c: self._drawing(c) for c, look in looks.items() if look in suspects}

    def _look(self, characters: Iterable[str]) -> dict[str, bytes | None]:
        """Digests of small pictures of characters; None for one that shows no ink in its cell, or reaches out of it."""
        characters = tuple(characters)
        font, em = self.at(_GLANCE), _GLANCE
        new = [c for c in characters if c not in self._looks]
        for first in range(0, len(new), _AT_ONCE):
            here = new[first : first + _AT_ONCE]
            sheet = Image.new("L", (3 * em, 3 * em * len(here)))
            draw = ImageDraw.Draw(sheet)
            for row, character in enumerate(here):
                with suppress(Exception):  # whatever FreeType and Pillow raise, `_draw` meets it too
                    left, top, right, bottom = font.getbbox(character, anchor="ls")
                    if min(left, -bottom) >= -em and max(right, -top) <= 2 * em:
                        draw.text((em, (3 * row + 2) * em), character, fill=255, font=font, anchor="ls")
            cells = np.asarray(sheet).reshape(len(here), -1)
            for character, cell, most in zip(here, cells, cells.max(1).tolist(), strict=True):
                self._looks[character] = hashlib.blake2b(cell.tobytes(), digest_size=16).digest() if INK[most] else None
        return {c: self._looks[c] for c in characters}

    def _drawing(self, character: str) -> _Drawing | None:
        if ord(character) not in self._codes:
            return None
        if character not in self._drawings:
            self._drawings[character] = self._draw(character)
        return self._drawings[character]

    def _draw(self, character: str) -> _Drawing | None:
        font = self.at(_MEASURE)
        try:
            left, top, right, bottom = (int(edge) for edge in font.getbbox(character, anchor="ls"))
            if max(map(abs, (left, top, right, bottom))) > _MOST_EMS * _MEASURE:
                return None
            ink = Image.new("L", (right - left + 2, bottom - top + 2))
            ImageDraw.Draw(ink).text((1 - left, 1 - top), character, fill=255, font=font, anchor="ls")
        except Exception:  # whatever FreeType and Pillow raise where they refuse the outline
            return None
        box = ink.point(INK).getbbox()
        if box is None:
            return None
        if len(self._inks) < _KEPT:
            self._inks[character] = ink, (left - 1, top - 1)
        edges = (box[0] + left - 1, 1 - top - box[3], box[2] + left - 1, 1 - top - box[1])
        digest = hashlib.blake2b(repr(edges).encode() + ink.crop(box).tobytes(), digest_size=16)
        return _Drawing(InkBox(*(edge / _MEASURE for edge in edges)), digest.digest())


def _repeated(drawings: Iterable[_Drawing | None]) -> frozenset[bytes]:
    """Digests that too many of the drawings share."""
    counts = Counter(drawing.digest for drawing in drawings if drawing)
    return frozenset(digest for digest, count in counts.items() if count >= _TOFU_REPEATS)
