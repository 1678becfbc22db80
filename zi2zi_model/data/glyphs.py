"""Glyphs: where they go in a picture, which characters a font really draws, and the one function that draws them.

Coordinates. The *em* of a font is its design square: x to the right and y upwards from the glyph's origin on
the baseline, in units of the em (font units divided by `Font.units_per_em`). The *frame* is the picture: x to
the right and y downwards from its top left corner, in units of its side. A `Placement` maps one to the other.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

from balancer.errors import DataError

Pixels = npt.NDArray[np.uint8]

BASELINE: Final = 0.88  # from the em box's top; the usual CJK division 880:120
FILL: Final = 0.75  # of the frame's side for the source's mean ink box: then 99 % of even cursive brush glyphs fit
_LAYOUT: Final = ImageFont.Layout.BASIC  # the same picture with and without the Raqm library
_MEASURE: Final = 256  # pixels per em
_INK: Final = [0] * 64 + [255] * 192  # a quarter of a pixel's coverage counts: the box is neither grown nor shrunk
_PROBES: Final = 256  # ideographs of every font that are searched for a repeated drawing
_TOFU_REPEATS: Final = 4  # unified variants share a drawing in twos and threes
_IDEOGRAPHS: Final = range(0x4E00, 0xA000)


class InkBox(NamedTuple):
    """Extent of a glyph's ink in em units, y upwards from the baseline."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        return self.right - self.left, self.top - self.bottom

    @property
    def centre(self) -> tuple[float, float]:
        """Horizontal and vertical middle."""
        return (self.left + self.right) / 2, (self.bottom + self.top) / 2


@dataclass(frozen=True)
class Placement:
    """Where every glyph of one font goes in the frame: one isotropic scale and one offset.

    The same placement draws training pictures and places what G draws: `to_em` undoes `to_frame`, so a point
    (x, y) of a generated picture of S pixels is at `to_em(x / S, y / S)` times the units per em in font units.

    Attributes:
        scale: frame sides per em.
        x: frame coordinate of the glyph's origin.
        y: frame coordinate of the baseline.
    """

    scale: float = 1.0
    x: float = 0.0
    y: float = BASELINE

    @property
    def offset(self) -> tuple[float, float]:
        """Where the glyph's origin is in the frame."""
        return self.x, self.y

    def to_frame(self, x: float, y: float) -> tuple[float, float]:
        """A point of the em (y upwards) in the frame (y downwards)."""
        return self.x + self.scale * x, self.y - self.scale * y

    def to_em(self, x: float, y: float) -> tuple[float, float]:
        """A point of the frame (y downwards) in the em (y upwards): the inverse of `to_frame`."""
        return (x - self.x) / self.scale, (self.y - y) / self.scale

    def fits(self, box: InkBox) -> bool:
        """Whether a glyph with this ink box lies inside the frame."""
        corners = *self.to_frame(box.left, box.top), *self.to_frame(box.right, box.bottom)
        return min(corners) >= 0 and max(corners) <= 1


EM_BOX: Final = Placement()  # no alignment: the em fills the frame, all fonts on a common baseline


def centre_in_frame(mean: InkBox) -> Placement:
    """Placement of a source font: its mean ink box in the frame's middle, the longer side filling `FILL` of it."""
    scale = FILL / max(mean.size)
    x, y = mean.centre
    return Placement(scale, 0.5 - scale * x, 0.5 + scale * y)


def meet(mean: InkBox, source_mean: InkBox, source: Placement) -> Placement:
    """Placement of a target font: its mean ink box on the source font's, of equal area and with the same centre.

    Both means are over the same characters. Against a common em box this improved every metric of held-out
    characters, and it can be undone at inference, as a fit per glyph cannot (methods.md, "Alignment").
    """
    scale = source.scale * math.sqrt(math.prod(source_mean.size) / math.prod(mean.size))
    frame_x, frame_y = source.to_frame(*source_mean.centre)
    x, y = mean.centre
    return Placement(scale, frame_x - scale * x, frame_y + scale * y)


def reframe(picture: Pixels, placed: Placement, wanted: Placement, size: int) -> Pixels:
    """A glyph's picture (S, S), drawn with one placement, as another would show it: (size, size).

    What lies outside the picture is paper.
    """
    side = picture.shape[0]
    # The wanted frame's corners, in pixels of the picture.
    left, top = (side * edge for edge in placed.to_frame(*wanted.to_em(0, 0)))
    right, bottom = (side * edge for edge in placed.to_frame(*wanted.to_em(1, 1)))
    margin = max(0, math.ceil(max(-left, -top, right - side, bottom - side)))
    sheet = Image.new("L", (side + 2 * margin,) * 2, 255)
    sheet.paste(Image.fromarray(picture), (margin, margin))
    box = (left + margin, top + margin, right + margin, bottom + margin)
    # Reduced as fonts' glyphs are; enlarged or kept, as smoothly as can be.
    how = Image.Resampling.HAMMING if right - left > 1.5 * size else Image.Resampling.BICUBIC
    return np.asarray(sheet.resize((size, size), how, box=box))


