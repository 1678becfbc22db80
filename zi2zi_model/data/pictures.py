"""A folder of pictures of single glyphs, named by character or code point, as a typeface."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from balancer import read_input
from balancer.errors import DataError
from zi2zi_model.data.glyphs import Pixels, Typeface, ink_extent, is_blank, reframe
from zi2zi_model.data.picture_names import LIKE, are_decimal, character_named
from zi2zi_model.data.placement import EM_BOX, InkBox, Placement

SUFFIXES: Final = (".png", ".jpg", ".jpeg")
MOST_PICTURE_BYTES: Final = 256 * 2**20
_MOST_SIDE: Final = 4096
_PALEST_INK: Final = 191  # what `ink_extent` still takes for ink: as dark an edge is not paper
_ON_DAMAGED: Final = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


class Pictures(Typeface):
    """A typeface made of one picture for each character.

    A picture's square is the em, divided as a font's is (`BASELINE`); one that is not square is padded with paper,
    its glyph in the middle. Pictures are grey or coloured, dark ink on light paper; transparent parts are paper.

    Attributes:
        name: the folder's name.
        characters: all that it holds, by code point.

    Raises:
        DataError: no such pictures, a name that tells no character, or two pictures of one character.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        self.name = folder.absolute().name
        try:
            # `._永.png` is what macOS puts beside a file on disks of other systems: not a picture.
            files = sorted(
                path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("._")
            )
        except OSError as error:
            raise DataError(f"folder {folder}: cannot be read: {error.strerror}") from error
        self._files: dict[str, Path] = {}
        decimal = are_decimal([path.stem for path in files])
        for path in files:
            character = character_named(path.stem, decimal=decimal)
            if character is None:
                raise DataError(f"picture {path}: its name tells no character; name it like {LIKE}")
            if character in self._files:
                both = f"{self._files[character].name} and {path.name}"
                raise DataError(f"folder {folder}: {both} are both {character}; remove one")
            self._files[character] = path
        if not self._files:
            raise DataError(f"folder {folder}: holds no pictures ({', '.join(SUFFIXES)}) of glyphs")
        self.characters = tuple(sorted(self._files))
        self._boxes: dict[str, InkBox | None] = {}

    def lacking(self, characters: Iterable[str]) -> dict[str, str]:
        """Those of the characters that it does not have, or that show no ink, each with the reason."""
        reasons = {}
        for character in characters:
            if character not in self._files:
                reasons[character] = "no picture"
            elif self._box(character) is None:
                reasons[character] = "blank"
        return reasons

    def ink_box(self, character: str) -> InkBox:
        """Ink box of a character.

        Raises:
            DataError: there is no picture of it, it cannot be read, or it is blank.
        """
        box = self._box(character) if character in self._files else None
        if box is None:
            raise DataError(f"folder {self.name}: has no picture of {character} (U+{ord(character):04X}) that shows it")
        return box

    def drawn(self, character: str, size: int, placement: Placement) -> Pixels:
        """The picture (size, size) of a character that it has."""
        return reframe(self._square(character), EM_BOX, placement, size)

    def identity(self) -> str:
        """SHA-256 over the pictures and the characters they are of."""
        digest = hashlib.sha256()
        for character in self.characters:
            digest.update(character.encode() + hashlib.sha256(self._read(character)).digest())
        return digest.hexdigest()

    def _box(self, character: str) -> InkBox | None:
        if character not in self._boxes:
            square = self._square(character)
            box = None
            if not is_blank(square) and square.min() <= _PALEST_INK:
                left, top, right, bottom = ink_extent(square)
                (x, y), (x2, y2) = EM_BOX.to_em(left, bottom), EM_BOX.to_em(right, top)
                box = InkBox(x, y, x2, y2)
            self._boxes[character] = box
        return self._boxes[character]

    def _read(self, character: str) -> bytes:
        path = self._files[character]
        try:
            return read_input(path, MOST_PICTURE_BYTES)
        except OSError as error:
            raise DataError(f"picture {path}: cannot be read: {error.strerror}") from error

    def _square(self, character: str) -> Pixels:
        path = self._files[character]
        grey = read_grey(BytesIO(self._read(character)), f"picture {path}")
        edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        if np.median(edge) <= _PALEST_INK:
            why = "its edge is dark; invert it, or brighten it until paper is white, or leave paper around the glyph"
            raise DataError(f"picture {path}: {why}")
        height, width = grey.shape
        square = np.full((max(height, width),) * 2, 255, np.uint8)
        top, left = (len(square) - height) // 2, (len(square) - width) // 2
        square[top : top + height, left : left + width] = grey
        return square


def read_grey(file: BytesIO, where: str) -> Pixels:
    """A PNG or JPEG picture (H, W) upright and in grey, paper under its transparent parts; `where` names it in errors.

    Raises:
        DataError: it cannot be read, or a side is longer than 4096 pixels.
    """
    try:
        # What Pillow warns of is damaged metadata, and sizes that are refused here.
        with warnings.catch_warnings(action="ignore"), Image.open(file, formats=["PNG", "JPEG"]) as image:
            if max(image.size) > _MOST_SIDE:
                raise DataError(f"{where}: {image.width}x{image.height} pixels; make it smaller")
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):  # 16 bits of grey, which convert would clip
                deep = np.asarray(upright, np.float64)
                upright = Image.fromarray((deep / 257).round().astype(np.uint8))
            paper = Image.new("RGBA", upright.size, "white")
            return np.asarray(Image.alpha_composite(paper, upright.convert("RGBA")).convert("L"))
    except UnidentifiedImageError as error:
        raise DataError(f"{where}: not a PNG or JPEG file") from error
    except _ON_DAMAGED as error:
        raise DataError(f"{where}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
