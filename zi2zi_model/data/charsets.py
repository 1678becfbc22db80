"""Sets of characters: by name, derived from Python's codecs; from a text file; or a fixed choice of others."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Final

from balancer import read_input
from balancer.errors import DataError

DEMO_SIZE: Final = 256
_DEMO_MUST_HOLD: Final = "永和"  # 永 shows the eight basic strokes; 和 is written alike in all three standards

# Default_Ignorable_Code_Point of Unicode 16 (DerivedCoreProperties.txt): byte-order marks, variation selectors, joiners
# and the like, which choose how the character before them looks, or nothing; and control characters.
_INVISIBLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

_EUC_TRAILS: Final = range(0xA1, 0xFF)
_BIG5_TRAILS: Final = (*range(0x40, 0x7F), *range(0xA1, 0xFF))


def load_charset(name: str) -> tuple[str, ...]:
    """Characters of a charset named in `CHARSETS`, of several joined by +, or of the UTF-8 text file at that path.

    Of a file those count that `characters_in` finds, in its order.

    Raises:
        DataError: neither a name nor a file; a file that cannot be read, is not UTF-8, or is empty.
    """
    parts = name.split("+")
    if all(part in CHARSETS for part in parts):
        return tuple(dict.fromkeys(character for part in parts for character in CHARSETS[part]()))
    try:
        text = read_input(Path(name)).decode("utf-8-sig")
    except FileNotFoundError:
        shown = name if len(name) <= 60 else f"{name[:60]} …"
        nearest = get_close_matches(name.lower(), CHARSETS, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise DataError(f"charset {shown!r}: no such file, and not one of {', '.join(CHARSETS)}{hint}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"charset {name}: not UTF-8 at byte {error.start}; save it as UTF-8 text") from error
    except OSError as error:
        raise DataError(f"charset {name[:255]}: cannot be read: {error.strerror}") from error
    characters = characters_in(text)
    if not characters:
        raise DataError(f"charset {name}: the file holds no characters; write the ones to use into it")
    return characters


def characters_in(text: str) -> tuple[str, ...]:
    """Characters of a text that a font may draw, each once: no white space, and none that shows nothing by itself."""
    return tuple(dict.fromkeys(c for c in text if not c.isspace() and not _INVISIBLE.match(c)))


def is_held_out(key: int, share: float) -> bool:
    """Whether a code point (or a pair's index) is held out: it alone decides, so nothing added later moves it."""
    return _fraction("split", key) < share


def choose(characters: Iterable[str], count: int) -> tuple[str, ...]:
    """`count` of the characters, or all if there are fewer, in the order given; a greater count only adds to them."""
    characters = tuple(characters)
    chosen = frozenset(sorted(characters, key=lambda c: _fraction("choice", ord(c)))[:count])
    return tuple(c for c in characters if c in chosen)


def _fraction(purpose: str, key: int) -> float:
    """A number in [0, 1) fixed by its arguments alone, for good: checkpoints hold the split."""
    digest = hashlib.blake2b(f"{purpose}:0:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _decode(codec: str, leads: Iterable[int], trails: Iterable[int], last: int = 0xFFFF) -> tuple[str, ...]:
    """Characters that a two-byte codec assigns to these lead and trail bytes, in code order, up to code `last`."""
    trails = tuple(trails)
    characters = []
    for lead in leads:
        for trail in trails:
            if lead << 8 | trail <= last:
                try:
                    characters.append(bytes((lead, trail)).decode(codec))
                except UnicodeDecodeError:
                    continue
    return tuple(characters)


@cache
def _gb2312_1() -> tuple[str, ...]:
    return _decode("gb2312", range(0xB0, 0xD8), _EUC_TRAILS)


@cache
def _gb2312_2() -> tuple[str, ...]:
    return _decode("gb2312", range(0xD8, 0xF8), _EUC_TRAILS)


@cache
def _big5_1() -> tuple[str, ...]:
    return _decode("big5", range(0xA4, 0xC7), _BIG5_TRAILS, last=0xC67E)  # kana follow in the same row


@cache
def _big5_2() -> tuple[str, ...]:
    return _decode("big5", range(0xC9, 0xFA), _BIG5_TRAILS)


@cache
def _jis_1() -> tuple[str, ...]:
    return _decode("euc_jp", range(0xB0, 0xD0), _EUC_TRAILS)


@cache
def _demo() -> tuple[str, ...]:
    """Evenly spaced through what Big5, GB2312 and JIS level 1 share; Big5 orders by strokes, so those are spread."""
    elsewhere = {*_gb2312_1()} & {*_jis_1()}
    shared = [c for c in _big5_1() if c in elsewhere]
    demo = [shared[i * len(shared) // DEMO_SIZE] for i in range(DEMO_SIZE)]
    for character in _DEMO_MUST_HOLD:
        if character not in demo:
            demo[shared.index(character) * DEMO_SIZE // len(shared)] = character
    return tuple(demo)


CHARSETS: Final[Mapping[str, Callable[[], tuple[str, ...]]]] = {
    "demo": _demo,
    "gb2312-1": _gb2312_1,
    "gb2312-2": _gb2312_2,
    "big5-1": _big5_1,
    "big5-2": _big5_2,
    "jis-1": _jis_1,
}