class Typeface(Protocol):
    """Where glyphs come from: a font file (`Font`) or a folder of pictures (`pictures.Pictures`)."""

    name: str

    def usable(self, characters: Iterable[str]) -> tuple[str, ...]:
        """Those of the characters that it draws, in the order given."""
        ...

    def lacking(self, characters: Iterable[str]) -> dict[str, str]:
        """Those that it does not draw, each with the reason."""
        ...

    def ink_box(self, character: str) -> InkBox:
        """Ink box of a character; DataError where it is not drawn."""
        ...

    def mean_box(self, characters: Iterable[str]) -> InkBox:
        """Mean ink box of characters, at least one, that it draws."""
        ...

    def drawn(self, character: str, size: int, placement: Placement) -> Pixels:
        """The picture (size, size) of a character that it draws."""
        ...

    def identity(self) -> str:
        """SHA-256 of what it was read from."""
        ...


class _Drawing(NamedTuple):
    """A glyph's ink box, and a digest that equal drawings share."""

    box: InkBox
    digest: bytes


class Font:
    """A TrueType or OpenType font file, or one face of a collection (`file.ttc:3`, counted from 0).

    Attributes:
        name: the file's name without directories, with the face's number if it was given.
        units_per_em: font units to the em.

    Raises:
        DataError: no such file, unreadable, not a font, no such face, or no Unicode character map.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = Path(path).name
        self.path = str(path)
        try:
            face = None if Path(path).exists() else re.fullmatch(r"(.+):(\d+)", str(path))
            file, self._index = (face[1], int(face[2])) if face else (str(path), 0)
            self._data = Path(file).read_bytes()
        except OSError as error:
            raise DataError(f"font {path}: cannot be read: {error.strerror}") from error
        faces = int.from_bytes(self._data[8:12], "big") if self._data[:4] == b"ttcf" else 1
        if self._index >= faces:
            raise DataError(f"font {file}: has no face {self._index}; its faces are 0 to {faces - 1}")
        try:
            with TTFont(BytesIO(self._data), fontNumber=self._index, lazy=True) as font:
                characters: dict[int, str] | None = font.getBestCmap()
                tables = {tag: font.reader[tag] for tag in font.reader.tables}  # fails where the file is cut short
            self.units_per_em = int.from_bytes(tables["head"][18:20], "big")
        except Exception as error:  # fontTools lets whatever its table parsers meet in a damaged file escape
            raise DataError(f"font {file}: damaged, or not TrueType or OpenType ({error or 'cut short'})") from error
        self._sizes: dict[int, ImageFont.FreeTypeFont] = {}
        try:
            self.at(_MEASURE)
        except OSError as error:
            raise DataError(f"font {file}: FreeType cannot open it ({error})") from error
        if not characters:
            raise DataError(f"font {file}: has no Unicode character map, so its characters cannot be found")
        self._codes = frozenset(characters)
        self._drawings: dict[str, _Drawing | None] = {}
        self._tofu = self._find_tofu()

    def usable(self, characters: Iterable[str]) -> tuple[str, ...]:
        """Those of the characters that the font draws, in the order given.

        Left out is what the character map lacks, what is drawn without ink or cannot be drawn at all, and
        tofu: what looks like `.notdef`, or like many others of the font's ideographs or of these characters.
        """
        characters = tuple(dict.fromkeys(characters))
        lacking = self.lacking(characters)
        return tuple(c for c in characters if c not in lacking)

    def lacking(self, characters: Iterable[str]) -> dict[str, str]:
        """Those of the characters that `usable` leaves out, each with the reason."""
        drawings = {c: self._drawing(c) for c in characters}
        repeats = Counter(drawing.digest for drawing in drawings.values() if drawing)
        tofu = self._tofu.union(digest for digest, count in repeats.items() if count >= _TOFU_REPEATS)
        reasons = {}
        for character, drawing in drawings.items():
            if ord(character) not in self._codes:
                reasons[character] = "not in the font"
            elif drawing is None:
                reasons[character] = "blank"
            elif drawing.digest in tofu:
                reasons[character] = "tofu"
        return reasons

    def identity(self) -> str:
        """SHA-256 of the file, and of the face's number where it is not the first."""
        face = f":{self._index}".encode() if self._index else b""
        return hashlib.sha256(self._data + face).hexdigest()

    def outlines(self) -> TTFont:
        """The font as fontTools reads it."""
        return TTFont(BytesIO(self._data), fontNumber=self._index, lazy=True)

    def ink_box(self, character: str) -> InkBox:
        """Ink box of a character, exact to about 1/256 em.

        Raises:
            DataError: the font does not draw the character.
        """
        drawing = self._drawing(character)
        if drawing is None or drawing.digest in self._tofu:
            raise DataError(f"font {self.name}: does not draw {character} (U+{ord(character):04X})")
        return drawing.box

    def mean_box(self, characters: Iterable[str]) -> InkBox:
        """Mean ink box of characters, at least one, that the font draws."""
        return InkBox(*np.mean([self.ink_box(c) for c in characters], axis=0).tolist())

    def drawn(self, character: str, size: int, placement: Placement) -> Pixels:
        """The picture (size, size) of a character.

        It is drawn at 256 pixels per em or more and reduced, so that neither hinting nor whole pixels move or
        reshape strokes, and a placement holds to a small part of a pixel.
        """
        pixels = max(_MEASURE, math.ceil(2 * size * placement.scale))
        side = pixels / placement.scale
        left, top = -placement.x * side, -placement.y * side
        x, y = math.floor(left), math.floor(top)
        picture = Image.new("L", (math.ceil(side) + 1, math.ceil(side) + 1), 255)
        ImageDraw.Draw(picture).text((-x, -y), character, fill=0, font=self.at(pixels), anchor="ls")
        frame = (left - x, top - y, left - x + side, top - y + side)
        return np.asarray(picture.resize((size, size), Image.Resampling.HAMMING, box=frame))

    def advance(self, character: str) -> float:
        """Advance width of a character in em."""
        return float(self.at(_MEASURE).getlength(character)) / _MEASURE

    def at(self, pixels: int) -> ImageFont.FreeTypeFont:
        """The font at a number of pixels per em."""
        if pixels not in self._sizes:
            file = BytesIO(self._data)  # given a path to a damaged file, Pillow opens an installed font of that name
            self._sizes[pixels] = ImageFont.truetype(file, pixels, self._index, layout_engine=_LAYOUT)
        return self._sizes[pixels]

    def _find_tofu(self) -> set[bytes]:
        """Digests of `.notdef` and of any drawing repeated in an even sample of the font's ideographs."""
        unmapped = next(code for code in range(0x10FFFF, 0, -1) if code not in self._codes)
        notdef = self._draw(chr(unmapped))
        ideographs = sorted(self._codes.intersection(_IDEOGRAPHS))
        sample = (self._drawing(chr(code)) for code in ideographs[:: 1 + len(ideographs) // _PROBES])
        repeats = Counter(drawing.digest for drawing in sample if drawing)
        tofu = {digest for digest, count in repeats.items() if count >= _TOFU_REPEATS}
        return tofu | ({notdef.digest} if notdef else set())

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
            ink = Image.new("L", (right - left + 2, bottom - top + 2))
            ImageDraw.Draw(ink).text((1 - left, 1 - top), character, fill=255, font=font, anchor="ls")
        except OSError:  # FreeType refuses the outline
            return None
        box = ink.point(_INK).getbbox()
        if box is None:
            return None
        edges = (box[0] + left - 1, 1 - top - box[3], box[2] + left - 1, 1 - top - box[1])
        digest = hashlib.blake2b(repr(edges).encode() + ink.crop(box).tobytes(), digest_size=16)
        return _Drawing(InkBox(*(edge / _MEASURE for edge in edges)), digest.digest())


def draw_glyph(typeface: Typeface, character: str, size: int, placement: Placement) -> Pixels:
    """Picture of a character for training and for inference alike: (size, size), paper 255, ink 0, antialiased.

    Raises:
        DataError: the typeface does not draw the character, or not within the frame.
    """
    typeface.ink_box(character)
    glyph = typeface.drawn(character, size, placement)
    if is_blank(glyph):
        where = f"font {typeface.name}: {character}"
        raise DataError(f"{where} falls outside the picture; align the fonts, or leave it out")
    return glyph


def ink_extent(pixels: Pixels) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the ink in a picture (S, S) that is not blank, in the frame."""
    ink = Image.fromarray(255 - pixels)
    # A faint picture has no place that is a quarter covered: then half of its darkest counts.
    box = ink.point(_INK).getbbox() or ink.point([v >= (255 - int(pixels.min())) / 2 for v in range(256)]).getbbox()
    assert box is not None
    left, top, right, bottom = (edge / pixels.shape[0] for edge in box)
    return left, top, right, bottom


def is_blank(pixels: Pixels) -> bool:
    """Whether a picture shows nothing: JPEG noise on paper stays below this contrast, a faint stroke far above."""
    return int(np.ptp(pixels)) < 32
