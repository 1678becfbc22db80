"""Which character a picture's file name tells, and the names that we give."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Final

_CODE: Final = re.compile(r"(?:u\+|uni|u|0x)?([0-9a-f]{4,6})(?:[ _-].*)?", re.IGNORECASE | re.DOTALL)
_BARE: Final = re.compile(r"([0-9a-f]{2,6})(?:[ _-].*)?", re.IGNORECASE | re.DOTALL)
# CJK Unified Ideographs and their extension A, which stands before them.
_COMMON: Final = range(0x3400, 0xA000)
LIKE: Final = "永.png, U+6C38.png, uni6C38.png, 6C38.png or, as the ports write, 27704.png"


def character_named(stem: str, *, decimal: bool = False) -> str | None:
    """The character that a file's stem names: itself or its code point, perhaps with more after a space, _ or -.

    A control character is not one: `0001` is a number. Nor is a byte that is not text in the file system's encoding.
    `decimal`: a bare code point is a decimal number, not a hexadecimal one.
    """
    character = _named(stem, decimal)
    return None if character is None or unicodedata.category(character) in {"Cc", "Cs"} else character


def are_decimal(stems: Collection[str]) -> bool:
    """Whether bare code points in these stems are decimal, as max32002/zi2zi-pytorch names what it draws.

    They are where none has a hexadecimal digit and more are common ideographs so than as hexadecimal numbers.
    """
    bare = [match[1] for stem in stems if (match := _BARE.fullmatch(stem))]
    if not all(digits.isdecimal() for digits in bare):
        return False
    decimal, hexadecimal = (sum(int(digits, base) in _COMMON for digits in bare) for base in (10, 16))
    return decimal > hexadecimal


def file_name(character: str, *, decimal: bool = False) -> str:
    """A stem that names a character: itself, or its code point where a file system may refuse or fold it.

    `decimal`: its code point as a decimal number.
    """
    if decimal:
        return str(ord(character))
    return character if character.isalpha() and not character.isascii() else f"U+{ord(character):04X}"


def _named(stem: str, decimal: bool) -> str | None:
    first, rest = stem[:1], stem[1:]
    if rest and len(composed := unicodedata.normalize("NFC", stem)) == 1:  # macOS may write が as か and a mark
        return composed
    if first and not rest:
        return first
    if first and not first.isascii() and re.match(r"[ _-]", rest):
        return first
    if decimal and (code := _BARE.fullmatch(stem)):
        return chr(int(code[1])) if code[1].isdecimal() else None
    if (code := _CODE.fullmatch(stem)) and (number := int(code[1], 16)) <= 0x10FFFF:
        return chr(number)
    return None
